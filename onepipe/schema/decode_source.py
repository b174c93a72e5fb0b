"""Writes the source of a decoder from a plan of resolution.

The source comes in two forms. The plain one is fast and raises some exception for bytes that are wrong: a slice past
the end is short, and shows at the latest where the record does not end at the end. The traced one is for such bytes
alone: it also keeps the path of the value it reads and checks the end after each value, to say what is wrong where.

Every integer is in its shortest form, every count, length, branch and index in its range; the number of items never
exceeds what the remaining bytes can hold.
"""

from __future__ import annotations

import datetime as dt
import enum
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from keyword import iskeyword
from types import NoneType
from typing import Final, NoReturn
from uuid import UUID

from onepipe.errors import DecodeError
from onepipe.schema import limits
from onepipe.schema.default_values import default_value
from onepipe.schema.model import Fixed, Schema
from onepipe.schema.resolve import (
    ArrayPlan,
    EnumPlan,
    LeafPlan,
    MapPlan,
    Plan,
    RecordPlan,
    RefusedPlan,
    UnionPlan,
)
from onepipe.schema.source import Source
from onepipe.schema.symbols import enum_symbols
from onepipe.schema.values import EPOCH, LOCAL_EPOCH, Duration, Leaf, interpreter, kind_of
from onepipe.schema.varint import decode_block, decode_count, decode_unsigned

_DEEPEST: Final = 8
"""Blocks within one function; Python allows 20 nested loops and 100 indents."""

_CONSTANTS: Final = (NoneType, int, float, str, bytes, dt.date, dt.time, Decimal, UUID, Duration, enum.Enum)
"""Types whose values cannot be changed, so that one default can be part of many records."""

_ONE_BYTE_BRANCHES: Final = 64
_EIGHT_BYTES: Final = sum(128 << shift for shift in range(0, 49, 7))
_MOMENTS: Final = {"timestamp-micros": "EPOCH", "local-timestamp-micros": "LOCAL_EPOCH"}


def bad(reason: str) -> NoReturn:
    """Leave the generated decoder."""
    raise DecodeError(reason)


class DecoderSource:
    """Writes the functions that decode by one plan.

    Args:
        reader: the schema whose defaults stand for what was not written.
        classes: Python classes by the full names they stand for; records without one become dicts.
        traced: whether to write the form that says what is wrong where.
        counted: whether the writer's schema has arrays whose items take no bytes, which are counted over a message.
    """

    def __init__(self, reader: Schema, classes: Mapping[str, type], *, traced: bool, counted: bool) -> None:
        self._reader = reader
        self._classes = classes
        self._traced = traced
        self._records: dict[int, str] = {}
        self._counted = counted
        self._more = f"{', path' if traced else ''}{', budget' if counted else ''}"
        self.source = Source(
            bad=bad,
            decode_unsigned=decode_unsigned,
            decode_count=decode_count,
            decode_block=decode_block,
            unpack_float=struct.Struct("<f").unpack_from,
            unpack_double=struct.Struct("<d").unpack_from,
            timedelta=dt.timedelta,
            EPOCH=EPOCH,
            LOCAL_EPOCH=LOCAL_EPOCH,
            BOOLEANS=(False, True),
        )

    def root(self, plan: Plan) -> None:
        """Write the function `decode` of data and start."""
        with self.source.function(f"def decode(data, pos{', path' if self._traced else ''}):"):
            self.source.line("size = len(data)")
            if self._counted:
                self.source.line(f"budget = [{limits.MAX_ZERO_BYTE_ITEMS}]")
            value = self._fields(plan, "1") if isinstance(plan, RecordPlan) else self.value(plan, "0")
            with self.source.block("if pos != size:"):
                self.source.line("bad('bytes are left over')" if self._traced else "bad('another length')")
            self.source.line(f"return {value}")

    def value(self, plan: Plan, depth: str) -> str:
        """Write the statements that read a value at `pos` and move `pos` behind it.

        Args:
            plan: how it is read.
            depth: expression of the number of records it is inside of.

        Returns:
            The expression of the value: a local variable or a constant.
        """
        match plan:
            case RecordPlan():
                target = self.source.fresh("record")
                self.source.line(f"{target}, pos = {self._record(plan)}(data, pos, {depth}{self._more})")
            case RefusedPlan(reason=reason):
                self.source.line(f"bad({reason!r})")
                target = "None"
            case ArrayPlan() | MapPlan() | UnionPlan() if self.source.depth > _DEEPEST:
                target = self.source.fresh("nested")
                self.source.line(f"{target}, pos = {self._outlined(plan)}(data, pos, {depth}{self._more})")
            case ArrayPlan():
                target = self._array(plan, depth)
            case MapPlan():
                target = self._map(plan, depth)
            case UnionPlan():
                target = self._union(plan, depth)
            case EnumPlan():
                target = self._enum(plan)
            case LeafPlan():
                target = self._leaf(plan)
        return target

    @contextmanager
    def _at(self, component: str) -> Iterator[None]:
        """In the traced form, keep the path while a part is read, and check that it ended before the end.

        Args:
            component: expression of the text by which the path goes on.
        """
        if not self._traced:
            yield
            return
        self.source.line(f"path.append({component})")
        self.source.line("path[0] = pos")
        yield
        with self.source.block("if pos > size:"):
            self.source.line("bad('the message ends too early')")
        self.source.line("path.pop()")

    def _check(self, condition: str, reason: str) -> None:
        """Write a check that the traced form alone needs, because the plain one fails by itself there."""
        if self._traced:
            with self.source.block(f"if {condition}:"):
                self.source.line(f"bad({reason!r})")

    def _record(self, plan: RecordPlan) -> str:
        """The name of the function that reads a record inside others: of data, position and depth, to both."""
        if id(plan) not in self._records:
            self._records[id(plan)] = name = self.source.fresh("record")
            with self.source.function(f"def {name}(data, pos, depth{self._more}):"):
                with self.source.block(f"if depth >= {limits.MAX_DEPTH}:"):
                    self.source.line(f"bad('records nested deeper than {limits.MAX_DEPTH}')")
                self.source.line("size = len(data)")
                self.source.line(f"return {self._fields(plan, 'depth + 1')}, pos")
        return self._records[id(plan)]

    def _fields(self, plan: RecordPlan, depth: str) -> str:
        if plan.refused:
            self.source.line(f"bad({plan.refused.message!r})")
            return "None"
        values = {}
        for step in plan.steps:
            with self._at(repr(f".{step.name}")):
                value = self.value(step.plan, depth)
            if step.target is not None:
                values[step.target] = value
        for field in plan.defaults:
            make = partial(default_value, self._reader, field.type, field.default, classes=self._classes)
            default = make()
            if isinstance(default, list | dict) and not default:
                values[field.name] = "[]" if isinstance(default, list) else "{}"
            elif isinstance(default, _CONSTANTS):
                values[field.name] = self.source.bind("default", default)
            else:
                values[field.name] = f"{self.source.bind('make', make)}()"
        in_order = {field.name: values[field.name] for field in plan.reader.fields}
        cls = self._classes.get(plan.reader.name)
        return _dict_of(in_order) if cls is None else _instance_of(self.source.bind("cls", cls), in_order)

    def _outlined(self, plan: Plan) -> str:
        """A function of its own for a type that is nested too deep for one."""
        name = self.source.fresh("nested")
        with self.source.function(f"def {name}(data, pos, depth{self._more}):"):
            self.source.line("size = len(data)")
            self.source.line(f"return {self.value(plan, 'depth')}, pos")
        return name

    @contextmanager
    def _items(self, *, empty: bool) -> Iterator[None]:
        """Write the loops over the blocks of an array or map and over each one's items, which the `with` reads."""
        source = self.source
        count, stop = source.fresh("count"), source.fresh("stop")
        with source.block("while True:"):
            source.line(f"{count} = data[pos]")
            with source.block(f"if {count} & 129:"):
                source.line(f"{count}, pos, {stop} = decode_block(data, pos)")
            with source.block("else:"):
                source.line(f"{count}, pos, {stop} = {count} >> 1, pos + 1, -1")
            with source.block(f"if not {count}:"):
                source.line("break")
            if empty:
                source.line(f"budget[0] -= {count}")
            limit = "budget[0] < 0" if empty else f"{count} > size - pos"
            with source.block(f"if {limit}:"):
                source.line(f"bad({'too many items that take no bytes' if empty else 'more items than bytes'!r})")
            with source.block(f"for _ in range({count}):"):
                yield
            with source.block(f"if {stop} >= 0 and pos != {stop}:"):
                source.line("bad('a block that ends elsewhere than it says')")

    def _array(self, plan: ArrayPlan, depth: str) -> str:
        items = self.source.fresh("items")
        self.source.line(f"{items} = []")
        with self._items(empty=plan.empty_items):
            with self._at(f"f'[{{len({items})}}]'"):
                value = self.value(plan.items, depth)
            self.source.line(f"{items}.append({value})")
        return items

    def _map(self, plan: MapPlan, depth: str) -> str:
        items = self.source.fresh("items")
        self.source.line(f"{items} = {{}}")
        with self._items(empty=False):
            with self._at("'{}'"):
                start, end = self._span()
                key = self.source.fresh("key")
                self.source.line(f"{key} = data[{start}:{end}].decode()")
                value = self.value(plan.values, depth)
            self.source.line(f"{items}[{key}] = {value}")
        return items

    def _union(self, plan: UnionPlan, depth: str) -> str:
        source = self.source
        branch, target = source.fresh("branch"), source.fresh("value")
        step = 1
        if len(plan.branches) <= _ONE_BYTE_BRANCHES:
            source.line(f"{branch} = data[pos]")
            source.line("pos += 1")
            step = 2
        else:
            source.line(f"{branch}, pos = decode_count(data, pos)")
        for number, inner in enumerate(plan.branches):
            with source.block(f"{'el' if number else ''}if {branch} == {step * number}:"):
                source.line(f"{target} = {self.value(inner, depth)}")
        with source.block("else:"):
            source.line("bad('a branch that the union does not have')")
        return target

    def _enum(self, plan: EnumPlan) -> str:
        cls = self._classes.get(plan.name)
        members = enum_symbols(cls) if cls is not None else {symbol: symbol for symbol in plan.symbols if symbol}
        known = tuple(None if symbol is None else members.get(symbol) for symbol in plan.symbols)
        index = self._count("index")
        self._check(f"{index} >= {len(known)}", "a symbol that the enum does not have")
        value = self.source.fresh("value")
        self.source.line(f"{value} = {self.source.bind('symbols', known)}[{index}]")
        if None in known:
            with self.source.block(f"if {value} is None:"):
                self.source.line("bad('a symbol that the reader does not know, and no default for it')")
        return value

    def _count(self, hint: str) -> str:
        """Write the reading of a length or index: one byte at once, longer ones by a function."""
        count = self.source.fresh(hint)
        self.source.line(f"{count} = data[pos]")
        with self.source.block(f"if {count} & 129:"):
            self.source.line(f"{count}, pos = decode_count(data, pos)")
        with self.source.block("else:"):
            self.source.line(f"{count}, pos = {count} >> 1, pos + 1")
        return count

    def _span(self) -> tuple[str, str]:
        """Write the reading of a length; the expressions of where its bytes begin and end; `pos` is behind them."""
        length = self._count("length")
        self._check(f"{length} > size - pos", "a length beyond the end of the message")
        self.source.line(f"pos += {length}")
        return f"pos - {length}", "pos"

    def _leaf(self, plan: LeafPlan) -> str:
        value = self.source.fresh("value")
        writer = plan.writer
        name = "fixed" if isinstance(writer, Fixed) else writer.name
        match name:
            case "null":
                return "None"
            case "boolean":
                self._check("data[pos] > 1", "a boolean that is neither 0 nor 1")
                self.source.line(f"{value} = BOOLEANS[data[pos]]")
                self.source.line("pos += 1")
            case "int" | "long":
                self._integer(value, name, eight_bytes=kind_of(plan.reader) in _MOMENTS)
            case "float" | "double":
                self.source.line(f"({value},) = unpack_{name}(data, pos)")
                self.source.line(f"pos += {4 if name == 'float' else 8}")
            case "fixed":
                size = writer.size if isinstance(writer, Fixed) else 0
                self._check(f"{size} > size - pos", "the message ends too early")
                self.source.line(f"pos += {size}")
                self.source.line(f"{value} = data[pos - {size}:pos]")
            case _:
                start, end = self._span()
                self.source.line(f"{value} = data[{start}:{end}]{'.decode()' if name == 'string' else ''}")
        self._promote(plan, value)
        self._interpret(plan.reader, value)
        return value

    def _integer(self, value: str, name: str, *, eight_bytes: bool) -> None:
        """Write the reading of an integer; moments of 1971 to 3111 in microseconds take eight bytes, read at once."""
        source = self.source
        if eight_bytes:
            with source.block("if pos + 8 <= size:"):
                source.line("a, b, c, d, e, f, g, h = data[pos:pos + 8]")
            with source.block("else:"):
                source.line("a = b = c = d = e = f = g = h = 0")
            with source.block("if a & b & c & d & e & f & g & 128 and 0 < h < 128:"):
                parts = " + ".join(f"({byte} << {7 * n})" for n, byte in enumerate("abcdefgh"))
                source.line(f"{value} = {parts} - {_EIGHT_BYTES}")
                source.line("pos += 8")
            with source.block("else:"):
                source.line(f"{value}, pos = decode_unsigned(data, pos)")
        else:
            source.line(f"{value} = data[pos]")
            with source.block(f"if {value} < 128:"):
                source.line("pos += 1")
            with source.block("else:"):
                source.line(f"{value}, pos = decode_unsigned(data, pos)")
                if name == "int":
                    with source.block(f"if {value} > {(1 << 32) - 1}:"):
                        source.line("bad('an int beyond 32 bits')")
        source.line(f"{value} = {value} >> 1 ^ -({value} & 1)")

    def _promote(self, plan: LeafPlan, value: str) -> None:
        written, read = plan.writer.name, plan.reader.name
        if written == read or isinstance(plan.writer, Fixed):
            return
        if written in ("int", "long") and read in ("float", "double"):
            self.source.line(f"{value} = float({value})")
        elif read == "string":
            self.source.line(f"{value} = {value}.decode()")
        elif written == "string":
            self.source.line(f"{value} = {value}.encode()")

    def _interpret(self, node: Leaf, value: str) -> None:
        epoch = _MOMENTS.get(kind_of(node))
        if epoch is not None and not self._traced:
            self.source.line(f"{value} = {epoch} + timedelta(0, 0, {value})")
        elif (interpret := interpreter(node)) is not None:
            self.source.line(f"{value} = {self.source.bind('interpret', interpret)}({value})")


def _dict_of(values: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}}"


def _instance_of(cls: str, values: Mapping[str, str]) -> str:
    """The expression of a new instance; names that cannot stand as keyword arguments go through a dict."""
    if any(iskeyword(name) or name == "__debug__" for name in values):
        return f"{cls}(**{_dict_of(values)})"
    return f"{cls}({', '.join(f'{name}={value}' for name, value in values.items())})"
