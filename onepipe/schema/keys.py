"""Keys of records: from a record to its identity key or partition key, compiled; and back.

The form of a key is said in `onepipe.schema.identity`; the compiled function gives the bytes of its `join` and
`part_text`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast
from uuid import UUID

import attrs

from onepipe.errors import DecodeError, InvalidRecord, SchemaError
from onepipe.schema.default_values import default_value
from onepipe.schema.encode_faults import FaultFinder
from onepipe.schema.identity import escape, join, node_is_decimal, part_text, require_identity_type, split
from onepipe.schema.model import NO_DEFAULT, Enum, Field, Fixed, Primitive, Record, Schema
from onepipe.schema.source import Source, attribute
from onepipe.schema.symbols import enum_symbols
from onepipe.schema.values import INTEGER_RANGES, Leaf, converter, from_base, integer_bytes, kind_of, to_base

_NO_CLASSES: Final[Mapping[str, type]] = MappingProxyType({})


def compile_key(
    schema: Schema, fields: Sequence[str], *, classes: Mapping[str, type] = _NO_CLASSES
) -> Callable[[Any], bytes]:
    """Compile the function from a record to a key.

    Args:
        schema: the schema, a record.
        fields: names of the key's fields, in order.
        classes: Python classes by the Avro full names they stand for; a record whose root has none is a mapping.

    Returns:
        A function of a record to its key. It raises InvalidRecord, with every fault of the key's fields.

    Raises:
        SchemaError: the schema is not a record, or has no such field.
        DeclarationError: a field's type cannot serve in a key.
    """
    keyed = _keyed(schema, fields)
    writer = _KeySource(schema, classes)
    source = writer.source
    refuse = source.bind("refuse", _refusal(schema, keyed, classes))
    with source.function("def key(record):"):
        with source.block("try:"):
            parts = [writer.part(field, alone=len(keyed) == 1) for field in keyed]
            text = parts[0] if len(parts) == 1 else f"'|'.join(({', '.join(parts)},))"
            source.line(f"return encode_text({text})")
        with source.block("except Exception as error:"):
            source.line(f"raise {refuse}(record, error) from None")
    key: Callable[[Any], bytes] = source.load("key", of=f"key of {_root(schema).name}")
    return key


def key_values(schema: Schema, fields: Sequence[str], key: bytes) -> tuple[Any, ...]:
    """The logical values that a key was made of, in the order of the fields.

    Raises:
        DecodeError: not a key that `compile_key` gives.
        SchemaError: the schema is not a record, or has no such field.
        DeclarationError: a field's type cannot serve in a key.
    """
    keyed = _keyed(schema, fields)
    try:
        texts = split(key, len(keyed))
    except ValueError as error:
        raise DecodeError(f"the key is not one of {', '.join(fields)}") from error
    if join(texts) != key:
        raise DecodeError(f"the key is not one of {', '.join(fields)}: it has needless escapes")
    return tuple(_parsed(field, text) for field, text in zip(keyed, texts, strict=True))


def _root(schema: Schema) -> Record:
    if not isinstance(schema.root, Record):
        raise SchemaError("only records have keys")
    return schema.root


def _keyed(schema: Schema, fields: Sequence[str]) -> list[Field]:
    """The fields of a key, their types without references."""
    root = _root(schema)
    keyed = [root.field(name) for name in fields]
    keyed = [attrs.evolve(field, type=schema.resolve(field.type)) for field in keyed]
    for field in keyed:
        require_identity_type(field.type, topic=root.name, field=field.name)
    return keyed


class _KeySource:
    """Writes the function that makes keys."""

    def __init__(self, schema: Schema, classes: Mapping[str, type]) -> None:
        self._schema = schema
        self._classes = classes
        self._root = _root(schema)
        self.source = Source(encode_text=str.encode, escape=escape, UUID=UUID)

    def part(self, field: Field, *, alone: bool) -> str:
        """Write the statement that reads a field; the expression of its text in the key."""
        value = self.source.fresh("value")
        self.source.line(f"{value} = {self._read(field)}")
        node = cast("Leaf", field.type)
        convert = converter(node, self._classes)
        exact = f"{self.source.bind('text', lambda given: part_text(node, convert(given)))}({value})"
        match node:
            case Primitive(logical=None, name="string"):
                return value if alone else f"escape({value})"
            case Primitive(logical=None, name="int" | "long" as name):
                low, high = INTEGER_RANGES[name]
                return f"str({value}) if type({value}) is int and {low} <= {value} <= {high} else {exact}"
            case Primitive() if kind_of(node) == "uuid":
                return f"str({value}) if type({value}) is UUID else {exact}"
            case Enum(name=name) if name in self._classes:
                known = set(node.symbols)
                members = {m: symbol for symbol, m in enum_symbols(self._classes[name]).items() if symbol in known}
                cls, table = self.source.bind("cls", self._classes[name]), self.source.bind("members", members)
                return f"{table}[{value}] if type({value}) is {cls} else {exact}"
            case _:
                return exact

    def _read(self, field: Field) -> str:
        if self._root.name in self._classes:
            return attribute("record", field.name)
        if field.default is NO_DEFAULT:
            return f"record[{field.name!r}]"
        default = default_value(self._schema, field.type, field.default, classes=self._classes)
        return f"record.get({field.name!r}, {self.source.bind('default', default)})"


def _refusal(
    schema: Schema, fields: Sequence[Field], classes: Mapping[str, type]
) -> Callable[[Any, Exception], Exception]:
    """The function that says what is wrong with a record: only the key's fields are looked at."""
    root = attrs.evolve(_root(schema), fields=tuple(fields))
    finder = FaultFinder(schema, classes)
    names = {field.name for field in fields}

    def refuse(record: Any, error: Exception) -> Exception:
        if isinstance(record, Mapping):
            record = {name: value for name, value in record.items() if name in names}
        faults = list(finder.faults(root, record))
        return InvalidRecord(faults) if faults else error

    return refuse


def _parsed(field: Field, text: str) -> Any:
    node = cast("Leaf", field.type)
    try:
        base = _base(node, text)
        value = from_base(node, base)
        legal = part_text(node, to_base(node, value)) == text
    except (ValueError, OverflowError, DecodeError, InvalidRecord) as error:
        raise DecodeError("the key's value is not of the field's type", field=field.name) from error
    if not legal:
        raise DecodeError("the key's value is not in the one form it has in keys", field=field.name)
    return value


def _base(node: Leaf, text: str) -> Any:
    """The base value whose text in a key this is, perhaps out of range; raises ValueError or OverflowError."""
    if node_is_decimal(node):
        number = int(text)
        return number.to_bytes(node.size, "big", signed=True) if isinstance(node, Fixed) else integer_bytes(number)
    if isinstance(node, Fixed) or node.name == "bytes":
        return bytes.fromhex(text)
    if isinstance(node, Primitive) and node.name in INTEGER_RANGES:
        return int(text)
    if isinstance(node, Primitive) and node.name == "boolean":
        return {"true": True, "false": False}.get(text)
    return text
