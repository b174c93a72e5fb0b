"""Writes the source of an encoder: validation and encoding of a value in one pass.

For each value it writes statements that compute its bytes, and returns the expressions that name them. A value whose
exact type the fast statements do not know goes through the exact conversion of `onepipe.schema.values`, so subclasses
cost more but are right. Whatever does not fit raises some exception; the compiled encoder then looks for the faults.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast
from uuid import UUID

from onepipe.schema import limits
from onepipe.schema.branches import Chooser, is_items
from onepipe.schema.default_values import default_value
from onepipe.schema.model import NO_DEFAULT, Array, Enum, Fixed, Map, Node, Record, Schema, Union
from onepipe.schema.sizes import may_hold_empty_items, takes_no_bytes
from onepipe.schema.source import Source, attribute
from onepipe.schema.symbols import enum_symbols
from onepipe.schema.values import (
    EPOCH,
    EPOCH_ORDINAL,
    INTEGER_RANGES,
    LOCAL_EPOCH,
    MOMENTS,
    Leaf,
    converter,
    kind_of,
    misfit,
    wrong_type,
)
from onepipe.schema.varint import LAST, LENGTHS, MORE, SMALL, encode_long

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_DEEPEST: Final = 8
"""Blocks within one function; Python allows 20 nested loops and 100 indents."""

_FEW: Final = 3
"""So many parts are added faster than joined."""


def unfit() -> NoReturn:
    """Leave the generated encoder: the record has a fault."""
    raise TypeError("the record has a fault")


def too_many() -> NoReturn:
    """Leave the generated encoder: no decoder would take the record."""
    raise misfit("length", f"more than {limits.MAX_ZERO_BYTE_ITEMS} array items that take no bytes")


def items_of(value: Any) -> Sequence[Any]:
    """A value as an array's items; raises InvalidRecord."""
    if not is_items(value):
        raise wrong_type("a list", value)
    return cast("Sequence[Any]", value)


class EncoderSource:
    """Writes the functions that encode the types of one schema.

    Args:
        schema: the schema.
        classes: Python classes by the full names they stand for; records without one are dicts.
    """

    def __init__(self, schema: Schema, classes: Mapping[str, type]) -> None:
        self._schema = schema
        self._classes = classes
        self._records: dict[str, str] = {}
        self._empty: dict[str, bool] = {}
        self._counted = may_hold_empty_items(schema)
        self._more = ", budget" if self._counted else ""
        self.source = Source(
            encode_text=str.encode,
            encode_long=encode_long,
            join=b"".join,
            pack_float=struct.Struct("<f").pack,
            pack_double=struct.Struct("<d").pack,
            unfit=unfit,
            too_many=too_many,
            items_of=items_of,
            datetime=dt.datetime,
            date=dt.date,
            time=dt.time,
            UUID=UUID,
            Mapping=Mapping,
            EPOCH=EPOCH,
            LOCAL_EPOCH=LOCAL_EPOCH,
            LAST=LAST,
            LENGTHS=LENGTHS,
            MORE=MORE,
            SMALL=SMALL,
        )

    def begin(self) -> None:
        """Write what the function of the root begins with."""
        if self._counted:
            self.source.line(f"budget = [{limits.MAX_ZERO_BYTE_ITEMS}]")

    def value(self, node: Node, value: str, depth: str) -> list[str]:
        """Write the statements that encode a value.

        Args:
            node: its type.
            value: a local variable that holds it; may be assigned to.
            depth: expression of the number of records it is inside of.

        Returns:
            Expressions whose values, joined, are its bytes.
        """
        node = self._schema.resolve(node)
        match node:
            case Record():
                return [f"{self.record(node)}({value}, {depth}{self._more})"]
            case Array() | Map() | Union():
                if self.source.depth > _DEEPEST:
                    return [f"{self._outlined(node)}({value}, {depth}{self._more})"]
                if isinstance(node, Union):
                    return self._union(node, value, depth)
                return self._array(node, value, depth) if isinstance(node, Array) else self._map(node, value, depth)
            case Enum():
                return self._enum(node, value)
            case _:
                return self._leaf(cast("Leaf", node), value)

    def record(self, node: Record) -> str:
        """The name of the function that encodes a record inside others: of its value and depth, to bytes."""
        if node.name not in self._records:
            self._records[node.name] = name = self.source.fresh("record")
            with self.source.function(f"def {name}(value, depth{self._more}):"):
                with self.source.block(f"if depth >= {limits.MAX_DEPTH}:"):
                    self.source.line("unfit()")
                self.source.line(f"return {joined(self.fields(node, 'value', 'depth + 1'))}")
        return self._records[node.name]

    def fields(self, node: Record, record: str, depth: str, kept: Mapping[str, str] = _NOTHING) -> list[str]:
        """Write the statements that read and encode a record's fields.

        Args:
            node: the record's type.
            record: a local variable that holds the record; may be assigned to.
            depth: expression of the number of records its fields are inside of.
            kept: by field, the local variable that is to hold its logical value.

        Returns:
            Expressions whose values, joined, are the record's bytes.
        """
        reads = self._attributes(node, record) if node.name in self._classes else self._items(node, record)
        parts: list[str] = []
        for field in node.fields:
            value = self.source.fresh("field")
            target = f"{kept[field.name]} = {value}" if field.name in kept else value
            self.source.line(f"{target} = {reads[field.name]}")
            parts += self.value(field.type, value, depth)
        return parts

    def _attributes(self, node: Record, record: str) -> dict[str, str]:
        cls = self.source.bind("cls", self._classes[node.name])
        with self.source.block(f"if type({record}) is not {cls} and not isinstance({record}, {cls}):"):
            self.source.line("unfit()")
        return {field.name: attribute(record, field.name) for field in node.fields}

    def _items(self, node: Record, record: str) -> dict[str, str]:
        """Let defaults stand for missing keys; as many keys as fields, and every field there, means none is unknown."""
        defaults = {
            field.name: default_value(self._schema, field.type, field.default, classes=self._classes, pairs=True)
            for field in node.fields
            if field.default is not NO_DEFAULT
        }
        name = self.source.bind("defaults", defaults)
        with self.source.block(f"if type({record}) is not dict or len({record}) != {len(node.fields)}:"):
            with self.source.block(f"if not isinstance({record}, Mapping):"):
                self.source.line("unfit()")
            self.source.line(f"{record} = {{**{name}, **{record}}}")
            with self.source.block(f"if len({record}) != {len(node.fields)}:"):
                self.source.line("unfit()")
        return {field.name: f"{record}[{field.name!r}]" for field in node.fields}

    def _outlined(self, node: Array | Map | Union) -> str:
        """A function of its own for a type that is nested too deep for one."""
        name = self.source.fresh("nested")
        with self.source.function(f"def {name}(value, depth{self._more}):"):
            self.source.line(f"return {joined(self.value(node, 'value', 'depth'))}")
        return name

    def _array(self, node: Array, value: str, depth: str) -> list[str]:
        source = self.source
        result, item, items = source.fresh("bytes"), source.fresh("item"), source.fresh("items")
        with source.block(f"if type({value}) is not list and type({value}) is not tuple:"):
            source.line(f"{value} = items_of({value})")
        self._refuse_bomb(node.items, value)
        with source.block(f"if {value}:"):
            source.line(f"{items} = [{_length_of(value)}]")
            with source.block(f"for {item} in {value}:"):
                source.line(f"{items}.append({joined(self.value(node.items, item, depth))})")
            source.line(f"{items}.append(b'\\0')")
            source.line(f"{result} = join({items})")
        with source.block("else:"):
            source.line(f"{result} = b'\\0'")
        return [result]

    def _map(self, node: Map, value: str, depth: str) -> list[str]:
        source = self.source
        result, key, item, items = (source.fresh(hint) for hint in ("bytes", "key", "item", "items"))
        with source.block(f"if type({value}) is not dict and not isinstance({value}, Mapping):"):
            source.line("unfit()")
        with source.block(f"if {value}:"):
            source.line(f"{items} = [{_length_of(value)}]")
            with source.block(f"for {key}, {item} in {value}.items():"):
                parts = self._text(key) + self.value(node.values, item, depth)
                source.line(f"{items}.append({joined(parts)})")
            source.line(f"{items}.append(b'\\0')")
            source.line(f"{result} = join({items})")
        with source.block("else:"):
            source.line(f"{result} = b'\\0'")
        return [result]

    def _refuse_bomb(self, items: Node, value: str) -> None:
        """Count the items that take no bytes: a decoder takes only so many in one message."""
        if takes_no_bytes(self._schema, items, self._empty):
            self.source.line(f"budget[0] -= len({value})")
            with self.source.block("if budget[0] < 0:"):
                self.source.line("too_many()")

    def _union(self, node: Union, value: str, depth: str) -> list[str]:
        source, result = self.source, self.source.fresh("bytes")
        inner = node.nullable
        if inner is not None:
            null = 1 - node.branches.index(inner)
            with source.block(f"if {value} is None:"):
                source.line(f"{result} = {LAST[2 * null]!r}")
            with source.block("else:"):
                source.line(f"{result} = {joined([repr(LAST[2 - 2 * null]), *self.value(inner, value, depth)])}")
            return [result]
        chooser = Chooser(self._schema, node, self._classes)
        by_type, choose = source.bind("by_type", chooser.by_type), source.bind("choose", chooser.choose)
        branch = source.fresh("branch")
        source.line(f"{branch} = {by_type}.get(type({value}))")
        with source.block(f"if {branch} is None:"):
            source.line(f"{branch}, {value} = {choose}({value})")
        for number, inner in enumerate(node.branches):
            with source.block(f"{'el' if number else ''}if {branch} == {number}:"):
                parts = [repr(encode_long(number)), *self.value(inner, value, depth)]
                source.line(f"{result} = {joined(parts)}")
        return [result]

    def _enum(self, node: Enum, value: str) -> list[str]:
        source, result = self.source, self.source.fresh("bytes")
        encoded = {symbol: encode_long(number) for number, symbol in enumerate(node.symbols)}
        by_symbol = source.bind("symbols", encoded)
        convert = source.bind("convert", converter(node, self._classes))
        cls = self._classes.get(node.name)
        exact, table = "str", by_symbol
        if cls is not None:
            members = {member: encoded[s] for s, member in enum_symbols(cls).items() if s in encoded}
            exact, table = source.bind("cls", cls), source.bind("members", members)
        source.line(f"{result} = {table}[{value}] if type({value}) is {exact} else {by_symbol}[{convert}({value})]")
        return [result]

    def _leaf(self, node: Leaf, value: str) -> list[str]:
        match kind_of(node):
            case "string":
                return self._text(value)
            case "null":
                with self.source.block(f"if {value} is not None:"):
                    self.source.line("unfit()")
                return []
            case "boolean":
                return [f"(b'\\1' if {value} is True else b'\\0' if {value} is False else unfit())"]
            case "int" | "long" | "float" | "double":
                return [self._number(node, value)]
            case "date" | "time-millis" | "time-micros":
                return [self._calendar(node, value)]
            case kind if "timestamp" in kind:
                return [self._timestamp(node, value)]
            case _:
                return self._bytes(node, value)

    def _convert(self, node: Leaf, value: str) -> str:
        """The expression of a value's base by the exact conversion."""
        return f"{self.source.bind('convert', converter(node, self._classes))}({value})"

    def _text(self, value: str) -> list[str]:
        data = self.source.fresh("text")
        self.source.line(f"{data} = encode_text({value})")
        return [_length_of(data), data]

    def _number(self, node: Leaf, value: str) -> str:
        exact = "int" if node.name in INTEGER_RANGES else "float"
        with self.source.block(f"if type({value}) is not {exact}:"):
            self.source.line(f"{value} = {self._convert(node, value)}")
        if exact == "float":
            return f"pack_{node.name}({value})"
        checked = f"encode_long({value})"
        if node.name == "int":
            low, high = INTEGER_RANGES["int"]
            checked += f" if {low} <= {value} <= {high} else unfit()"
        return f"(SMALL[{value}] if -8192 <= {value} < 8192 else {checked})"

    def _calendar(self, node: Leaf, value: str) -> str:
        kind = kind_of(node)
        exact = "date" if kind == "date" else "time"
        with self.source.block(
            f"if type({value}) is {exact}{'' if kind == 'date' else f' and {value}.tzinfo is None'}:"
        ):
            if kind == "date":
                self.source.line(f"{value} = {value}.toordinal() - {EPOCH_ORDINAL}")
            else:
                seconds = f"({value}.hour * 60 + {value}.minute) * 60 + {value}.second"
                self.source.line(f"{value} = ({seconds}) * 1000000 + {value}.microsecond")
                self._whole_millis(kind, value)
        with self.source.block("else:"):
            self.source.line(f"{value} = {self._convert(node, value)}")
        return f"encode_long({value})"

    def _whole_millis(self, kind: str, value: str) -> None:
        if kind.endswith("millis"):
            rest = self.source.fresh("rest")
            self.source.line(f"{value}, {rest} = divmod({value}, 1000)")
            with self.source.block(f"if {rest}:"):
                self.source.line("unfit()")

    def _timestamp(self, node: Leaf, value: str) -> str:
        """Moments of 1970-02 to 3111 in microseconds take eight bytes: four lookups; others the general way."""
        kind, source = kind_of(node), self.source
        delta, result = source.fresh("delta"), source.fresh("bytes")
        with source.block(f"if type({value}) is datetime:"):
            source.line(f"{delta} = {value} - {'LOCAL_EPOCH' if kind.startswith('local') else 'EPOCH'}")
            source.line(f"{value} = ({delta}.days * 86400 + {delta}.seconds) * 1000000 + {delta}.microseconds")
            self._whole_millis(kind, value)
        with source.block("else:"):
            source.line(f"{value} = {self._convert(node, value)}")
        unit = 1000 if kind.endswith("millis") else 1
        first, last = MOMENTS[0] // unit, MOMENTS[1] // unit
        with source.block(f"if {1 << 41} <= {value} < {min(1 << 55, last + 1)}:"):
            source.line(f"{value} <<= 1")
            low = " + ".join(f"MORE[{value} >> {shift} & 16383]" for shift in (0, 14, 28))
            source.line(f"{result} = {low} + LAST[{value} >> 42]")
        with source.block("else:"):
            with source.block(f"if not {first} <= {value} <= {last}:"):
                source.line("unfit()")
            source.line(f"{result} = encode_long({value})")
        return result

    def _bytes(self, node: Leaf, value: str) -> list[str]:
        """What is bytes in the end: bytes, fixed, decimals, durations and UUIDs."""
        kind, source = kind_of(node), self.source
        if kind == "uuid":
            form = f"{value}.bytes" if isinstance(node, Fixed) else f"b'H' + encode_text(str({value}))"
            source.line(f"{value} = {form} if type({value}) is UUID else {self._uuid_bytes(node, value)}")
            return [value]
        if kind in ("bytes", "fixed"):
            size = f" or len({value}) != {node.size}" if isinstance(node, Fixed) else ""
            with source.block(f"if type({value}) is not bytes{size}:"):
                source.line(f"{value} = {self._convert(node, value)}")
        else:
            source.line(f"{value} = {self._convert(node, value)}")
        return [value] if isinstance(node, Fixed) else [_length_of(value), value]

    def _uuid_bytes(self, node: Leaf, value: str) -> str:
        converted = self._convert(node, value)
        return converted if isinstance(node, Fixed) else f"b'H' + encode_text({converted})"


def _length_of(value: str) -> str:
    """The expression of the bytes of a length or count."""
    return f"(LENGTHS[len({value})] if len({value}) < 8192 else encode_long(len({value})))"


def joined(parts: Sequence[str]) -> str:
    """The expression of the bytes that some expressions are one after another; literals are joined here."""
    merged: list[str] = []
    for part in parts:
        if merged and part.startswith("b'") and merged[-1].startswith("b'"):
            merged[-1] += part
        else:
            merged.append(part)
    if not merged:
        return "b''"
    return " + ".join(merged) if len(merged) <= _FEW else f"join(({', '.join(merged)}))"
