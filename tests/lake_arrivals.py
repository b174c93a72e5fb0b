"""Arrivals for tests of the clean table: written into a raw table as the archive would, and what they must come to."""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.declaring.fold import Arrival, fold
from onepipe.declaring.topic import Topic
from onepipe.evidence.digest import digest, total
from onepipe.lake import Lake, layout
from onepipe.lake import columns as c
from onepipe.lake.chunks import date_of, parse_path, span
from onepipe.lake.clean_files import read_clean_footer
from onepipe.lake.raw_files import MARK_KEY
from onepipe.lake.raw_footer import RawFooter, Sum
from onepipe.lake.table import LakeTable, NewFile
from onepipe.merge import MergePolicy, latest
from onepipe.schema.identity import identity_hash, join
from onepipe.schema.model import Schema

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LOG = "log-a"
LATEST = latest("version")
TIME = {"type": "long", "logicalType": "timestamp-micros"}
START = dt.datetime(2013, 1, 1, 23, 30, tzinfo=dt.UTC)


def declare_thing(
    merge: MergePolicy = LATEST,
    event_time: str | None = "created",
    identity: str | Sequence[str] = ("name", "number"),
    more: Sequence[Mapping[str, Any]] = (),
    **fields: MergePolicy,
) -> Topic:
    """A topic whose fields have the given policies of their own.

    Args:
        merge: the record's policy.
        event_time: its event time.
        identity: its identity.
        more: further fields.
        **fields: merge policies by field.
    """
    types = {
        "name": "string",
        "number": "long",
        "version": ["null", "long"],
        "weight": ["null", "double"],
        "created": ["null", TIME],
        "status": ["null", "string"],
        "tags": ["null", {"type": "array", "items": "string"}],
    }
    own = {name: {"onepipe": {"merge": policy.document()}} for name, policy in fields.items()}
    declared = [{"name": name, "type": kind, **own.get(name, {})} for name, kind in types.items()]
    schema = Schema.parse({"type": "record", "name": "Thing", "fields": [*declared, *more]})
    return Topic.declare("Things", schema, identity=identity, merge=merge, event_time=event_time)


def thing(name: str, version: int | None = 0, *, day: int | None = 0, deleted: bool = False, **values: Any) -> Event:
    """A record of such a topic, or a delete."""
    created = None if day is None else START + dt.timedelta(days=day)
    given = {"name": name, "number": 1, "version": version, "created": created}
    rest = {} if deleted else {"weight": None, "status": None, "tags": None, **values}
    return Event({**given, **rest}, deleted)


@attrs.frozen
class Event:
    """A message that arrives: a record's values, or those of a delete, or one that is quarantined."""

    values: Mapping[str, Any]
    deleted: bool = False
    error: str | None = None

    @property
    def digest(self) -> tuple[int, int]:
        return tuple(digest(int(self.deleted), repr(sorted(self.values.items())).encode()))


@attrs.frozen
class Placed:
    """An event at its place in the log."""

    event: Event
    partition: int
    offset: int
    log: str = LOG

    @property
    def timestamp(self) -> dt.datetime:
        return _EPOCH + dt.timedelta(days=15_000, hours=7 * self.offset, seconds=self.partition)


def identity_of(topic: Topic, values: Mapping[str, Any]) -> int:
    return identity_hash(join([str(values[name]) for name in topic.identity]))


def raw_table(topic: Topic, events: Sequence[Placed], fields: pa.RecordBatch | None = None) -> pa.Table:
    """The rows of events, their fields from Python values or as given."""
    schema = c.RAW_COLUMNS if fields is not None else c.raw_schema(topic)
    rows = [
        {
            **({} if at.event.error or fields is not None else at.event.values),
            c.LOG: at.log,
            c.PARTITION: at.partition,
            c.OFFSET: at.offset,
            c.TIMESTAMP: at.timestamp,
            c.KEY: b"key",
            c.HEADERS: [],
            c.SCHEMA: None if at.event.deleted else 1,
            c.BODY: None if at.event.deleted else b"body",
            c.DIGEST_HI: at.event.digest[0],
            c.DIGEST_LO: at.event.digest[1],
            c.IDENTITY: None if at.event.error else identity_of(topic, at.event.values),
            c.DELETED: at.event.deleted,
            c.ERROR: at.event.error,
        }
        for at in events
    ]
    table = pa.Table.from_pylist(rows, schema=schema)
    given = [] if fields is None else zip(fields.schema, fields.columns, strict=True)
    for place, (field, column) in enumerate(given):
        table = table.add_column(place, field.remove_metadata(), column)
    return table


def bucket_sums(topic: Topic, placed: Sequence[Placed]) -> dict[int, Sum]:
    """Good arrivals by identity bucket."""
    sums: dict[int, Sum] = {}
    for at in placed:
        if at.event.error is None:
            bucket = c.bucket(identity_of(topic, at.event.values))
            sums[bucket] = sums.get(bucket, Sum()) + Sum(1, *at.event.digest)
    return sums


class Raw:
    """A raw table that is written to event by event."""

    def __init__(self, lake: Lake, topic: Topic) -> None:
        self.lake = lake
        self.topic = topic
        self.next: dict[tuple[str, int], int] = {}
        self.placed: list[Placed] = []

    def archive(
        self, events: Iterable[Event], partition: int = 0, log: str = LOG, fields: pa.RecordBatch | None = None
    ) -> str:
        """Append events as one file and commit it; the file's path below the lake."""
        first = self.next.get((log, partition), 0)
        placed = [Placed(event, partition, offset, log) for offset, event in enumerate(events, first)]
        end = placed[-1].offset + 1
        file = self.write(placed, first, end, fields)
        table = LakeTable.ensure(self.lake.storage, layout.raw_table(self.topic.name), c.raw_schema(self.topic))
        table.commit([file], progress={f"{log}/{partition}": (first or None, end)})
        self.next[log, partition] = end
        self.placed += placed
        return f"{layout.raw_table(self.topic.name)}/{file.path}"

    def write(self, placed: Sequence[Placed], first: int, end: int, fields: pa.RecordBatch | None = None) -> NewFile:
        """Publish a raw file without committing it."""
        rows = raw_table(self.topic, placed, fields)
        head = placed[0]
        footer = RawFooter(
            topic=self.topic.name,
            log=head.log,
            partition=head.partition,
            first=first,
            next=end,
            rows=len(placed),
            quarantined=sum(at.event.error is not None for at in placed),
            schemas={},
            sums=bucket_sums(self.topic, placed),
            writers=(),
            hours={},
        )
        storage = self.lake.storage
        with storage.temporary() as temporary:
            mark = {MARK_KEY: secrets.token_bytes(16)}
            pq.write_table(rows.replace_schema_metadata({**footer.metadata(), **mark}), temporary)
            path = layout.raw_file(head.partition, head.timestamp, first, layout.file_hash(temporary))
            size = temporary.stat().st_size
            storage.publish(temporary, f"{layout.raw_table(self.topic.name)}/{path}")
        statistics = {
            c.LOG: (head.log, head.log),
            c.PARTITION: (head.partition, head.partition),
            c.OFFSET: (head.offset, end - 1),
        }
        return NewFile(path, len(placed), size, statistics)


def expected(topic: Topic, placed: Sequence[Placed]) -> list[dict[str, Any]]:
    """The clean rows that arrivals come to, by the reference, with the day each one belongs to."""
    good = [at for at in placed if at.event.error is None]
    states = fold(topic, [Arrival(at.event.values, at.event.digest, at.event.deleted) for at in good])
    rows = []
    key = lambda at: tuple(at.event.values[name] for name in topic.identity)  # noqa: E731  (used twice, right here)
    for identity, group in itertools.groupby(sorted(good, key=key), key=key):
        state = states[identity]
        copies = [at for at in group_ if at.event.digest == state.winner.digest] if (group_ := list(group)) else []
        winner = min(copies, key=lambda at: (at.log, at.partition, at.offset))
        shown = state.row(topic)
        if shown is None:
            kept = (*topic.identity, *topic.version_fields, *([topic.event_time] if topic.event_time else []))
            shown = {name: winner.event.values.get(name) for name in kept}
            if topic.event_time in state.fields:
                shown[topic.event_time] = state.fields[topic.event_time].value or shown[topic.event_time]
        sums = total(at.event.digest for at in group_)
        moment = shown.get(topic.event_time) if topic.event_time else winner.timestamp
        rows.append(
            {
                **{field.name: shown.get(field.name) for field in topic.record.fields},
                c.IDENTITY: identity_of(topic, winner.event.values),
                c.ARRIVALS: len(group_),
                c.SUM_HI: sums.hi,
                c.SUM_LO: sums.lo,
                c.DIGEST_HI: winner.event.digest[0],
                c.DIGEST_LO: winner.event.digest[1],
                c.DELETED: winner.event.deleted,
                c.LOG: winner.log,
                c.PARTITION: winner.partition,
                c.OFFSET: winner.offset,
                c.TIMESTAMP: winner.timestamp,
                "day": moment.astimezone(dt.UTC).date() if moment else None,
            }
        )
    return in_order(rows)


def clean_rows(lake: Lake, topic: Topic, *, states: bool = False) -> list[dict[str, Any]]:
    """The rows of the clean table as its files hold them, with the day of each file; every file is checked."""
    rows: list[dict[str, Any]] = []
    root = layout.clean_table(topic.name)
    table = LakeTable.find(lake.storage, root)
    assert table is not None
    for file in table.snapshot().files:
        layout.check_content(lake.storage, f"{root}/{file.path}")
        with lake.storage.open(f"{root}/{file.path}") as stream:
            held = pq.read_table(stream)
        place = parse_path(file.path)
        assert place is not None
        check_file(lake, f"{root}/{file.path}", place[1], held)
        names = [name for name in held.schema.names if states or not name.startswith(c.STATE_PREFIX)]
        rows += [{**row, "day": date_of(place[0])} for row in held.select(names).to_pylist()]
    return in_order(rows)


def check_file(lake: Lake, path: str, chunk: int, rows: pa.Table) -> None:
    """Check that a clean file is sorted, within its chunk, and that its footer says what it holds."""
    hashes = rows[c.IDENTITY].to_pylist()
    low, high = span(chunk)
    assert hashes == sorted(hashes)
    assert low <= hashes[0]
    assert hashes[-1] < high
    footer = read_clean_footer(lake.storage, path)
    sums: dict[int, Sum] = {}
    for row in rows.to_pylist():
        bucket = c.bucket(row[c.IDENTITY])
        sums[bucket] = sums.get(bucket, Sum()) + Sum(row[c.ARRIVALS], row[c.SUM_HI], row[c.SUM_LO])
    assert footer.sums == sums
    assert (footer.rows, footer.deleted) == (rows.num_rows, sum(rows[c.DELETED].to_pylist()))


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows sorted by identity hash, floats so that NaN equals itself and zeros have one sign."""
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return sorted(plain, key=lambda row: (row[c.IDENTITY], row[c.SUM_HI], row[c.SUM_LO]))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if value != value else value + 0.0
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) else value
