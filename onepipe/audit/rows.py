"""Row by row: where sums disagree, the rows of a partition are compared with the evidence, and each fault is named.

Works on one engine with these relations, all of the partitions that were opened:

    audited    the rows of raw files: place, row number, epoch, sequence, digest lanes, check, key
    vouched    what writers vouch for: place, epoch, sequence_end, last_offset
    excused    intervals of sequences that writers know to be failed or indeterminate
    manifest   what writers name, where the topic is audited by name: place, epoch, sequence, offset, key, digest lanes
    archived   by place, the offset up to which the log was archived
    damaged    row numbers whose columns or digest contradict their body, how, and whether their writer does
    harmed     damaged files: number, place, range of offsets, rows that were committed
    undecoded  row numbers whose digest is not known, as their schema is not
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import pyarrow as pa

from onepipe.audit.readable import local_files
from onepipe.audit.undecoded import undecoded_rows
from onepipe.audit.verdict import Kind
from onepipe.lake import columns as c
from onepipe.lake.engine import Engine, numbered_files

if TYPE_CHECKING:
    from onepipe.audit.inventory import Place, RawFile
    from onepipe.audit.vouched import Stream, Vouched

_SELECTED: Final = (
    (c.LOG, "log"),
    (c.PARTITION, "part"),
    (c.OFFSET, "pos"),
    (c.EPOCH, "epoch"),
    (c.SEQUENCE, "seq"),
    (c.DIGEST_HI, "hi"),
    (c.DIGEST_LO, "lo"),
    (c.EXPECTED, "expected"),
    (c.KEY, "key"),
    (c.IDENTITY, "identity"),
    (c.ERROR, "error"),
)
_FILE_BITS: Final = 40
_ROW_MASK: Final = (1 << _FILE_BITS) - 1
_PLACE: Final = "log, part"
_STREAM: Final = "log, part, epoch"
_SEQUENCE: Final = "log, part, epoch, seq"


@attrs.frozen
class RowFault:
    """A row that differs from the evidence.

    Attributes:
        kind: lost, repeated or altered.
        log: identity of the log.
        partition: number of the partition.
        offset: where it is, or was; None where no evidence tells.
        epoch: its writer.
        sequence: its number among the writer's records.
        key: its identity key, where known.
        file: path of the raw file that holds it; None where none does.
        row: number of the row in that file.
        first: of a repeated row, the offset of the record itself.
        check: whether the digest differs from the one in the message's own header.
        hi: first lane of the digest it should have, where known.
        lo: second lane.
        hour: hours since 1970 of the message's time; None where it is lost.
        detail: what differs.
        named: whether a manifest tells where it was stored.
    """

    kind: Kind
    log: str
    partition: int
    offset: int | None
    epoch: bytes | None
    sequence: int | None
    key: bytes | None
    file: str | None
    row: int | None
    first: int | None
    check: bool
    hi: int | None
    lo: int | None
    hour: int | None
    detail: str
    named: bool


class RowAudit:
    """The rows of some partitions of a raw table, compared with the evidence."""

    def __init__(
        self,
        engine: Engine,
        files: Sequence[RawFile],
        streams: Mapping[Stream, Vouched],
        archived: Mapping[Place, int],
        manifest: pa.Table | None,
        damaged: pa.Table,
        fingerprints: Collection[int] = (),
    ) -> None:
        """Load the rows.

        Args:
            engine: over the lake's folder.
            files: readable raw files of the partitions.
            streams: what writers vouch for in them.
            archived: by place, the offset up to which the log was archived.
            manifest: what writers name; None where the topic is not audited by name.
            damaged: columns row, detail, writer and key (see `onepipe.audit.proof.Contradiction`).
            fingerprints: of the schemas that the topic was declared with.
        """
        self._engine = engine
        self._paths = [file.path for file in files]
        engine.register("vouched_arrow", _streams_table(streams))
        engine.register("excused_arrow", _excused_table(streams))
        engine.register("archived_arrow", _archived_table(archived))
        engine.register("manifest_arrow", manifest if manifest is not None else _MANIFEST.empty_table())
        engine.register("damaged_arrow", damaged)
        engine.register("harmed_arrow", _harmed_table(files))
        for name in ("vouched", "excused", "archived", "damaged", "harmed"):
            engine.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {name}_arrow", "loading evidence")
        engine.execute("CREATE TEMP TABLE manifest AS SELECT DISTINCT * FROM manifest_arrow", "loading manifests")
        engine.execute(f"CREATE TEMP TABLE audited AS {_audited(local_files(files, engine.local))}", "reading raw rows")
        doubtful = f"SELECT row FROM damaged WHERE writer UNION ({_MISPLACED})"
        engine.execute(f"CREATE TEMP TABLE doubtful AS {doubtful}", "looking for misplaced rows")
        engine.execute("DELETE FROM audited WHERE row IN (SELECT row FROM doubtful)", "leaving misplaced rows out")
        undecoded = undecoded_rows(engine, local_files(files, engine.local), fingerprints)
        engine.register("undecoded_arrow", undecoded)
        engine.execute("CREATE TEMP TABLE undecoded AS SELECT * FROM undecoded_arrow", "loading undecoded rows")
        engine.execute(f"CREATE TEMP TABLE gaps AS {_GAPS}", "comparing rows with the evidence")

    def faults(self) -> list[RowFault]:
        """Every row that is lost, repeated or altered, in order of place and offset."""
        found = [*self._query(Kind.REPEATED, _REPEATED), *self._query(Kind.ALTERED, _ALTERED), *self._lost()]
        return sorted(found, key=lambda f: (f.log, f.partition, -1 if f.offset is None else f.offset, f.kind))

    def undecoded(self) -> int:
        """Rows of known writers that cannot be compared, as the registry gave no schema of theirs."""
        return int(self._engine.row("SELECT count(*) FROM undecoded", "counting undecoded rows")[0])

    def in_flight(self) -> int:
        """Acknowledged records beyond what was archived."""
        return int(self._engine.row(_IN_FLIGHT, "counting in flight")[0])

    def hours(self) -> dict[int, int]:
        """Rows of known writers by hours since 1970 of the message's time."""
        return self._by_hour(f"SELECT * FROM audited SEMI JOIN vouched USING ({_STREAM})")

    def excused_hours(self) -> dict[int, int]:
        """By hours since 1970, the rows among these that are there though their writers know of no outcome."""
        return self._by_hour(_EXCUSED_ROWS)

    def beyond(self) -> int:
        """Records that are there though their writers do not vouch for them: without known outcome, or not yet."""
        return int(self._engine.row(_BEYOND, "counting what nobody vouches for")[0])

    def doubtful(self) -> dict[str, list[int]]:
        """By path of the files loaded, numbers of rows of which nobody knows which record they are; left out here."""
        rows: dict[str, list[int]] = {}
        for row in self._engine.table("SELECT row FROM doubtful", "leaving misplaced rows out")["row"].to_pylist():
            rows.setdefault(self._paths[row >> _FILE_BITS], []).append(row & _ROW_MASK)
        return rows

    def kept(self) -> dict[str, list[int]]:
        """By path of the damaged files among those loaded, the offsets of the rows that are told to be theirs."""
        sql = f"SELECT h.file, list(DISTINCT pos) AS pos FROM audited JOIN harmed h ON row >> {_FILE_BITS} = h.file"
        rows = self._engine.table(f"{sql} GROUP BY h.file", "counting rows of damaged files").to_pylist()
        return {self._paths[row["file"]]: row["pos"] for row in rows}

    def _by_hour(self, sql: str) -> dict[int, int]:
        counts = f"SELECT hour, count(*) AS rows FROM ({sql}) WHERE hour IS NOT NULL GROUP BY hour"
        table = self._engine.table(counts, "counting hours")
        return dict(zip(table["hour"].to_pylist(), table["rows"].to_pylist(), strict=True))

    def _lost(self) -> list[RowFault]:
        return self._query(Kind.LOST, f"SELECT * FROM ({_MISSING}) WHERE NOT in_flight")

    def _query(self, kind: Kind, sql: str) -> list[RowFault]:
        rows: list[dict[str, Any]] = self._engine.table(sql, "comparing rows with the evidence").to_pylist()
        return [
            RowFault(
                kind,
                row["log"],
                row["part"],
                row["pos"],
                row["epoch"],
                row["seq"],
                row["key"],
                None if row["row"] is None else self._paths[row["row"] >> _FILE_BITS],
                None if row["row"] is None else row["row"] & _ROW_MASK,
                row["first_pos"],
                row["checked"],
                row["hi"],
                row["lo"],
                row["hour"],
                row["detail"],
                row["named"],
            )
            for row in rows
        ]


_HOUR: Final = 3_600_000_000
_MICROS: Final = f"epoch_us({c.TIMESTAMP})"


def _audited(files: Sequence[str]) -> str:
    columns = ", ".join(f"{name} AS {short}" for name, short in _SELECTED)
    hour = f"({_MICROS} - ({_MICROS} % {_HOUR} + {_HOUR}) % {_HOUR}) // {_HOUR} AS hour"
    return f"SELECT {columns}, {hour}, _op_row::BIGINT AS row FROM {numbered_files(files, _READ)}"


_READ: Final = pa.schema([c.RAW_COLUMNS.field(name) for name in (*(name for name, _ in _SELECTED), c.TIMESTAMP)])

# A copy of a record is a row of its writer's sequence beside the record itself: that is the one where the manifest says
# it was stored, or the first by offset. Of two at one offset, the one that is told by its body to be whole was there
# before.
_REPEATED: Final = f"""
    SELECT log, part, pos, epoch, seq, coalesce(m_key, key) AS key, row, hi, lo, hour, m_pos IS NOT NULL AS named,
           CASE WHEN number > 1 THEN pos ELSE first_pos END AS first_pos, false AS checked,
           CASE WHEN number > 1 THEN 'a second row of this offset' ELSE 'a copy of offset ' || first_pos END AS detail
    FROM (
        SELECT *, coalesce(m_pos, min(pos) OVER (PARTITION BY {_SEQUENCE})) AS first_pos,
               row_number() OVER (PARTITION BY {_SEQUENCE}, pos ORDER BY detail IS NOT NULL, row) AS number
        FROM (SELECT * FROM audited WHERE epoch IS NOT NULL)
        LEFT JOIN (SELECT row, detail FROM damaged) USING (row)
        LEFT JOIN (SELECT {_SEQUENCE}, pos AS m_pos, key AS m_key FROM manifest) USING ({_SEQUENCE})
    )
    WHERE number > 1 OR pos <> first_pos
"""

_ALTERED: Final = f"""
    SELECT log, part, a.pos AS pos, epoch, seq, coalesce(m.key, d.key, a.key) AS key, row, m.hi AS hi, m.lo AS lo, hour,
           NULL::BIGINT AS first_pos, a.expected IS NOT NULL AND d.detail IS NULL AS checked,
           m.pos IS NOT NULL AS named,
           coalesce(d.detail, 'its bytes are not those that were published') AS detail
    FROM audited a
    LEFT JOIN manifest m USING ({_SEQUENCE})
    LEFT JOIN damaged d USING (row)
    WHERE row NOT IN (SELECT row FROM undecoded)
    AND (a.expected IS NOT NULL OR d.detail IS NOT NULL OR (m.hi IS NOT NULL AND (m.hi, m.lo) <> (a.hi, a.lo)))
"""

# From `start` to before `stop`, sequences that no row has (where a manifest tells its offset, no row there), and whose
# writer does not know that they failed. They are in flight where no later row of the writer is there, and it had
# records stored beyond what was archived. `before` counts those in gaps before this one.
_GAPS: Final = f"""
    WITH covered AS (
        SELECT {_STREAM}, seq AS first, seq AS last FROM audited a
        JOIN vouched USING ({_STREAM}) LEFT JOIN manifest m USING ({_SEQUENCE})
        WHERE seq >= 0 AND seq < sequence_end AND (m.pos IS NULL OR m.pos = a.pos)
        UNION ALL SELECT {_STREAM}, first, last FROM excused
        UNION ALL SELECT {_STREAM}, sequence_end, sequence_end FROM vouched
    ),
    uncovered AS (
        SELECT {_STREAM}, coalesce(max(last) OVER earlier + 1, 0) AS start, first AS stop FROM covered
        WINDOW earlier AS (PARTITION BY {_STREAM} ORDER BY first, last ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    SELECT {_STREAM}, last_offset, next, start, stop,
           coalesce(start > greatest_seq, true) AND coalesce(last_offset, next, 0) >= coalesce(next, 0) AS in_flight,
           sum(stop - start) OVER (PARTITION BY {_STREAM} ORDER BY start) - (stop - start) AS before
    FROM uncovered
    JOIN vouched USING ({_STREAM})
    LEFT JOIN (SELECT {_STREAM}, max(seq) AS greatest_seq FROM audited GROUP BY ALL) USING ({_STREAM})
    LEFT JOIN archived USING ({_PLACE})
    WHERE start < stop
"""

# What a manifest names of those in flight, though its offset was archived.
_NAMED: Final = """
    SELECT m.log AS log, m.part AS part, m.epoch AS epoch, last_offset, next, m.seq AS seq FROM manifest m
    ASOF JOIN gaps g ON m.log = g.log AND m.part = g.part AND m.epoch = g.epoch AND m.seq >= g.start
    WHERE m.seq < g.stop AND g.in_flight AND m.pos < coalesce(g.next, 0)
"""

# An absent sequence is lost, unless it lies beyond what was archived: by the offset that a manifest tells, else by the
# rows of the same writer around it. No more can be lost than there were offsets: that bounds what false evidence costs.
_MISSING: Final = f"""
    WITH absent AS (
        SELECT {_STREAM}, last_offset, next,
               unnest(range(start, (start + least(stop - start, greatest(next - before, 0)))::BIGINT)) AS seq
        FROM gaps WHERE NOT in_flight
        UNION ALL {_NAMED}
    ),
    around AS (
        SELECT n.log, n.part, n.epoch, n.seq, max(below.pos) AS low, min(above.pos) AS high
        FROM absent n
        ASOF LEFT JOIN (SELECT {_SEQUENCE}, pos FROM audited) below
            ON n.log = below.log AND n.part = below.part AND n.epoch = below.epoch AND n.seq > below.seq
        ASOF LEFT JOIN (SELECT {_SEQUENCE}, pos FROM audited) above
            ON n.log = above.log AND n.part = above.part AND n.epoch = above.epoch AND n.seq < above.seq
        GROUP BY ALL
    )
    SELECT log, part, coalesce(m.pos, CASE WHEN high = low + 2 THEN low + 1 END) AS pos, epoch, seq, m.key AS key,
           NULL::BIGINT AS row, m.hi AS hi, m.lo AS lo, NULL::BIGINT AS hour,
           NULL::BIGINT AS first_pos, false AS checked, m.pos IS NOT NULL AS named,
           coalesce(m.pos, high, last_offset, next, 0) >= coalesce(next, 0) AND high IS NULL AS in_flight,
           CASE WHEN m.pos IS NOT NULL OR high = low + 2 THEN ''
                WHEN low IS NULL AND high IS NULL THEN 'no other record of its writer is there'
                WHEN low IS NULL THEN 'before offset ' || high
                WHEN high IS NULL THEN 'after offset ' || low
                ELSE 'between offsets ' || low || ' and ' || high END AS detail
    FROM absent
    LEFT JOIN around USING ({_SEQUENCE})
    LEFT JOIN manifest m USING ({_SEQUENCE})
"""

_IN_FLIGHT: Final = f"""
    SELECT (SELECT coalesce(sum(stop - start), 0) FROM gaps WHERE in_flight) - (SELECT count(*) FROM ({_NAMED}))
           + (SELECT count(*) FROM ({_MISSING}) WHERE in_flight)
"""

# A damaged file's row whose record was stored at another offset of the same file is not a copy of it, but the row
# itself with a damaged offset: where another record was stored at its offset; or where no row is at its record's own
# offset, and the file has no more rows than records that manifests tell to be in it.
_MISPLACED: Final = f"""
    WITH room AS (
        SELECT h.*, h.rows > (
            SELECT count(*) FROM manifest m WHERE m.log = h.log AND m.part = h.part AND m.pos BETWEEN h.first AND h.last
        ) AS has_room
        FROM harmed h
    )
    SELECT a.row FROM audited a JOIN manifest m USING ({_SEQUENCE}) JOIN room h ON a.row >> {_FILE_BITS} = h.file
    WHERE m.pos <> a.pos AND m.pos BETWEEN h.first AND h.last AND (
        EXISTS (SELECT 1 FROM manifest o WHERE o.log = a.log AND o.part = a.part AND o.pos = a.pos)
        OR NOT h.has_room AND NOT EXISTS (
            SELECT 1 FROM audited o
            WHERE o.log = a.log AND o.part = a.part AND o.epoch = a.epoch AND o.seq = a.seq AND o.pos = m.pos
        )
    )
"""

_EXCUSED_ROWS: Final = """
    SELECT DISTINCT a.seq, a.log, a.part, a.epoch, a.hour FROM audited a JOIN excused x
    ON (x.log, x.part, x.epoch) = (a.log, a.part, a.epoch) AND a.seq BETWEEN x.first AND x.last
"""

_BEYOND: Final = f"""
    SELECT count(DISTINCT ({_SEQUENCE})) FROM audited a
    LEFT JOIN vouched USING ({_STREAM})
    LEFT JOIN (SELECT DISTINCT {_SEQUENCE} FROM ({_EXCUSED_ROWS})) x USING ({_SEQUENCE})
    WHERE a.epoch IS NOT NULL AND (a.seq >= coalesce(sequence_end, 0) OR x.seq IS NOT NULL)
"""

_STREAM_FIELDS: Final = [("log", pa.string()), ("part", pa.int32()), ("epoch", pa.binary())]
_VOUCHED: Final = pa.schema([*_STREAM_FIELDS, ("sequence_end", pa.int64()), ("last_offset", pa.int64())])
_EXCUSED: Final = pa.schema([*_STREAM_FIELDS, ("first", pa.int64()), ("last", pa.int64())])
_ARCHIVED: Final = pa.schema([("log", pa.string()), ("part", pa.int32()), ("next", pa.int64())])
_HARMED: Final = pa.schema(
    [
        ("file", pa.int64()),
        ("log", pa.string()),
        ("part", pa.int32()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("rows", pa.int64()),
    ]
)
_MANIFEST: Final = pa.schema(
    [
        *_STREAM_FIELDS,
        ("seq", pa.int64()),
        ("pos", pa.int64()),
        ("key", pa.binary()),
        ("hi", pa.int64()),
        ("lo", pa.int64()),
    ]
)


def _streams_table(streams: Mapping[Stream, Vouched]) -> pa.Table:
    rows = [(s.log, s.partition, s.epoch, v.sequence_end, v.last_offset) for s, v in streams.items()]
    return _table(_VOUCHED, rows)


def _excused_table(streams: Mapping[Stream, Vouched]) -> pa.Table:
    rows = [
        (s.log, s.partition, s.epoch, first, end - 1)
        for s, v in streams.items()
        for first, end in (*v.failed, *v.indeterminate)
    ]
    return _table(_EXCUSED, rows)


def _archived_table(archived: Mapping[Place, int]) -> pa.Table:
    return _table(_ARCHIVED, [(place.log, place.partition, offset) for place, offset in archived.items()])


def _harmed_table(files: Sequence[RawFile]) -> pa.Table:
    rows = [(n, *file.place, file.first, file.last, file.rows) for n, file in enumerate(files) if file.damage]
    return _table(_HARMED, rows)


def _table(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
