"""Proof of raw files: their columns made anew from the messages they hold, by the code that archives messages.

A raw row holds its message verbatim. Reading that message again must give the row: the same fields, digest, identity,
and the same error where it was quarantined. This finds what a checksum of the file cannot: a fault of the archiver, or
a file that was altered and given a matching name.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.audit.readable import local_files
from onepipe.errors import CorruptFile, NotRegistered, SchemaError
from onepipe.lake import columns as c
from onepipe.lake.raw_identity import column_keys
from onepipe.lake.raw_rows import RowReader
from onepipe.schema.framing import FINGERPRINT_PREFIX, GUID_PREFIX
from onepipe.schema.model import Schema

if TYPE_CHECKING:
    from onepipe.audit.inventory import RawFile
    from onepipe.declaring.topic import Topic
    from onepipe.lake.storage import Storage

_BATCH: Final = 16_384
_WRITER: Final = frozenset({c.EPOCH, c.SEQUENCE})
_DIGEST: Final = frozenset({c.DIGEST_HI, c.DIGEST_LO})


class _FooterSchemas:
    """The schemas a file's footer names, in the part of a registry that decodes messages."""

    def __init__(self, documents: Mapping[int | str, Any], otherwise: Schema | None) -> None:
        self._schemas: dict[int | str, Schema] = {}
        self._otherwise = otherwise
        for name, document in documents.items():
            with contextlib.suppress(SchemaError):  # a damaged footer names anything
                self._schemas[name] = Schema.parse(document)

    def schema(self, schema_id: int) -> Schema:
        """The schema of an id.

        Raises:
            NotRegistered: the footer does not name it.
        """
        return self._named(schema_id)

    def schema_by_guid(self, guid: UUID) -> Schema:
        """The schema of a GUID; raises as `schema`."""
        return self._named(f"{GUID_PREFIX}{guid}")

    def schema_by_fingerprint(self, fingerprint: int, _subjects: Collection[str]) -> Schema:
        """The schema of a fingerprint; raises as `schema`."""
        return self._named(f"{FINGERPRINT_PREFIX}{fingerprint:016x}")

    def _named(self, name: int | str) -> Schema:
        found = self._schemas.get(name, self._otherwise)
        if found is None:
            raise NotRegistered(f"the file names no schema {name}")
        return found


class Contradiction(NamedTuple):
    """A row whose columns contradict the message it holds.

    Attributes:
        detail: what differs.
        writer: whether its writer or sequence does: then nobody knows which record it is.
        key: the identity key that its body tells, where the message's key contradicts the column of its hash.
    """

    detail: str
    writer: bool
    key: bytes | None = None


def contradictions(
    storage: Storage, file: RawFile, declarations: Sequence[Topic], schemas: Mapping[int | str, Any]
) -> dict[int, Contradiction]:
    """The rows of a raw file whose columns contradict the message they hold.

    Args:
        storage: where the file is.
        file: the file.
        declarations: the topic's declarations, the latest first; rows may have been read under any of them.
        schemas: documents of the schemas the rows were written with, by id or name.

    Returns:
        By number of the row in the file, what differs.

    Raises:
        CorruptFile: the file cannot be read.
    """
    found: dict[int, Contradiction] | None = None
    with storage.copies() as copies:
        sources = local_files([file], copies.local)
        for declaration in declarations if sources else ():
            wrong = _contradictions(file, sources[0], declaration, schemas)
            found = wrong if found is None else {row: found[row] for row in found.keys() & wrong.keys()}
            if not found:
                break
    return found or {}


def _contradictions(
    file: RawFile, source: str, topic: Topic, schemas: Mapping[int | str, Any]
) -> dict[int, Contradiction]:
    guessed = bool(file.damage) and topic.source is None
    otherwise = topic.schema if guessed else None  # whether rows fit it, their digests tell
    reader = RowReader(topic, _FooterSchemas(schemas, otherwise), file.place.log)
    wrong: dict[int, Contradiction] = {}
    first = 0
    for batch in _batches(file, source):
        found = _compared(reader, topic, batch)
        if late := _known_later(batch, found, topic, schemas, file.place.log):
            found = {row: contradiction for row, contradiction in found.items() if row not in late}
        wrong.update((first + row, contradiction) for row, contradiction in found.items())
        first += batch.num_rows
    return wrong


def _compared(reader: RowReader, topic: Topic, batch: pa.RecordBatch) -> dict[int, Contradiction]:
    """By number in the batch, the rows that are not what a reader makes of their messages."""
    made = reader.read_again(batch).table
    differing = {
        name: _differing(batch.column(name), made.column(name).combine_chunks())
        for name in batch.schema.names
        if name in made.schema.names
    }
    changed = {row for name in _DIGEST for row in differing.get(name, ())}
    keys = _told_keys(topic, made, [row for row in differing.get(c.IDENTITY, ()) if row not in changed])
    wrong: dict[int, Contradiction] = {}
    for name, rows in differing.items():
        for row in rows:
            writer = name in _WRITER or (row in wrong and wrong[row].writer)
            wrong[row] = Contradiction(_how(name), writer, keys.get(row))
    return wrong


def _told_keys(topic: Topic, made: pa.Table, rows: Sequence[int]) -> dict[int, bytes]:
    """By row, the identity key that the fields of its body make."""
    if not rows or not topic.identity or topic.source is not None:
        return {}
    columns = [made.column(name).combine_chunks() for name in topic.identity]
    told = [row for row in rows if all(column[row].is_valid for column in columns)]
    keys = column_keys(topic, [column.take(pa.array(told, pa.int64())) for column in columns])
    return dict(zip(told, keys, strict=True))


def _known_later(
    batch: pa.RecordBatch, wrong: Collection[int], topic: Topic, schemas: Mapping[int | str, Any], log: str
) -> set[int]:
    """The rows among some that are what their messages gave while the registry did not know their schemas.

    That a file's footer names a schema contradicts no row that says it was not known: the registry may have learnt it
    while the file was written, or before another file that was joined with this one.
    """
    held = batch.column(c.ERROR)
    rows = [row for row in sorted(wrong) if (held[row].as_py() or "").startswith(c.Quarantine.UNKNOWN_SCHEMA)]
    if not rows:
        return set()
    some = batch.take(pa.array(rows))
    late: set[int] = set()
    for known in _less_known(schemas, set(some.column(c.SCHEMA).to_pylist())):
        differing = _compared(RowReader(topic, _FooterSchemas(known, None), log), topic, some)
        late.update(row for number, row in enumerate(rows) if number not in differing)
    return late


def _less_known(schemas: Mapping[int | str, Any], values: Collection[int | None]) -> Iterator[Mapping[int | str, Any]]:
    """What the registry may have known: no schema, or one of those that values name, and none that keys do."""
    yield {}
    for value in values:
        yield {
            name: document
            for name, document in schemas.items()
            if name == value or (value is None and isinstance(name, str))
        }


def _batches(file: RawFile, source: str) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(source) as parquet:
            yield from (batch for batch in parquet.iter_batches(_BATCH) if batch.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFile(f"{file.path} cannot be read as Parquet") from error


def _differing(held: pa.Array, made: pa.Array) -> list[int]:
    """The rows in which two columns differ; NaN equals itself."""
    made = made.cast(held.type)
    if held.equals(made):
        return []
    pairs = zip(held.to_pylist(), made.to_pylist(), strict=True)
    return [row for row, (left, right) in enumerate(pairs) if left != right and not _same(left, right)]


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _how(column: str) -> str:
    if column in _DIGEST:
        return "its bytes have another digest than it had when it was archived"
    return f"column {column} contradicts the message's bytes"
