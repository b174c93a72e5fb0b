"""Compatibility of Avro schemas: what a reader's schema cannot read of a writer's, and how to mend it.

`can_read` judges one pair, for every value that the writer's schema can write. `check` judges a new schema against
the earlier ones of its subject at one of the seven levels.

Source: Apache Avro 1.12 specification, section "Schema Resolution". Beyond its letter, one thing is refused: a logical
type read as a different one, because the same bytes would then mean another value (milliseconds as microseconds).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import attrs

from onepipe.schema.defaults import default_fault
from onepipe.schema.matching import PROMOTIONS, choose_branch, pair_fields, same_name
from onepipe.schema.model import (
    NO_DEFAULT,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Named,
    Node,
    Primitive,
    Record,
    Schema,
    Union,
)


class Level(StrEnum):
    """What a new schema of a subject owes to the earlier ones (Confluent's levels)."""

    NONE = "NONE"
    """Nothing."""
    BACKWARD = "BACKWARD"
    """It reads what the latest one wrote."""
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    """It reads what every earlier one wrote."""
    FORWARD = "FORWARD"
    """The latest one reads what it writes."""
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    """Every earlier one reads what it writes."""
    FULL = "FULL"
    """BACKWARD and FORWARD."""
    FULL_TRANSITIVE = "FULL_TRANSITIVE"
    """BACKWARD_TRANSITIVE and FORWARD_TRANSITIVE."""

    @property
    def backward(self) -> bool:
        """Whether a new schema must read what earlier ones wrote."""
        return self.startswith(("BACKWARD", "FULL"))

    @property
    def forward(self) -> bool:
        """Whether earlier schemas must read what a new one writes."""
        return self.startswith(("FORWARD", "FULL"))

    @property
    def transitive(self) -> bool:
        """Whether all earlier schemas count, not just the latest."""
        return self.endswith("_TRANSITIVE")


class Kind(StrEnum):
    """What stands between a reader and a writer; the first six bear the names Avro's own Java library gives them."""

    NAME_MISMATCH = "NAME_MISMATCH"
    FIXED_SIZE_MISMATCH = "FIXED_SIZE_MISMATCH"
    MISSING_ENUM_SYMBOLS = "MISSING_ENUM_SYMBOLS"
    READER_FIELD_MISSING_DEFAULT_VALUE = "READER_FIELD_MISSING_DEFAULT_VALUE"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    MISSING_UNION_BRANCH = "MISSING_UNION_BRANCH"
    LOGICAL_TYPE_MISMATCH = "LOGICAL_TYPE_MISMATCH"
    INVALID_DEFAULT = "INVALID_DEFAULT"


@attrs.frozen
class Problem:
    """One thing of a writer's schema that a reader's cannot read.

    Attributes:
        kind: what stands between them.
        field: path of the reader's field ("price", "lines[].sku", "labels{}"); empty for the schema as a whole.
        message: what is wrong.
        mend: what would make it right.
    """

    kind: Kind
    field: str
    message: str
    mend: str

    def __str__(self) -> str:
        text = f"{self.message} ({self.mend})"
        return f"{self.field}: {text}" if self.field else text


def can_read(reader: Schema, writer: Schema) -> tuple[Problem, ...]:
    """What keeps `reader` from reading some value that `writer` writes; empty where it reads all.

    Mends say what to change in `reader`.
    """
    return _Resolution(reader, writer, _Sides("the reader's schema", "the writer's schema", mend_reader=True)).run()


def check(
    level: Level, new: Schema, previous: Sequence[Schema], labels: Sequence[str] | None = None
) -> tuple[Problem, ...]:
    """What keeps `new` from following the schemas before it; mends say what to change in `new`.

    Args:
        level: what the new schema owes to the earlier ones.
        new: the new schema.
        previous: the earlier schemas of the subject, oldest first.
        labels: what messages call each earlier schema ("version 3"), as many as `previous`.

    Returns:
        The problems against the latest schema first. One that several earlier schemas share is told once.
    """
    labels = labels or ["the earlier schema"] * len(previous)
    opposed = list(zip(previous, labels, strict=True))
    opposed = opposed[::-1] if level.transitive else opposed[-1:]
    found: dict[tuple[bool, Kind, str, str], Problem] = {}
    for earlier, label in opposed:
        if level.backward:
            sides = _Sides("the new schema", label, mend_reader=True)
            for problem in _Resolution(new, earlier, sides).run():
                found.setdefault((True, problem.kind, problem.field, problem.mend), problem)
        if level.forward:
            sides = _Sides(label, "the new schema", mend_reader=False)
            for problem in _Resolution(earlier, new, sides).run():
                found.setdefault((False, problem.kind, problem.field, problem.mend), problem)
    return tuple(found.values())


@attrs.frozen
class _Sides:
    """What messages call the two schemas, and which of them the mends change."""

    reader: str
    writer: str
    mend_reader: bool


_MENDS: Final[dict[Kind, tuple[str, str]]] = {
    Kind.NAME_MISMATCH: (
        "keep the name {writer}, or add it to the aliases of {reader}",
        "keep the name {reader}",
    ),
    Kind.FIXED_SIZE_MISMATCH: (
        "keep the size {writer}; another size is a new field with a default",
        "keep the size {reader}; another size is a new field",
    ),
    Kind.MISSING_ENUM_SYMBOLS: (
        "keep the symbols {writer}, or give the enum a default",
        "do not add the symbols {writer} while readers' enums have no default",
    ),
    Kind.READER_FIELD_MISSING_DEFAULT_VALUE: (
        "give the field a default; where it was renamed, its old name as an alias",
        "keep the field; before it goes, the readers' schema must have a default for it",
    ),
    Kind.TYPE_MISMATCH: (
        "keep the type {writer}, or a type it can be read as; another type is a new field with a default",
        "keep the type {reader}; another type is a new field",
    ),
    Kind.MISSING_UNION_BRANCH: (
        "keep {writer} in the union",
        "leave {writer} out of the union",
    ),
    Kind.LOGICAL_TYPE_MISMATCH: (
        "keep {writer}; another meaning is a new field with a default",
        "keep {reader}; another meaning is a new field",
    ),
    Kind.INVALID_DEFAULT: (
        "give the field a default of its type",
        "keep the field; the readers' default for it is not of its type",
    ),
}
"""By kind, the mend where the reader's schema is changed and where the writer's is."""


class _Resolution:
    """Resolves one reader's schema against one writer's: each pair of records once, nearest to the root first."""

    def __init__(self, reader: Schema, writer: Schema, sides: _Sides) -> None:
        self.reader = reader
        self.writer = writer
        self.sides = sides
        self.problems: list[Problem] = []
        self.pending: deque[tuple[str, Record, Record]] = deque()
        self.seen: set[tuple[str, str]] = set()

    def run(self) -> tuple[Problem, ...]:
        self.node("", self.reader.root, self.writer.root)
        while self.pending:
            self.record(*self.pending.popleft())
        return tuple(self.problems)

    def fail(self, kind: Kind, path: str, message: str, reader: object = "", writer: object = "") -> None:
        mend = _MENDS[kind][0 if self.sides.mend_reader else 1].format(reader=reader, writer=writer)
        self.problems.append(Problem(kind, path, message, mend))

    def node(self, path: str, reader: Node, writer: Node) -> None:
        reader, writer = self.reader.resolve(reader), self.writer.resolve(writer)
        if isinstance(writer, Union):
            for branch in writer.branches:
                self.node(path, reader, branch)
        elif isinstance(reader, Union):
            self.branch(path, reader, writer)
        else:
            self.pair(path, reader, writer)

    def branch(self, path: str, reader: Union, writer: Node) -> None:
        number = choose_branch(self.reader, reader, writer)
        if number is None:
            message = f"{self.sides.writer} may write {_name(writer)}, of which {self.sides.reader} has no branch"
            self.fail(Kind.MISSING_UNION_BRANCH, path, message, writer=_name(writer))
            return
        branch = self.reader.resolve(reader.branches[number])
        ambiguous = isinstance(branch, Record) and reader.nullable is None
        self.pair(f"{path}<{_name(branch)}>" if ambiguous else path, branch, writer)

    def pair(self, path: str, reader: Node, writer: Node) -> None:
        match reader, writer:
            case Array(), Array():
                self.node(f"{path}[]", reader.items, writer.items)
            case Map(), Map():
                self.node(f"{path}{{}}", reader.values, writer.values)
            case Primitive(), Primitive():
                self.primitive(path, reader, writer)
            case Record(), Record():
                if self.named(path, reader, writer) and (reader.name, writer.name) not in self.seen:
                    self.seen.add((reader.name, writer.name))
                    self.pending.append((path, reader, writer))
            case Enum(), Enum():
                if self.named(path, reader, writer):
                    self.enum(path, reader, writer)
            case Fixed(), Fixed():
                if self.named(path, reader, writer):
                    self.fixed(path, reader, writer)
            case _:
                self.mismatch(path, reader, writer)

    def mismatch(self, path: str, reader: Node, writer: Node) -> None:
        if isinstance(writer, Primitive) and writer.name == "null":
            message = f"{self.sides.writer} may write null, which {self.sides.reader} does not allow"
            self.fail(Kind.MISSING_UNION_BRANCH, path, message, writer="null")
            return
        message = (
            f"{self.sides.writer} writes {_name(writer)}, which {self.sides.reader} cannot read as {_name(reader)}"
        )
        self.fail(Kind.TYPE_MISMATCH, path, message, _name(reader), _name(writer))

    def named(self, path: str, reader: Named, writer: Named) -> bool:
        if same_name(reader, writer):
            return True
        message = f"{self.sides.writer} names the type {writer.name}, {self.sides.reader} {reader.name}"
        self.fail(Kind.NAME_MISMATCH, path, message, reader.name, writer.name)
        return False

    def primitive(self, path: str, reader: Primitive, writer: Primitive) -> None:
        if reader.name != writer.name and reader.name not in PROMOTIONS.get(writer.name, ()):
            self.mismatch(path, reader, writer)
        else:
            self.logical(path, reader, writer)

    def logical(self, path: str, reader: Primitive | Fixed, writer: Primitive | Fixed) -> None:
        decimal_as_text = "string" in (reader.name, writer.name) and _is_decimal(reader) != _is_decimal(writer)
        if (reader.logical and writer.logical and reader.logical != writer.logical) or decimal_as_text:
            message = (
                f"{self.sides.writer} means {_name(writer)}, {self.sides.reader} {_name(reader)}, by the same bytes"
            )
            self.fail(Kind.LOGICAL_TYPE_MISMATCH, path, message, _name(reader), _name(writer))

    def fixed(self, path: str, reader: Fixed, writer: Fixed) -> None:
        if reader.size != writer.size:
            message = f"{self.sides.writer} writes {writer.size} bytes, {self.sides.reader} reads {reader.size}"
            self.fail(Kind.FIXED_SIZE_MISMATCH, path, message, reader.size, writer.size)
        else:
            self.logical(path, reader, writer)

    def enum(self, path: str, reader: Enum, writer: Enum) -> None:
        unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        if unknown and reader.default is None:
            symbols = ", ".join(unknown)
            message = f"{self.sides.writer} may write {symbols}, which {self.sides.reader} does not know"
            self.fail(Kind.MISSING_ENUM_SYMBOLS, path, message, writer=symbols)

    def record(self, path: str, reader: Record, writer: Record) -> None:
        sources = pair_fields(reader, writer)
        for field in reader.fields:
            inner = f"{path}.{field.name}" if path else field.name
            source = sources[field.name]
            if source is not None:
                self.node(inner, field.type, source.type)
            else:
                self.default(inner, field)

    def default(self, path: str, field: Field) -> None:
        if field.default is NO_DEFAULT:
            message = f"{self.sides.writer} has no such field, and {self.sides.reader} no default for it"
            self.fail(Kind.READER_FIELD_MISSING_DEFAULT_VALUE, path, message)
        elif fault := default_fault(self.reader, field.type, field.default):
            message = f"{self.sides.writer} has no such field, and in {self.sides.reader} {fault}"
            self.fail(Kind.INVALID_DEFAULT, path, message)


def _is_decimal(node: Primitive | Fixed) -> bool:
    return node.logical is not None and node.logical.name == "decimal"


def _name(node: Node) -> str:
    match node:
        case Primitive(logical=logical) | Fixed(logical=logical) if logical is not None:
            digits = f"({logical.precision}, {logical.scale})" if logical.precision else ""
            return f"{logical.name}{digits} over {node.name}"
        case Primitive(name=name) | Fixed(name=name) | Enum(name=name) | Record(name=name):
            return name
        case _:
            return type(node).__name__.lower()
