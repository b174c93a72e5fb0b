"""A record with a field of every kind a check knows, its rows, and random checks over it."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from onepipe.schema.arrow import arrow_schema
from onepipe.schema.model import Schema


def optional(name: str, kind: Any) -> list[dict[str, Any]]:
    """A required field of a type, and an optional one with `_o` behind its name."""
    if isinstance(kind, dict) and "name" in kind:
        return [{"name": name, "type": kind}, {"name": f"{name}_o", "type": ["null", kind["name"]]}]
    return [{"name": name, "type": kind}, {"name": f"{name}_o", "type": ["null", kind]}]


def logical(base: str, name: str, **rest: int) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **rest}


INNER: Final = {
    "type": "record",
    "name": "Inner",
    "fields": [
        {"name": "k", "type": "long"},
        {"name": "t", "type": ["null", "string"]},
        {"name": "at", "type": logical("long", "timestamp-micros")},
    ],
}
FIELDS: Final = [
    *optional("b", "boolean"),
    *optional("i", "int"),
    *optional("l", "long"),
    *optional("f", "float"),
    *optional("d", "double"),
    *optional("m", logical("bytes", "decimal", precision=12, scale=2)),
    *optional("w", logical("bytes", "decimal", precision=38, scale=10)),
    *optional("z", logical("bytes", "decimal", precision=5, scale=0)),
    *optional("s", "string"),
    *optional("e", {"type": "enum", "name": "Status", "symbols": ["queued", "done", "lost"]}),
    *optional("y", "bytes"),
    *optional("u", logical("string", "uuid")),
    *optional("day", logical("int", "date")),
    *optional("hour", logical("int", "time-millis")),
    *optional("tick", logical("long", "time-micros")),
    *optional("ts", logical("long", "timestamp-micros")),
    *optional("tm", logical("long", "timestamp-millis")),
    *optional("lt", logical("long", "local-timestamp-micros")),
    *optional("a", {"type": "array", "items": "string"}),
    *optional("r", INNER),
]
SCHEMA: Final = Schema.parse({"type": "record", "name": "Row", "fields": FIELDS})
COLUMNS: Final = arrow_schema(SCHEMA)


class Status(enum.Enum):
    """The enum as Python members, whose values are no symbols: their names are."""

    queued = 1
    done = 2
    lost = 3


BERLIN: Final = ZoneInfo("Europe/Berlin")
TEXTS: Final = ("", "a", "A", "ab", "Ab", "ä", "Ä", "a\0", "\U0001f986", "￿", "a'b", 'a"b', "a\nb", "%", "_", "z9", "ß")
INTS: Final = (0, 1, -1, 2, 7, -7, (1 << 31) - 1, -(1 << 31))
LONGS: Final = (*INTS, (1 << 53) + 1, -(1 << 53) - 1, (1 << 63) - 1, -(1 << 63))
FLOATS: Final = (0.0, -0.0, 0.1, -1.5, 1e308, -1e308, 5e-324, 3.0, 7.0, math.inf, -math.inf, math.nan, 2.0**53)
SINGLES: Final = (0.0, -0.0, 0.1, -1.5, 3.4e38, 1e-45, 7.0, math.inf, -math.inf, math.nan)
UUIDS: Final = (uuid.UUID(int=0), uuid.UUID(int=(1 << 128) - 1), uuid.UUID("01234567-89ab-cdef-0123-456789abcdef"))
DAYS: Final = (dt.date(1, 1, 1), dt.date(1970, 1, 1), dt.date(2013, 1, 31), dt.date(9999, 12, 31))
TIMES: Final = (dt.time(0), dt.time(23, 59, 59, 999000), dt.time(12, 30))
MOMENTS: Final = (
    dt.datetime(1, 1, 2, tzinfo=dt.UTC),
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2013, 10, 27, 0, 30, tzinfo=dt.UTC),
    dt.datetime(2013, 10, 27, 1, 10, tzinfo=dt.UTC),
    dt.datetime(2013, 10, 27, 2, 30, tzinfo=BERLIN),
    dt.datetime(2013, 10, 27, 2, 10, fold=1, tzinfo=BERLIN),
    dt.datetime(2013, 1, 1, 12, 0, 0, 5000, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
    dt.datetime(9999, 12, 30, 23, 59, 59, 999000, tzinfo=dt.UTC),
)
LOCALS: Final = (dt.datetime(1, 1, 1), dt.datetime(2013, 10, 27, 2, 30), dt.datetime(9999, 12, 31, 23, 59, 59, 999999))  # noqa: DTZ001  local timestamps have no zone


def _decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    largest = 10**precision - 1
    pool = st.sampled_from((0, 1, -1, 100, 250, largest, -largest)) | st.integers(-largest, largest)
    return pool.map(lambda unscaled: Decimal(f"{unscaled}E-{scale}"))


_texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=("Cs",)), max_size=4)
_moments = st.sampled_from(MOMENTS)
_values: Final[dict[str, st.SearchStrategy[Any]]] = {
    "b": st.booleans(),
    "i": st.sampled_from(INTS) | st.integers(-(1 << 31), (1 << 31) - 1),
    "l": st.sampled_from(LONGS) | st.integers(-(1 << 63), (1 << 63) - 1),
    "f": st.sampled_from(SINGLES) | st.floats(width=32),
    "d": st.sampled_from(FLOATS) | st.floats(),
    "m": _decimals(12, 2),
    "w": _decimals(38, 10),
    "z": _decimals(5, 0),
    "s": _texts,
    "e": st.sampled_from(("queued", "done", "lost", *Status)),
    "y": st.sampled_from((b"", b"\0", b"a", b"\xff", b"ab")) | st.binary(max_size=3),
    "u": st.sampled_from(UUIDS),
    "day": st.sampled_from(DAYS),
    "hour": st.sampled_from(TIMES),
    "tick": st.sampled_from((*TIMES, dt.time(0, 0, 0, 1))),
    "ts": _moments,
    "tm": _moments,
    "lt": st.sampled_from(LOCALS),
    "a": st.lists(st.just("x"), max_size=3),
    "r": st.fixed_dictionaries({"k": st.sampled_from(LONGS), "t": st.none() | _texts, "at": _moments}),
}
rows: Final = st.fixed_dictionaries(
    {**_values, **{f"{name}_o": st.none() | values for name, values in _values.items()}}
)


def column_value(value: Any) -> Any:
    """A logical value as Arrow takes it for the lake's column."""
    match value:
        case enum.Enum():
            return value.name
        case uuid.UUID():
            return str(value)
        case dt.time():
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
        case dt.datetime() if value.tzinfo is not None:
            return value.astimezone(dt.UTC)
        case dict():
            return {name: column_value(inner) for name, inner in value.items()}
        case _:
            return value


class Writer:
    """Draws the text of a check that is of the right types, though its numbers may need too many digits."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def field(self, *names: str) -> str:
        return self.pick(*names, *(f"{name}_o" for name in names))

    def condition(self, depth: int) -> str:
        forms = ["compare", "compare", "compare", "null", "within", "flag"]
        if depth:
            forms += ["junction", "junction", "junction", "negation", "equal"]
        return getattr(self, self.pick(*forms))(depth - 1)

    def junction(self, depth: int) -> str:
        word = self.pick(" AND ", " or ")
        return word.join(f"({self.condition(depth)})" for _ in range(self.pick(2, 2, 3)))

    def negation(self, depth: int) -> str:
        return f"NOT ({self.condition(depth)})"

    def equal(self, depth: int) -> str:
        return f"({self.condition(depth)}) {self.pick('=', '<>')} ({self.condition(depth)})"

    def flag(self, _depth: int) -> str:
        float_, text = self.field("f", "d"), self.text(1)
        pattern = self.pick("a*", "[A-Z]?b?", ".", "[^a]{1,2}", r"\w+", "(a|ab)(b|)", "^.*$", "a.b")
        return self.pick(
            self.field("b"),
            f"isfinite({float_})",
            f"starts_with({text}, {self.text(0)})",
            f"matches({text}, '{pattern}')",
            f"coalesce({self.field('b')}, {self.pick('TRUE', 'b', 'b_o')})",
        )

    def null(self, depth: int) -> str:
        operand = self.pick(self.field(*_values), self.pick("r.k", "r_o.k", "r_o.t"), f"({self.any(depth)[0]})")
        return f"{operand} IS {self.pick('', 'NOT ')}NULL"

    def compare(self, depth: int) -> str:
        left, right = self.any(depth)
        return f"{left} {self.pick('=', '<>', '!=', '<', '<=', '>', '>=')} {right}"

    def within(self, depth: int) -> str:
        word = self.pick("", "NOT ")
        if self.pick(True, False):
            (left, low), high = self.any(depth), None
            return f"{left} {word}BETWEEN {low} AND {high or left}"
        operand, literals = self.pick(
            (self.field("i", "l"), ("0", "1", "-7", "9223372036854775807", "-9223372036854775808", "2.0", "7.5")),
            (self.field("m", "z"), ("0", "1", "2.5", "-0.01", "0.001")),
            (self.field("f", "d"), ("0", "0.1", "1e308", "-1.5", "7")),
            (self.field("s"), ("'a'", "'ä'", "''", "'a''b'")),
            (self.field("e"), ("'queued'", "'done'")),
            (self.field("u"), ("'01234567-89AB-cdef-0123-456789abcdef'",)),
            (self.field("day"), ("DATE '2013-01-31'", "date '0001-01-01'")),
            (self.field("hour", "tick"), ("TIME '12:30'", "TIME '00:00:00.000001'")),
            (self.field("ts", "tm"), ("TIMESTAMP '2013-10-27 02:30+02:00'", "TIMESTAMP '1970-01-01T00:00Z'")),
            (self.field("lt"), ("TIMESTAMP '2013-10-27 02:30'",)),
            (self.field("b"), ("TRUE", "FALSE")),
        )
        items = self.draw(st.lists(st.sampled_from(literals), min_size=1, max_size=3))
        return f"{operand} {word}IN ({', '.join(items)})"

    def any(self, depth: int) -> tuple[str, str]:
        """Two operands that can be compared with one another."""
        kind = self.pick(self.integer, self.integer, self.decimal, self.float_, self.float_, self.text, self.other)
        if kind == self.other:
            return self.other()
        return kind(depth), kind(depth)

    def arithmetic(self, depth: int, operand: Any, operators: str) -> str:
        left, right = operand(depth - 1), operand(depth - 1)
        return self.pick(
            f"({left} {self.pick(*operators)} {right})",
            f"({left} {self.pick(*operators)} {right})",
            f"(- {left})",
            f"abs({left})",
            f"coalesce({left}, {right})",
        )

    def integer(self, depth: int) -> str:
        if depth > 0 and self.pick(True, False):
            return self.arithmetic(depth, self.integer, "+-*%")
        literal = str(self.pick(1, 2, 3, 7, 1 << 31, 10**20))
        return self.pick(self.field("i", "l"), self.field("i", "l"), "r_o.k", literal, f"length({self.measured()})")

    def measured(self) -> str:
        return self.pick(self.field("s", "y", "a"), "r_o.t", self.text(1))

    def decimal(self, depth: int) -> str:
        if depth > 0 and self.pick(True, False):
            return self.arithmetic(depth, self.decimal, "+-*")
        return self.pick(self.field("m", "w", "z"), self.field("m", "z"), "2.5", "0.01", "7", self.field("i"))

    def float_(self, depth: int) -> str:
        if depth > 0 and self.pick(True, False):
            return self.arithmetic(depth, self.float_, "+-*/")
        literal = self.pick("0.1", "1e308", "2", "1.5e-320", "0.5")
        division = f"({self.field('i', 'l')} / {self.field('i', 'l')})"
        return self.pick(self.field("f", "d"), self.field("f", "d"), f"({self.field('d')} + 0)", literal, division)

    def text(self, depth: int) -> str:
        if depth > 0 and self.pick(True, False):
            inner = self.text(depth - 1)
            return self.pick(f"lower({inner})", f"UPPER({inner})", f"coalesce({inner}, {self.text(depth - 1)})")
        literal = self.pick("''", "'a'", "'Ä'", "'a''b'", "'\U0001f986'", "'%'")
        return self.pick(self.field("s"), self.field("s"), f"lower({self.field('e')})", "r.t", "r_o.t", literal)

    def other(self) -> tuple[str, str]:
        zoned = ("TIMESTAMP '2013-10-27 00:30:00Z'", "timestamp '2013-10-27T02:10+01:00'", "r_o.at")
        kinds = (
            (("y",), ()),
            (("e",), ("'queued'", "'lost'")),
            (("u",), ("'01234567-89ab-cdef-0123-456789abcdef'", "'FFFFFFFF-ffff-ffff-ffff-ffffffffffff'")),
            (("day",), ("DATE '1970-01-01'", "DATE '9999-12-31'")),
            (("hour", "tick"), ("TIME '12:30'", "TIME '23:59:59.999'", "TIME '00:00:00.000001'")),
            (("ts", "tm"), zoned),
            (("lt",), ("TIMESTAMP '2013-10-27 02:30:00'",)),
        )
        names, literals = self.pick(*kinds)
        left = self.field(*names)
        right = self.pick(self.field(*names), self.field(*names), *literals, f"coalesce({self.field(*names)}, {left})")
        return left, right


@st.composite
def checks(draw: st.DrawFn, depth: int = 3) -> str:
    """The text of a check over the record."""
    return Writer(draw).condition(depth)
