"""From parsed JSON to the logical values of an Avro type, strictly: compiled once per type.

| Avro | JSON |
|---|---|
| boolean, string, null | the same |
| int, long | a number without point or exponent |
| float, double | a number; the nearest value |
| decimal | text, or a number; exact |
| bytes, fixed | text in base64 |
| enum | the symbol |
| uuid | text in canonical form |
| date, time, timestamp | text by ISO 8601 (RFC 3339), or a count in the type's unit; a timestamp has an offset or `Z` |
| array, map, record | an array, an object, an object; names that the record does not have are passed over |
| union | null, or the first branch that the value fits |

A field that is missing has its default, else null where that is one of its values.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

from onepipe.attached.json_text import MAX_DIGITS, bounded
from onepipe.errors import DecodeError, InvalidRecord
from onepipe.schema.model import (
    NO_DEFAULT,
    Array,
    Enum,
    Field,
    Map,
    Node,
    Primitive,
    Record,
    Schema,
    Union,
    branch_name,
)
from onepipe.schema.values import Duration, Leaf, from_base, kind_of, to_base

Convert: TypeAlias = Callable[[Any], Any]
"""From a parsed JSON value to a logical one; raises DecodeError."""

_DATE: Final = r"(\d{4})-(\d\d)-(\d\d)"
_TIME: Final = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
_OFFSET: Final = r"(?:([Zz])|([+-])(\d\d):?(\d\d))"
_DATE_TEXT: Final = re.compile(_DATE, re.ASCII)
_TIME_TEXT: Final = re.compile(_TIME, re.ASCII)
_MOMENT_TEXT: Final = re.compile(f"{_DATE}[Tt ]{_TIME}{_OFFSET}?", re.ASCII)
_UUID_TEXT: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DECIMAL_TEXT: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,4})?", re.ASCII)


def compile_json(schema: Schema, node: Node) -> Convert:
    """Compile the conversion to a type of a schema.

    Whether a value is within its type's bounds (an int's range, a decimal's scale), whoever encodes it finds out; only
    among the branches of a union it is found out here.
    """
    return _Compiler(schema).of(node)


def field_value(field: Field, given: Mapping[str, Any]) -> Any:
    """What a JSON object says of a field, by its name or a former one; NO_DEFAULT where it says nothing."""
    for name in (field.name, *field.aliases):
        if name in given:
            return given[name]
    return NO_DEFAULT


class _Compiler:
    """Compiles conversions; keeps those of named types, which may hold themselves."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._records: dict[str, Convert] = {}

    def of(self, node: Node) -> Convert:
        node = self._schema.resolve(node)
        match node:
            case Record():
                return self._record(node)
            case Array(items=items):
                return _array(self.of(items))
            case Map(values=values):
                return _map(self.of(values))
            case Union():
                return self._union(node)
            case Enum():
                return _enum(node)
            case _:
                return _leaf(cast("Leaf", node))

    def checked(self, node: Node) -> Convert:
        """The conversion that also refuses what is beyond the bounds of a leaf's type."""
        node, convert = self._schema.resolve(node), self.of(node)
        if isinstance(node, Record | Array | Map | Union):
            return convert

        def bounded(value: Any) -> Any:
            logical = convert(value)
            try:
                to_base(cast("Leaf", node), logical)
            except InvalidRecord as error:
                raise DecodeError(error.faults[0].message) from None
            return logical

        return bounded

    def _record(self, record: Record) -> Convert:
        if record.name not in self._records:
            named: list[tuple[Field, Convert]] = []

            def convert(value: Any) -> Any:
                if not isinstance(value, dict):
                    raise DecodeError("an object wanted")
                return {
                    field.name: made for field, each in named if (made := _said(field, each, value)) is not NO_DEFAULT
                }

            self._records[record.name] = convert
            named.extend((field, self.of(field.type)) for field in record.fields)
        return self._records[record.name]

    def _union(self, union: Union) -> Convert:
        if union.nullable is not None:
            inner = self.of(union.nullable)
            return lambda value: None if value is None else inner(value)
        branches = [(branch_name(branch), self.checked(branch)) for branch in union.branches]

        def convert(value: Any) -> Any:
            for name, each in branches:
                try:
                    return None if value is None and name == "null" else (name, each(value))
                except DecodeError:
                    continue
            raise DecodeError(f"one of {', '.join(name for name, _ in branches)} wanted")

        return convert


def _said(field: Field, convert: Convert, given: Mapping[str, Any]) -> Any:
    """A field's logical value; NO_DEFAULT where its default stands."""
    value = field_value(field, given)
    if value is NO_DEFAULT:
        if field.default is not NO_DEFAULT:
            return NO_DEFAULT
        value = None
        if not _takes_null(field.type):
            raise DecodeError("it is missing", field=field.name)
    return within(field.name, convert, value)


def within(name: str, convert: Convert, value: Any) -> Any:
    """Convert a value; what is wrong with it is said of this field, or of what is inside it."""
    try:
        return convert(value)
    except DecodeError as error:
        inner = error.field or ""
        error.field = name + (inner if inner.startswith("[") else f".{inner}" if inner else "")
        raise


def _takes_null(node: Node) -> bool:
    branches = node.branches if isinstance(node, Union) else (node,)
    return any(isinstance(branch, Primitive) and branch.name == "null" for branch in branches)


def _array(items: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            raise DecodeError("an array wanted")
        return [within(f"[{number}]", items, each) for number, each in enumerate(value)]

    return convert


def _map(values: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise DecodeError("an object wanted")
        return {name: within("{}", values, each) for name, each in value.items()}

    return convert


def _enum(node: Enum) -> Convert:
    symbols = frozenset(node.symbols)

    def convert(value: Any) -> Any:
        if isinstance(value, str) and value in symbols:
            return value
        if isinstance(value, str) and node.default is not None:
            return node.default
        raise DecodeError("one of the enum's symbols wanted")

    return convert


def _leaf(node: Leaf) -> Convert:
    read = _READERS[kind_of(node)]

    def convert(value: Any) -> Any:
        try:
            return read(node, value)
        except DecodeError:
            raise
        except InvalidRecord as error:
            raise DecodeError(error.faults[0].message) from None
        except (ValueError, OverflowError):
            raise DecodeError(f"no value of type {kind_of(node)}") from None

    return convert


def _is(kind: type) -> Callable[[Leaf, Any], Any]:
    def read(node: Leaf, value: Any) -> Any:
        if type(value) is not kind:
            raise DecodeError(f"{kind_of(node)} wanted")
        return value

    return read


def _floating(node: Leaf, value: Any) -> float:
    if type(value) is not int and type(value) is not Decimal:
        raise DecodeError(f"{kind_of(node)} wanted")
    made = float(value)
    if made in (float("inf"), float("-inf")):
        raise DecodeError(f"beyond the range of {kind_of(node)}")
    return made


def _text(node: Leaf, value: Any) -> str:
    if type(value) is not str:
        raise DecodeError(f"{kind_of(node)} wanted, as text")
    return value


def _bytes(node: Leaf, value: Any) -> bytes:
    try:
        return base64.b64decode(_text(node, value), validate=True)
    except binascii.Error:
        raise DecodeError("text in base64 wanted") from None


def _decimal(node: Leaf, value: Any) -> Decimal:
    if type(value) is int or type(value) is Decimal:
        return Decimal(value)
    text = _text(node, value)
    if len(text) > MAX_DIGITS or not _DECIMAL_TEXT.fullmatch(text):
        raise DecodeError("decimal wanted")
    return bounded(Decimal(text))


def _uuid(node: Leaf, value: Any) -> UUID:
    if not _UUID_TEXT.fullmatch(_text(node, value)):
        raise DecodeError("uuid wanted")
    return UUID(value)


def _count_or(read: Callable[[str], Any]) -> Callable[[Leaf, Any], Any]:
    """A reader of text, or of a count in the type's unit."""

    def either(node: Leaf, value: Any) -> Any:
        if type(value) is int:
            if not -(1 << 63) <= value < 1 << 63:
                raise DecodeError(f"beyond the range of {kind_of(node)}")
            return from_base(node, value)
        return read(_text(node, value))

    return either


def _date(text: str) -> dt.date:
    match = _DATE_TEXT.fullmatch(text)
    if match is None:
        raise DecodeError("a date as YYYY-MM-DD wanted")
    return dt.date(*map(int, match.groups()))


def _time(text: str) -> dt.time:
    match = _TIME_TEXT.fullmatch(text)
    if match is None:
        raise DecodeError("a time as HH:MM:SS wanted")
    return _clock(*match.groups())


def _clock(hours: str, minutes: str, seconds: str | None, fraction: str | None) -> dt.time:
    digits = (fraction or "").ljust(9, "0")
    if int(digits[6:] or 0):
        raise DecodeError("more digits than microseconds hold")
    return dt.time(int(hours), int(minutes), int(seconds or 0), int(digits[:6]))


def _moment(text: str) -> dt.datetime:
    match = _MOMENT_TEXT.fullmatch(text)
    if match is None:
        raise DecodeError("a time as YYYY-MM-DDTHH:MM:SSZ wanted")
    year, month, day, hours, minutes, seconds, fraction, utc, sign, *offset = match.groups()
    local = dt.datetime.combine(dt.date(int(year), int(month), int(day)), _clock(hours, minutes, seconds, fraction))
    if utc:
        return local.replace(tzinfo=dt.UTC)
    if sign is None:
        return local
    ahead = dt.timedelta(hours=int(offset[0]), minutes=int(offset[1]))
    return (local - ahead if sign == "+" else local + ahead).replace(tzinfo=dt.UTC)


def _aware(text: str) -> dt.datetime:
    moment = _moment(text)
    if moment.tzinfo is None:
        raise DecodeError("a time without offset from UTC")
    return moment


def _naive(text: str) -> dt.datetime:
    moment = _moment(text)
    if moment.tzinfo is not None:
        raise DecodeError("a local time with an offset from UTC")
    return moment


def _null(_node: Leaf, value: Any) -> None:
    if value is not None:
        raise DecodeError("null wanted")


def _duration(node: Leaf, value: Any) -> Duration:
    del node
    names = ("months", "days", "milliseconds")
    if not isinstance(value, dict) or value.keys() != set(names):
        raise DecodeError(f"an object of {', '.join(names)} wanted")
    return Duration(*(value[name] for name in names))


_READERS: Final[Mapping[str, Callable[[Leaf, Any], Any]]] = {
    "null": _null,
    "boolean": _is(bool),
    "int": _is(int),
    "long": _is(int),
    "float": _floating,
    "double": _floating,
    "string": _is(str),
    "bytes": _bytes,
    "fixed": _bytes,
    "decimal": _decimal,
    "uuid": _uuid,
    "duration": _duration,
    "date": _count_or(_date),
    "time-millis": _count_or(_time),
    "time-micros": _count_or(_time),
    "timestamp-millis": _count_or(_aware),
    "timestamp-micros": _count_or(_aware),
    "local-timestamp-millis": _count_or(_naive),
    "local-timestamp-micros": _count_or(_naive),
}
