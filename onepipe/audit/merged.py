"""From the raw table into the clean one: the law of conservation, and what breaks it by name.

Each clean row says how many raw arrivals it stands for, and the sum of their digests. By identity bucket, these add up
to the good raw rows below the clean table's progress. Where they do not, or where a file is damaged, the rows that
should be there are made anew from raw by the dedup plan, and compared one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import pyarrow as pa

from onepipe.audit.buckets import COMPARING, add_all, bucket_sql, bucket_sums, totals
from onepipe.audit.clean_inventory import CleanFile
from onepipe.audit.inventory import Inventory, Place, RawFile
from onepipe.audit.readable import local_files, readable
from onepipe.audit.rows import RowFault
from onepipe.audit.verdict import FAULT_STATES, DamagedFile, Hop, HopVerdict, Kind, State, worst
from onepipe.evidence.digest import signed
from onepipe.lake import columns as c
from onepipe.lake.engine import Engine, numbered_files
from onepipe.lake.plan import ROW, MergePlan, quoted
from onepipe.lake.raw_footer import Sum
from onepipe.schema.identity import identity_hash
from onepipe.schema.keys import key_values

_FILE_BITS: Final = 40


@attrs.frozen
class CleanFault:
    """A clean row that is not what raw says it should be.

    Attributes:
        kind: lost, repeated or altered.
        identity: values of its identity by field.
        partition: of the raw row that should stand for it.
        offset: of that raw row.
        file: path of the file that holds it, where one does.
        detail: what differs.
    """

    kind: Kind
    identity: Mapping[str, Any]
    partition: int | None
    offset: int | None
    file: str | None
    detail: str


@attrs.frozen
class Merged:
    """What was found on the way into the clean table.

    Attributes:
        hop: the verdict of the clean hop.
        faults: clean rows that differ.
        rows: rows in the clean table, deleted ones included.
    """

    hop: HopVerdict
    faults: tuple[CleanFault, ...]
    rows: int


class MergedCheck:
    """Compares one topic's clean table with its raw table."""

    def __init__(
        self,
        plan: MergePlan,
        raw: Inventory,
        clean: Sequence[CleanFile],
        progress: Mapping[Place, int],
        raw_faults: Sequence[RowFault],
        doubtful: Mapping[str, Sequence[int]],
        engine: Callable[[], Engine],
    ) -> None:
        """Prepare the comparison.

        Args:
            plan: the topic's dedup plan.
            raw: files of the raw table.
            clean: files of the clean table.
            progress: by place, the raw offset up to which the clean table has merged.
            raw_faults: rows that differ at the raw hop: what was merged is not what raw holds now.
            doubtful: by path of raw files, numbers of rows of which nobody knows which record they are.
            engine: makes an engine over the lake's folder.
        """
        self._doubtful = doubtful
        self._damaged = {file.path for file in raw.damaged}
        self._plan = plan
        self._raw = raw
        self._clean = clean
        self._progress = progress
        self._faults = raw_faults
        self._engine = engine

    def run(self, *, deep: bool = False) -> Merged:
        """Compare by sums, and row by row where these disagree; everywhere where `deep`."""
        found = self._found()
        expected, in_flight = self._expected(hints=True)
        if expected != found and self._raw.damaged:
            expected, in_flight = self._expected(hints=False)
        buckets = {b for b in expected.keys() | found.keys() if expected.get(b, Sum()) != found.get(b, Sum())}
        damaged = [file for file in self._clean if file.damage]
        compared = list(self._clean) if deep else damaged
        nameless = sum(not self._is_told(fault) for fault in self._faults)
        faults: list[CleanFault] = []
        if (buckets or compared) and not nameless:
            with self._engine() as engine:
                faults = self._compare(engine, set(range(64)) if deep else buckets, compared)
        states = [FAULT_STATES[fault.kind] for fault in faults]
        notes = []
        if nameless and (buckets or compared):
            states.append(State.UNKNOWN)
            notes.append(
                f"{nameless:,} rows that differ in raw have no evidence of what they were when they were merged"
            )
        elif buckets and not faults:
            states.append(State.ALTERED)
            notes.append("sums differ, and every row is what raw says it should be")
        if damaged:
            states.append(State.ALTERED)
        if damaged and not faults:
            notes.append("files are damaged, and no row of them is known to differ")
        if in_flight:
            states.append(State.OPEN)
        hop = HopVerdict(
            Hop.CLEAN,
            worst(states),
            sum(sum_.rows for sum_ in expected.values()),
            sum(sum_.rows for sum_ in found.values()),
            in_flight,
            tuple(notes),
            tuple(DamagedFile(file.path, file.damage) for file in damaged if file.damage),
        )
        return Merged(hop, tuple(faults), sum(file.rows for file in self._clean))

    def _expected(self, *, hints: bool) -> tuple[dict[int, Sum], int]:
        """By bucket, the good raw rows that were merged; and how many were not yet.

        Args:
            hints: whether to believe the footers of damaged files. Where the law of conservation holds with them, to
                128 bits a bucket, they were right. Else rows count that are there, and evidence stands for others.
        """
        sums: dict[int, Sum] = {}
        in_flight = 0
        counted: list[RawFile] = []
        for file in self._raw.files:
            merged = self._progress.get(file.place, 0)
            if file.footer is None or (file.damage and not hints) or file.first < merged <= file.last:
                counted.append(file)
            elif file.last < merged:
                add_all(sums, file.footer.sums)
            else:
                in_flight += file.footer.rows - file.footer.quarantined
        if counted:
            with self._engine() as engine:
                beyond, by_rows = self._count_rows(engine, counted)
            in_flight += beyond
            add_all(sums, by_rows)
        for fault, identity, sum_ in self._corrections():
            if not (hints and self._is_hinted(fault)):
                add_all(sums, {c.bucket(identity): sum_})
        return sums, in_flight

    def _count_rows(self, engine: Engine, files: Sequence[RawFile]) -> tuple[int, dict[int, Sum]]:
        self._load_progress(engine)
        rows = self._good_rows(engine, files)
        beyond = f"SELECT count(*) FROM {rows} LEFT JOIN merged_to USING (log, part) WHERE pos >= coalesce(next, 0)"
        within = f"SELECT * FROM {rows} JOIN merged_to USING (log, part) WHERE pos < next"
        return int(engine.row(beyond, COMPARING)[0]), bucket_sums(engine, within, "1", c.DIGEST_HI, c.DIGEST_LO)

    def _good_rows(self, engine: Engine, files: Sequence[RawFile]) -> str:
        places = f"{c.LOG} AS log, {c.PARTITION} AS part, {c.OFFSET} AS pos"
        relation = numbered_files(local_files(files, engine.local), c.RAW_COLUMNS)
        trusted = _other_rows(self._distrusted(files))
        return f"(SELECT *, {places} FROM {relation} WHERE {c.ERROR} IS NULL AND {trusted})"

    def _distrusted(self, files: Sequence[RawFile]) -> list[int]:
        """Numbers of rows that are not what had been merged, or not as they were: evidence stands for them."""
        rows: dict[str, list[int]] = {path: list(numbers) for path, numbers in self._doubtful.items()}
        for fault in self._faults:
            if fault.file is not None and fault.row is not None and self._is_left_out(fault):
                rows.setdefault(fault.file, []).append(fault.row)
        return row_numbers(readable(files), rows)

    def _is_left_out(self, fault: RowFault) -> bool:
        """Whether a fault's row is not counted among what raw holds."""
        return fault.kind is Kind.REPEATED or (fault.file in self._damaged and fault.hi is not None)

    def _is_hinted(self, fault: RowFault) -> bool:
        """Whether the footer of a damaged file counts a fault's record as it was."""
        place, offset = Place(fault.log, fault.partition), fault.offset
        merged = self._progress.get(place, 0)
        return offset is not None and any(
            file.footer is not None and file.place == place and file.first <= offset <= file.last < merged
            for file in self._raw.damaged
        )

    def _is_told(self, fault: RowFault) -> bool:
        """Whether evidence tells what a row that differs had been when it was merged, if it was."""
        merged = self._progress.get(Place(fault.log, fault.partition), 0)
        unmerged = fault.offset is not None and fault.offset >= merged
        return unmerged or fault.kind is Kind.REPEATED or (fault.key is not None and fault.hi is not None)

    def _load_progress(self, engine: Engine) -> None:
        engine.register("merged_to", progress_table(self._progress))

    def _corrections(self) -> Iterator[tuple[RowFault, int, Sum]]:
        """Raw rows that differ: the identity hash, and what to add to raw's sums to make them what had been merged."""
        for fault in self._faults:
            merged = self._progress.get(Place(fault.log, fault.partition), 0)
            if fault.key is None or (fault.offset is not None and fault.offset >= merged):
                continue
            sum_ = Sum()
            if fault.hi is not None and fault.lo is not None:
                if fault.kind is Kind.LOST or (fault.kind is Kind.ALTERED and fault.file in self._damaged):
                    sum_ = Sum(1, fault.hi, fault.lo)
                elif fault.kind is Kind.REPEATED and fault.file not in self._damaged:
                    sum_ = Sum(-1, signed(-fault.hi), signed(-fault.lo))
            yield fault, identity_hash(fault.key), sum_

    def _found(self) -> dict[int, Sum]:
        """By bucket, what the clean rows say they stand for; of damaged files, what their rows say now."""
        sums = totals(file.footer.sums for file in self._clean if file.footer is not None and not file.damage)
        damaged = [file.salvaged for file in self._clean if file.salvaged is not None]
        if damaged:
            with self._engine() as engine:
                relation = f"SELECT * FROM {numbered_files(damaged, self._plan.schema)}"
                add_all(sums, bucket_sums(engine, relation, c.ARRIVALS, c.SUM_HI, c.SUM_LO))
        return sums

    def _compare(self, engine: Engine, buckets: set[int], compared: Sequence[CleanFile]) -> list[CleanFault]:
        """The faults among identities of some buckets, and among the rows of some files."""
        held = readable(self._clean)
        self._load(engine, held, buckets, {file.path for file in compared})
        rows = engine.table(self._disagreements(), COMPARING).to_pylist()
        return [self._fault(row, held) for row in rows]

    def _load(self, engine: Engine, files: Sequence[CleanFile], buckets: set[int], compared: set[str]) -> None:
        """Make the relations `held` (clean rows), `truth` (what raw makes of them) and `correction`."""
        plan = self._plan
        self._load_progress(engine)
        # the repetitions themselves are left out of `arrived` below, so only what differs beside them is told here
        corrections = [(fault, h, s) for fault, h, s in self._corrections() if fault.kind is not Kind.REPEATED]
        engine.register("correction", _correction_table(corrections))
        numbers = [number for number, file in enumerate(files) if file.path in compared]
        whole = f"({ROW} >> {_FILE_BITS}) IN ({', '.join(map(str, numbers)) or 'NULL'})"
        listed = ", ".join(map(str, sorted(buckets))) or "NULL"
        within = f"{bucket_sql(quoted(c.IDENTITY))} IN ({listed})"
        clean = numbered_files(local_files(files, engine.local), plan.schema)
        held = f"SELECT *, coalesce({whole}, false) AS whole FROM {clean} WHERE {whole} OR {within}"
        engine.execute(f"CREATE TEMP TABLE held AS {held}", COMPARING)
        raw = numbered_files(local_files(self._raw.files, engine.local), c.raw_schema(plan.topic))
        arrived = (
            f"SELECT r.* FROM {raw} r JOIN merged_to m ON m.log = r.{c.LOG} AND m.part = r.{c.PARTITION} "
            f"WHERE r.{c.OFFSET} < m.next AND ({within} OR {c.IDENTITY} IN (SELECT {c.IDENTITY} FROM held)) "
            f"AND {_other_rows(self._distrusted(self._raw.files))}"
        )
        engine.execute(f"CREATE TEMP TABLE arrived AS {arrived}", COMPARING)
        engine.execute(f"CREATE TEMP TABLE contribution AS {plan.arrivals('arrived')}", COMPARING)
        engine.execute(f"CREATE TEMP TABLE several AS {plan.repeated('contribution')}", COMPARING)
        engine.execute(f"CREATE TEMP TABLE folded AS {plan.folded('contribution', 'several')}", COMPARING)
        engine.execute(f"CREATE TEMP TABLE truth AS {plan.merged('contribution', 'folded')}", COMPARING)
        wanted = f"SELECT identity FROM correction WHERE {bucket_sql('identity')} IN ({listed}) AND n > 0"
        wanted = f"SELECT {c.IDENTITY} AS identity FROM truth UNION SELECT {c.IDENTITY} FROM held UNION {wanted}"
        engine.execute(f"CREATE TEMP TABLE wanted AS {wanted}", COMPARING)

    def _disagreements(self) -> str:
        """Identities whose clean rows are not as they should be: how, where, and in which file.

        Where raw differs from what had been merged, `truth` may stand for another arrival than the clean row does:
        then the clean row's own position counts, and its values can be compared only if it stands for the same arrival,
        one that raw still holds as it was.
        """
        plan = self._plan
        identity = ", ".join(f"coalesce(t.{quoted(n)}, h.{quoted(n)}) AS {quoted(n)}" for n in plan.topic.identity)
        shown = [name for name in plan.schema.names if name not in _SUMS]
        differing = ", ".join(
            f"CASE WHEN h.{quoted(name)} IS DISTINCT FROM t.{quoted(name)} THEN '{name}' END" for name in shown
        )
        expected = f"""
            SELECT {c.IDENTITY}, sum(n) AS n, sum(hi) AS hi, sum(lo) AS lo FROM (
                SELECT {c.IDENTITY}, {c.ARRIVALS} AS n, {c.SUM_HI} AS hi, {c.SUM_LO} AS lo FROM truth
                UNION ALL SELECT identity, n, hi, lo FROM correction SEMI JOIN wanted USING (identity)
            ) GROUP BY ALL"""
        same = " AND ".join(f"h.{column} = t.{column}" for column in _WINNER)
        altered = f"(x.part, x.pos) = (t.{c.PARTITION}, t.{c.OFFSET}) AND x.log = t.{c.LOG}"
        told = "true" if plan.states else f"NOT ({same}) OR (x.altered AND {altered})"
        blurred = f"SELECT 1 FROM correction x WHERE x.identity = w.identity AND ({told})"
        corrected = "w.identity IN (SELECT identity FROM correction)"
        found = f"""
            SELECT {c.IDENTITY}, count(*) AS copies, sum({c.ARRIVALS}) AS n, sum({c.SUM_HI}) AS hi,
                   sum({c.SUM_LO}) AS lo, bool_or(whole) AS whole, max({ROW}) AS {ROW}
            FROM held GROUP BY ALL"""
        wrapped = f"% {1 << 64}"
        return f"""
            WITH expected AS ({expected}), found AS ({found}),
            compared AS (
                SELECT w.identity AS hash, coalesce(f.copies, 0) AS copies, {identity},
                       CASE WHEN {corrected} THEN coalesce(h.{c.PARTITION}, t.{c.PARTITION}) ELSE t.{c.PARTITION} END
                           AS part,
                       CASE WHEN {corrected} THEN coalesce(h.{c.OFFSET}, t.{c.OFFSET}) ELSE t.{c.OFFSET} END AS pos,
                       f.{ROW}::BIGINT AS row,
                       (SELECT count(*) FROM truth o WHERE o.{c.IDENTITY} = w.identity) AS wanted_rows,
                       (f.n IS DISTINCT FROM e.n OR (f.hi - e.hi) {wrapped} <> 0 OR (f.lo - e.lo) {wrapped} <> 0)
                           AS unbalanced,
                       CASE WHEN f.whole AND t.{c.IDENTITY} IS NOT NULL AND NOT EXISTS ({blurred})
                            THEN concat_ws(', ', {differing}) ELSE '' END AS differing
                FROM wanted w
                LEFT JOIN expected e ON e.{c.IDENTITY} = w.identity
                LEFT JOIN found f ON f.{c.IDENTITY} = w.identity
                LEFT JOIN truth t ON t.{c.IDENTITY} = w.identity
                LEFT JOIN held h ON h.{c.IDENTITY} = w.identity AND h.{ROW} = f.{ROW}
            )
            SELECT * FROM compared WHERE unbalanced OR differing <> '' ORDER BY part, pos"""

    def _fault(self, row: Mapping[str, Any], files: Sequence[CleanFile]) -> CleanFault:
        lost_wholly = row["copies"] == row["wanted_rows"] == 0
        read = self._lost_identity(row["hash"]) if lost_wholly else row
        identity = {name: read[name] for name in self._plan.topic.identity}
        file = None if row["row"] is None else files[row["row"] >> _FILE_BITS].path
        if row["copies"] == 0:
            kind, detail = Kind.LOST, "no row stands for what arrived"
        elif row["copies"] > max(1, row["wanted_rows"]):
            kind, detail = Kind.REPEATED, f"{row['copies']} rows stand for one identity"
        else:
            kind, names = Kind.ALTERED, row["differing"]
            detail = f"differs from raw in {names}" if names else "it does not stand for what arrived"
        return CleanFault(kind, identity, row["part"], row["pos"], file, detail)

    def _lost_identity(self, number: int) -> Mapping[str, Any]:
        """The identity of a clean row that is lost with all its raw rows, by the key of one of these."""
        topic = self._plan.topic
        keys = (fault.key for fault, hashed, _ in self._corrections() if hashed == number and fault.key is not None)
        return dict(zip(topic.identity, key_values(topic.schema, topic.identity, next(keys)), strict=True))


_SUMS: Final = frozenset({c.ARRIVALS, c.SUM_HI, c.SUM_LO})
_WINNER: Final = (c.LOG, c.PARTITION, c.OFFSET, c.DIGEST_HI, c.DIGEST_LO)


def _other_rows(excluded: Sequence[int]) -> str:
    """A condition that leaves rows out by their number."""
    return f"{ROW} NOT IN ({', '.join(map(str, excluded))})" if excluded else "true"


def row_numbers(files: Sequence[RawFile], rows: Mapping[str, Sequence[int]]) -> list[int]:
    """Numbers of rows as the engine numbers those of several files, from their numbers in each file by its path."""
    return [(number << _FILE_BITS) + row for number, file in enumerate(files) for row in rows.get(file.path, ())]


def progress_table(progress: Mapping[Place, int]) -> pa.Table:
    """How far the clean table has merged, as relation: log, part and the next offset."""
    return pa.table(
        {
            "log": pa.array([place.log for place in progress], pa.string()),
            "part": pa.array([place.partition for place in progress], pa.int32()),
            "next": pa.array(list(progress.values()), pa.int64()),
        }
    )


def _correction_table(rows: Sequence[tuple[RowFault, int, Sum]]) -> pa.Table:
    return pa.table(
        {
            "identity": pa.array([identity for _, identity, _ in rows], pa.int64()),
            "n": pa.array([sum_.rows for _, _, sum_ in rows], pa.int64()),
            "hi": pa.array([sum_.hi for _, _, sum_ in rows], pa.int64()),
            "lo": pa.array([sum_.lo for _, _, sum_ in rows], pa.int64()),
            "altered": pa.array([fault.kind is Kind.ALTERED for fault, _, _ in rows], pa.bool_()),
            "log": pa.array([fault.log for fault, _, _ in rows], pa.string()),
            "part": pa.array([fault.partition for fault, _, _ in rows], pa.int32()),
            "pos": pa.array([fault.offset for fault, _, _ in rows], pa.int64()),
        }
    )
