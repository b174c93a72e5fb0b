"""Raw rows: a batch of messages as Arrow columns, with what its file's footer sums up.

Work is done by the batch: per message there is one digest, one hash of its key, and nothing else in Python. A message
that cannot be read is a row too, with its error; only a registry that cannot be asked stops the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onepipe.declaring.topic import Topic
from onepipe.lake import columns as c
from onepipe.lake.raw_footer import Bools, Int64s, Tally
from onepipe.lake.raw_headers import (
    AuditColumns,
    epoch_array,
    header_array,
    message_headers,
    read_audit,
    spread,
    writers,
)
from onepipe.lake.raw_identity import column_keys, identity_hashes
from onepipe.lake.raw_records import RecordReader
from onepipe.lake.raw_values import NO_SCHEMA, ValueBatch
from onepipe.registry.port import SchemaSource
from onepipe.transport import Headers, Message

_MILLIS: Final = (-62_135_596_800_000, 253_402_300_799_999)
"""Milliseconds from 1970 of the first and last moment of the years 1 to 9999."""
_MILLISECOND: Final = 1000
_BEYOND: Final = (1 << 63) - 1


@attrs.frozen(eq=False)
class RawRows:
    """Some messages as rows of the raw table.

    Attributes:
        table: the rows, those of each partition in offset order.
        hi: first lanes of the digests.
        lo: second lanes.
        audit: the audit headers.
        schemas: documents of the schemas they were written with, by schema id or name.
    """

    table: pa.Table
    hi: Int64s
    lo: Int64s
    audit: AuditColumns
    schemas: dict[int | str, Any]

    def count(self, tally: Tally) -> None:
        """Add the rows to a footer's sums."""
        identity, error, time = (
            self.table.column(name).combine_chunks() for name in (c.IDENTITY, c.ERROR, c.TIMESTAMP)
        )
        tally.schemas.update(self.schemas)
        tally.add(
            hi=self.hi,
            lo=self.lo,
            good=_flags(error.is_null()),
            identity=_numbers(identity),
            identified=_flags(identity.is_valid()),
            micros=_numbers(time.cast(pa.int64())),
            timed=_flags(time.is_valid()),
        )
        for epoch, places in writers(self.audit):
            rows = self.audit.rows[places]
            tally.add_writer(epoch, self.audit.sequences[places], self.hi[rows], self.lo[rows])

    def by_partition(self) -> Iterator[tuple[int, RawRows]]:
        """The rows by partition, each with its number; copies, where there are several."""
        partitions = self.table.column(c.PARTITION).to_numpy()
        numbers = np.unique(partitions)
        if len(numbers) == 1:
            yield int(numbers[0]), self
            return
        for number in numbers:
            rows = np.flatnonzero(partitions == number)
            table = self.table.take(pa.array(rows))
            yield int(number), RawRows(table, self.hi[rows], self.lo[rows], self.audit.select(rows), self.schemas)


class RowReader:
    """Reads the messages of one topic's log. Used by one thread at a time.

    Args:
        topic: the current declaration; its fields are the columns.
        registry: where schemas are found by id.
        log: identity of the log.
    """

    def __init__(self, topic: Topic, registry: SchemaSource, log: str) -> None:
        self._topic = topic
        self._log = log
        self._records = RecordReader(topic, registry)
        self._schema = c.raw_schema(topic)

    def read(self, messages: Sequence[Message]) -> RawRows:
        """The rows of messages, in their order.

        Raises:
            RegistryUnavailable: the registry cannot be asked about a schema id.
        """
        # Not by zip(*messages): an iterator for each message would set the garbage collector to work on all of them.
        return self.read_columns(
            [message.partition for message in messages],
            [message.offset for message in messages],
            [message.timestamp for message in messages],
            [message.key for message in messages],
            [message.value for message in messages],
            [message.headers for message in messages],
        )

    def read_again(self, rows: pa.RecordBatch) -> RawRows:
        """The rows that the messages of raw rows give; as `read`.

        Args:
            rows: rows of a raw table, of the lake's columns all.
        """
        # a row without time is of a message whose time is beyond the calendar, as this one is
        micros = pc.fill_null(rows.column(c.TIMESTAMP).cast(pa.int64()), _BEYOND).to_numpy(zero_copy_only=False)
        return self.read_columns(
            rows.column(c.PARTITION).to_pylist(),
            rows.column(c.OFFSET).to_pylist(),
            (micros // _MILLISECOND).tolist(),
            rows.column(c.KEY).to_pylist(),
            rows.column(c.BODY).to_pylist(),
            message_headers(rows),
        )

    def read_columns(
        self,
        partitions: Sequence[int],
        offsets: Sequence[int],
        times: Sequence[int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers],
    ) -> RawRows:
        """The rows of messages given as columns of one length; as `read`."""
        count = len(offsets)
        audit = read_audit(headers)
        batch = ValueBatch(keys, values, headers, audit.others, times, framed=self._records.framed)
        self._records.read(batch)
        fields, decoded = batch.columns(self._records.fields)
        expected = _expected(batch, audit)
        system = {
            c.LOG: pa.repeat(pa.scalar(self._log), count),
            c.PARTITION: pa.array(np.fromiter(partitions, np.int32, count)),
            c.OFFSET: pa.array(np.fromiter(offsets, np.int64, count)),
            c.TIMESTAMP: _timestamps(np.fromiter(times, np.int64, count)),
            c.KEY: pa.array(keys, pa.binary()),
            c.HEADERS: header_array(headers, audit),
            c.SCHEMA: pa.array(batch.ids.astype(np.int32), mask=batch.ids <= NO_SCHEMA),
            c.BODY: batch.bodies,
            c.EPOCH: epoch_array(audit),
            c.SEQUENCE: spread(audit.sequences, audit),
            c.EXPECTED: expected,
            c.DIGEST_HI: pa.array(batch.hi),
            c.DIGEST_LO: pa.array(batch.lo),
            c.IDENTITY: self._identities(batch, fields, decoded, audit),
            c.DELETED: pa.array(batch.deleted),
            c.ERROR: _errors(batch.errors, count),
        }
        arrays = [*fields.columns, *(system[name] for name in c.RAW_COLUMNS.names)]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        return RawRows(table, batch.hi, batch.lo, audit, batch.schemas)

    def _identities(self, batch: ValueBatch, fields: pa.Table, decoded: Bools, audit: AuditColumns) -> pa.Array:
        """Identity hashes: of the key where onepipe wrote the message, else of the identity's columns; else null."""
        keys = batch.keys
        hashes = np.zeros(len(keys), np.int64)
        if not self._topic.identity:
            return pa.array(hashes, mask=np.ones(len(keys), np.bool_))
        # the key of a message that others wrote is theirs, whatever it looks like
        ours = (audit.present | batch.deleted) & (self._topic.source is None)
        if ours.all() and None not in keys:
            return pa.array(identity_hashes(cast("Sequence[bytes]", keys)))
        known = np.fromiter((key is not None for key in keys), np.bool_, len(keys)) & ours
        hashes[known] = identity_hashes([keys[row] or b"" for row in np.flatnonzero(known).tolist()])
        rest = np.flatnonzero(decoded & ~known)
        if len(rest):
            columns = [fields.column(name).combine_chunks().take(pa.array(rest)) for name in self._topic.identity]
            hashes[rest] = identity_hashes(column_keys(self._topic, columns))
            known[rest] = True
        return pa.array(hashes, mask=~known)


def _expected(batch: ValueBatch, audit: AuditColumns) -> pa.Array:
    """The audit headers' checks that differ from the digest, null elsewhere; their rows are quarantined.

    Nothing is said of a row whose digest cannot be made because its schema is not known.
    """
    expected = np.zeros(len(batch.hi), np.int64)
    differs = np.zeros(len(batch.hi), np.bool_)
    wrong = audit.checks != batch.hi[audit.rows]
    expected[audit.rows[wrong]] = audit.checks[wrong]
    differs[audit.rows[wrong]] = True
    for row in audit.rows[wrong].tolist():
        if not batch.errors.get(row, "").startswith(c.Quarantine.UNKNOWN_SCHEMA):
            batch.errors[row] = f"{c.Quarantine.ALTERED}: its digest is not the one its writer sent along"
    return pa.array(expected, mask=~differs)


def _timestamps(millis: Int64s) -> pa.Array:
    """Message times as timestamps; null outside the years 1 to 9999."""
    sound = (millis >= _MILLIS[0]) & (millis <= _MILLIS[1])
    micros = np.where(sound, millis, 0) * 1000
    return pa.array(micros, mask=None if sound.all() else ~sound).cast(pa.timestamp("us", "UTC"))


def _errors(errors: dict[int, str], count: int) -> pa.Array:
    """Texts by row as an array, null elsewhere."""
    if not errors:
        return pa.nulls(count, pa.string())
    texts: list[str | None] = [None] * count
    for row, text in errors.items():
        texts[row] = text
    return pa.array(texts, pa.string())


def _flags(array: pa.Array) -> Bools:
    flags: Bools = array.to_numpy(zero_copy_only=False)
    return flags


def _numbers(array: pa.Array) -> Int64s:
    """An int64 array's values, zero for null."""
    numbers: Int64s = array.fill_null(0).to_numpy(zero_copy_only=False)
    return numbers
