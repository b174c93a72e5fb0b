"""The dedup plan: from what arrived to what is true, as SQL made once from a topic's declaration.

The plan folds contributions. A raw arrival contributes itself; a row of the clean table contributes all that it stands
for: its winner, how many arrivals, the sum of their digests, and the state of the fields with a merge policy of their
own. Folding is associative, commutative and idempotent in what wins, so folding new arrivals into clean rows gives the
rows that folding all arrivals gives.

Arrivals are in a total order: the version's fields, most significant first, a null before every value, then the two
lanes of the digest. Arrivals that agree in all of these are copies of one record; the one at the least position (log,
partition, offset) stands for them. A delete competes by its version like any arrival; the fields of a deleted row are
null, apart from identity, version and event time, and what its fields' own policies had gathered stays in the state.

SQL is of DuckDB's dialect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import pyarrow as pa
from xxhash import xxh3_64_hexdigest

from onepipe.declaring.topic import Topic, value_type
from onepipe.errors import DeclarationError
from onepipe.lake import columns as c
from onepipe.merge import POSITIONAL, MergePolicy, field_merge
from onepipe.schema.identity import node_is_decimal
from onepipe.schema.model import Fixed, Primitive

ROW: Final = "_op_row"
"""Name of the number that tells contributions apart while they are folded."""
DAY: Final = "_op_day"
"""Name of the day a row belongs to: days since 1970-01-01, null where it has no event time of years 1 to 9999."""

_VALUE: Final = "value"
_DAY_MICROSECONDS: Final = 86_400_000_000
_FIRST_MICROSECOND: Final = -62_135_596_800_000_000
_LAST_MICROSECOND: Final = 253_402_300_799_999_999
_POSITION: Final = (c.LOG, c.PARTITION, c.OFFSET)
_DIGEST: Final = (c.DIGEST_HI, c.DIGEST_LO)
_PLAIN: Final = frozenset({"max", "min"})
"""Combining policies for which a single value stands for itself."""


def quoted(name: str) -> str:
    """A name as SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Text as SQL literal."""
    return "'" + text.replace("'", "''") + "'"


@attrs.frozen
class FieldState:
    """How a field with a merge policy of its own is folded.

    Attributes:
        field: name of the field.
        policy: its policy, with `by` filled in.
        column: name of the hidden column that keeps its state.
        type: Arrow type of that column: of a combining policy the field's own; of a positional one a struct of the
            value and its version.
    """

    field: str
    policy: MergePolicy
    column: str
    type: pa.DataType

    @property
    def positional(self) -> bool:
        """Whether the value of one arrival wins, rather than a combination of all."""
        return self.policy.name in POSITIONAL

    def contribution(self) -> str:
        """The state that one arrival contributes; null where it has no say."""
        field = quoted(self.field)
        if not self.positional:
            # Zero has two signs, which compare equal: keeping one of them makes the greatest of both the same always.
            value = f"{field} + 0::DOUBLE" if pa.types.is_floating(self.type) else field
            return f"CASE WHEN NOT {quoted(c.DELETED)} THEN {value} END"
        skipped = f" AND {field} IS NOT NULL" if self.policy.name == "latest_non_null" else ""
        members = [f"{_VALUE} := {field}", *(f"by{n} := {quoted(b)}" for n, b in enumerate(self.policy.by))]
        members += [f"hi := {quoted(c.DIGEST_HI)}", f"lo := {quoted(c.DIGEST_LO)}"]
        return f"CASE WHEN NOT {quoted(c.DELETED)}{skipped} THEN struct_pack({', '.join(members)}) END"

    def aggregate(self) -> str:
        """The fold of several states."""
        column = quoted(self.column)
        if not self.positional:
            return field_merge(self.policy.name).sql(column)
        members = [f"by{n}" for n in range(len(self.policy.by))]
        order = _order([f"{column}.{m}" for m in (*members, "hi", "lo")], highest=self.policy.name != "first")
        return f"any_value({column} ORDER BY {order})"

    def value(self, state: str) -> str:
        """The field's value in a folded state."""
        return f"({state}).{_VALUE}" if self.positional else state


class MergePlan:
    """The dedup plan of one topic.

    Attributes:
        topic: the declaration it was made from.
        schema: columns of the clean table, state columns included.
        states: the fields with a merge policy of their own.

    Raises:
        DeclarationError: the topic has no merge policy, or a version of a type without an exact order in the lake.
    """

    def __init__(self, topic: Topic) -> None:
        if topic.merge is None:
            raise DeclarationError(
                "a topic without merge policy has no clean table", topic=topic.name, remedy="declare merge=latest(…)"
            )
        self.topic = topic
        self._merge = topic.merge
        self._fields = c.field_columns(topic)
        for name in topic.version_fields:
            self._version(name)
        self.states = tuple(self._states())
        self.schema = c.clean_schema(topic, [pa.field(s.column, s.type) for s in self.states])

    @property
    def pinned(self) -> dict[str, Any]:
        """What of the declaration the rows of the clean table depend on; rows of another one cannot be folded on."""
        return {
            "identity": list(self.topic.identity),
            "merge": self._merge.document(),
            "event_time": self.topic.event_time,
            "fields": {state.field: state.column for state in self.states},
        }

    @property
    def moves(self) -> bool:
        """Whether an identity's day may change: its event time is not part of the identity."""
        return self.topic.event_time not in self.topic.identity

    def arrivals(self, relation: str) -> str:
        """Contributions of the good rows of a raw relation, which numbers its rows as ROW."""
        return self.contributed(f"({self.good(relation)})")

    def good(self, relation: str) -> str:
        """What contributions are made of: the good rows of a raw relation, as `good_schema` and ROW."""
        deleted = f"coalesce({quoted(c.DELETED)}, false) AS {quoted(c.DELETED)}"
        own = [deleted if name == c.DELETED else quoted(name) for name in (*self.good_schema.names, ROW)]
        return f"SELECT {', '.join(own)} FROM {relation} WHERE {quoted(c.ERROR)} IS NULL"

    def contributed(self, relation: str) -> str:
        """Contributions of a relation of good rows."""
        made = {c.ARRIVALS: "1::BIGINT", c.SUM_HI: quoted(c.DIGEST_HI), c.SUM_LO: quoted(c.DIGEST_LO)}
        made |= {state.column: state.contribution() for state in self.states}
        return f"SELECT *, {_aliased(made)} FROM {relation}"

    @property
    def good_schema(self) -> pa.Schema:
        """The columns of `good`, without ROW."""
        own = (*self._fields.names, c.IDENTITY, *_DIGEST, *_POSITION, c.TIMESTAMP, c.DELETED)
        raw = c.raw_schema(self.topic)
        return pa.schema([raw.field(name) for name in own])

    def clean_rows(self, relation: str) -> str:
        """Contributions of the rows of a clean relation, which numbers its rows as ROW."""
        return f"SELECT {', '.join(map(quoted, [*self.schema.names, ROW]))} FROM {relation}"

    def repeated(self, contributions: str) -> str:
        """The identity hashes that need folding: those of more than one contribution.

        All of them, where a field's policy makes something else even of a single value, as union does.
        """
        alone = all(state.positional or state.policy.name in _PLAIN for state in self.states)
        having = " HAVING count(*) > 1" if alone else ""
        return f"SELECT {quoted(c.IDENTITY)} FROM {contributions} GROUP BY ALL{having}"

    def folded(self, contributions: str, repeated: str) -> str:
        """The fold of identities whose hash is in `repeated`: the hash, ROW of the winner, arrivals, sums, states."""
        highest = self._merge.name == "latest"
        order = _order([quoted(n) for n in (*self.topic.version_fields, *_DIGEST)], highest=highest)
        position = ", ".join(f"{quoted(name)} ASC NULLS FIRST" for name in _POSITION)
        made = {
            ROW: f"first({quoted(ROW)} ORDER BY {order}, {position})",
            c.ARRIVALS: f"sum({quoted(c.ARRIVALS)})::BIGINT",
            c.SUM_HI: _wrapped_sum(c.SUM_HI),
            c.SUM_LO: _wrapped_sum(c.SUM_LO),
        }
        made |= {state.column: state.aggregate() for state in self.states}
        hash_ = quoted(c.IDENTITY)
        identity = ", ".join([hash_, *map(quoted, self.topic.identity)])
        return (
            f"SELECT {hash_}, {_aliased(made)} FROM {contributions} SEMI JOIN {repeated} USING ({hash_}) "
            f"GROUP BY {identity}"
        )

    def merged(self, contributions: str, folded: str) -> str:
        """The clean rows, and DAY: contributions that stand alone as they are, and the winners of the others.

        Args:
            contributions: relation of all contributions.
            folded: relation of what `folded` makes of those that are repeated.
        """
        row, identity = quoted(ROW), quoted(c.IDENTITY)
        gathered = [c.ARRIVALS, c.SUM_HI, c.SUM_LO, *(state.column for state in self.states)]
        chosen = {name: f"s.{quoted(name)}" for name in self.schema.names}
        for name in gathered:
            chosen[name] = f"CASE WHEN f.{row} IS NULL THEN s.{quoted(name)} ELSE f.{quoted(name)} END"
        # Of two identities with one hash, each row meets the folds of both, and stays with its own alone.
        rows = (
            f"SELECT {_aliased(chosen)} FROM {contributions} s LEFT JOIN {folded} f USING ({identity}) "
            f"WHERE f.{row} IS NULL OR f.{row} = s.{row}"
        )
        fields = {name: quoted(name) for name in self.schema.names}
        fields |= {state.field: self._field_value(state) for state in self.states}
        placed = f"SELECT {_aliased(fields)} FROM ({rows})"
        return f"SELECT *, {self.day()} AS {quoted(DAY)} FROM ({placed})"

    def _field_value(self, state: FieldState) -> str:
        """A field's value from its state; a deleted row keeps its event time, and shows no other field."""
        value = state.value(quoted(state.column))
        if state.field == self.topic.event_time:
            return f"coalesce({value}, {quoted(state.field)})"
        return f"CASE WHEN NOT {quoted(c.DELETED)} THEN {value} END"

    def day(self) -> str:
        """The day a row belongs to: of its event time, or of its message's timestamp where the topic has none."""
        time = f"epoch_us({quoted(self.topic.event_time or c.TIMESTAMP)})"
        floor = f"({time} - ({time} % {_DAY_MICROSECONDS} + {_DAY_MICROSECONDS}) % {_DAY_MICROSECONDS})"
        within = f"{time} BETWEEN {_FIRST_MICROSECOND} AND {_LAST_MICROSECOND}"
        return f"CASE WHEN {within} THEN ({floor} // {_DAY_MICROSECONDS})::INTEGER END"

    def _states(self) -> Iterator[FieldState]:
        for field in self._fields:
            policy = self.topic.rules(field.name).merge
            if policy is None:
                continue
            if policy.name not in POSITIONAL:
                yield self._field_state(field, policy, field.type)
                continue
            policy = attrs.evolve(policy, by=policy.by or self._merge.by)
            if policy == self._merge:
                continue  # the record's policy picks the same arrival
            versions = [(f"by{n}", self._version(name)) for n, name in enumerate(policy.by)]
            members = [(_VALUE, field.type), *versions, ("hi", pa.int64()), ("lo", pa.int64())]
            yield self._field_state(field, policy, pa.struct(members))

    def _version(self, name: str) -> pa.DataType:
        """The type of a version field.

        Raises:
            DeclarationError: its values have no exact order in the lake, where decimals of more than 38 digits are
                text.
        """
        type_ = self._fields.field(name).type
        node = value_type(self.topic.schema, self.topic.record.field(name).type)
        if isinstance(node, Primitive | Fixed) and node_is_decimal(node) and not pa.types.is_decimal(type_):
            raise DeclarationError("decimals of more than 38 digits make no version", topic=self.topic.name, field=name)
        return type_

    def _field_state(self, field: pa.Field, policy: MergePolicy, type_: pa.DataType) -> FieldState:
        """The state under a column name that changes with policy and type, as a table's column cannot change its."""
        mark = xxh3_64_hexdigest(f"{policy.document()} {type_}".encode())[:8]
        return FieldState(field.name, policy, f"{c.STATE_PREFIX}{field.name}_{mark}", type_)


def _order(expressions: Sequence[str], *, highest: bool) -> str:
    direction = "DESC NULLS LAST" if highest else "ASC NULLS FIRST"
    return ", ".join(f"{expression} {direction}" for expression in expressions)


def _aliased(expressions: Mapping[str, str]) -> str:
    return ", ".join(f"{expression} AS {quoted(name)}" for name, expression in expressions.items())


def _wrapped_sum(column: str) -> str:
    """The sum of signed 64-bit numbers modulo 2**64; DuckDB sums them in 128 bits, and its % keeps the sign."""
    half, full = 1 << 63, 1 << 64
    total = f"sum({quoted(column)})"
    return f"((({total} + {half}) % {full} + {full}) % {full} - {half})::BIGINT"
