"""Verification: a topic's verdict from the lake's files alone.

It reads what is there and trusts no counter of the program that wrote it: every file is compared with the content hash
in its name, at every level. What the levels add:

    accounted   sums in the footers of intact files against the writers' evidence, and raw against clean; where
                anything disagrees, rows one by one
    proved      besides, the columns of each raw file are made anew from the messages it holds, once for each file
    deep        besides, all of the clean table is made anew from raw and compared
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs
import pyarrow as pa

from onepipe.audit.blame import Blame
from onepipe.audit.clean_inventory import clean_inventory
from onepipe.audit.fates import Fates, Tables, count_fates
from onepipe.audit.inventory import Inventory, Place, RawFile, schema_documents, take_inventory
from onepipe.audit.ledger import Ledger
from onepipe.audit.merged import CleanFault, Merged, MergedCheck
from onepipe.audit.produced import Opening, Produced, check_produced, row_key
from onepipe.audit.proof import Contradiction, contradictions
from onepipe.audit.readable import local_files, readable
from onepipe.audit.rows import RowFault
from onepipe.audit.salvage import Salvage
from onepipe.audit.verdict import Equation, Finding, Hop, HopVerdict, State, Verdict, worst
from onepipe.audit.vouched import HOURS_SQL, MANIFEST_SQL, Stream, Testimony, read_testimony
from onepipe.errors import ConfigurationError, CorruptFile, NotRegistered, nearest
from onepipe.evidence.records import AUDIT_TOPIC, EVIDENCE
from onepipe.lake import layout
from onepipe.lake.columns import ERROR, raw_schema
from onepipe.lake.engine import Engine, numbered_files
from onepipe.lake.plan import MergePlan, literal, quoted
from onepipe.lake.table import LakeTable, Snapshot
from onepipe.lake.unmerged import is_outdated
from onepipe.schema.keys import key_values

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.lake import Lake

Level = Literal["accounted", "proved", "deep"]

SETTLED_AFTER: Final = dt.timedelta(minutes=10)
"""How long a writer may say nothing before it counts as dead."""

_EARLIEST: Final = dt.datetime.min.replace(tzinfo=dt.UTC)
_FILE_BITS: Final = 40
_OUTDATED: Final = "raw rows were read again since they were merged; the next dedup merges all of them anew"
_LISTS: Final = frozenset({"hours", "manifest"})


def verify(
    lake: Lake,
    topic: Topic,
    *,
    level: Level = "proved",
    now: dt.datetime | None = None,
    settled_after: dt.timedelta = SETTLED_AFTER,
) -> Verdict:
    """Compare, hop by hop, what was published, archived and merged, and name each record that differs.

    Args:
        lake: whose files to read.
        topic: the declaration.
        level: how deep to look; see the module.
        now: the present moment; the wall clock's where None.
        settled_after: how long a writer may say nothing before it counts as dead.

    Raises:
        ConfigurationError: an unknown level.
        LakeError: the storage or the engine failed.
    """
    if level not in get_args(Level):
        raise ConfigurationError(f"{level!r} is not a level{nearest(level, get_args(Level))}")
    return _Verification(lake, topic, level, now or dt.datetime.now(dt.UTC), settled_after).run()


class _Verification:
    """One verification of one topic."""

    def __init__(self, lake: Lake, topic: Topic, level: Level, now: dt.datetime, settled_after: dt.timedelta) -> None:
        self.lake = lake
        self.topic = topic
        self.level = level
        self.now = now
        self.settled_after = settled_after
        self.ledger = Ledger(lake.storage, topic.name)
        self.accepted = self.ledger.accepted()
        self.contradictions: dict[str, Mapping[int, Contradiction]] = {}
        self.declarations = _declarations(lake, topic)
        self.salvage = Salvage(topic, self.declarations)

    def run(self) -> Verdict:
        with self.salvage, self.lake.storage.copies() as self.files:
            return self._run()

    def _run(self) -> Verdict:
        raw_root = layout.raw_table(self.topic.name)
        raw = self._snapshot(raw_root)
        inventory = take_inventory(self.lake.storage, raw, raw_root, self.salvage) if raw else Inventory(())
        testimony, evidence_intact, evidence_files = self._testimony()
        places = {*inventory.places(), *(Place(s.log, s.partition) for s in testimony.streams)}
        archived = {place: _progress(raw, place) if raw else 0 for place in places}
        suspects = self._prove(inventory) if self.level != "accounted" else []
        produced = check_produced(
            inventory,
            testimony,
            archived,
            Opening(
                self._engine,
                lambda: self._manifest(evidence_files),
                self._damaged_rows,
                {declaration.schema.fingerprint for declaration in self.declarations},
            ),
            suspects=suspects,
            accepted=self.accepted.keys(),
            settled_before=self.now - min(self.settled_after, self.now - _EARLIEST),
        )
        tables = self._clean_tables(raw, inventory, places, produced)
        verdict = self._verdict(tables, produced, Blame(inventory, suspects), evidence_intact=evidence_intact)
        self.ledger.seal(verdict)
        return verdict

    def _verdict(self, tables: Tables, produced: Produced, blame: Blame, *, evidence_intact: bool) -> Verdict:
        """What was found at the hops, put together."""
        inventory = tables.raw
        hops, findings = list(produced.hops), [self._row_finding(*fault, blame) for fault in produced.faults]
        if not evidence_intact:
            hops[:2] = map(_with_damaged_evidence, hops[:2])
        figures = {
            "raw_rows": sum(file.rows for file in inventory.files),
            "quarantined": sum(file.footer.quarantined for file in inventory.files if file.footer),
        }
        if tables.merged is not None:
            hops.append(tables.merged.hop)
            findings += [self._clean_finding(fault) for fault in tables.merged.faults]
            figures["clean_rows"] = tables.merged.rows
        equation = _equation(produced, count_fates(tables), evidence_intact=evidence_intact)
        order = list(Hop)
        named = tuple(sorted(findings, key=lambda finding: order.index(finding.hop)))
        return Verdict(self.topic.name, self.level, self.now, tuple(hops), named, produced.buckets, figures, equation)

    def _snapshot(self, root: str) -> Snapshot | None:
        table = LakeTable.find(self.lake.storage, root)
        return table.snapshot() if table else None

    def _engine(self) -> Engine:
        return Engine(self.files, folders=[self.salvage.folder])

    def _testimony(self) -> tuple[Testimony, bool, list[RawFile]]:
        """What writers said of the topic; whether all evidence is intact; and the files that hold it."""
        root = layout.raw_table(AUDIT_TOPIC)
        snapshot = self._snapshot(root)
        if snapshot is None:
            return read_testimony(self.topic.name, [], []), True, []
        inventory = take_inventory(self.lake.storage, snapshot, root)
        files = [file for file in inventory.files if not file.damage]
        if not files:
            return read_testimony(self.topic.name, [], []), not inventory.damaged, []
        names = [quoted(field.name) for field in EVIDENCE.record.fields if field.name not in _LISTS]
        topic = f"topic = {literal(self.topic.name)}"
        with self._engine() as engine:
            sound = f"{_evidence(engine, files)} WHERE {ERROR} IS NULL"
            sql = f"SELECT {', '.join(names)} FROM {sound} AND (topic IS NULL OR kind = 'opened' OR {topic})"
            rows = engine.table(sql, "reading the evidence").to_pylist()
            sql = HOURS_SQL.format(evidence=f"(SELECT * FROM {sound} AND {topic})")
            columns = engine.table(sql, "reading the evidence").to_pydict().values()
        hours = ((Stream(*stream), hour, count) for *stream, hour, count in zip(*columns, strict=True))
        return read_testimony(self.topic.name, rows, hours), not inventory.damaged, files

    def _manifest(self, files: Sequence[RawFile]) -> pa.Table | None:
        """What writers name of the topic's records, where it is audited by name."""
        if self.topic.audit != "named" or not files:
            return None
        topic = literal(self.topic.name)
        with self._engine() as engine:
            evidence = f"(SELECT * FROM {_evidence(engine, files)} WHERE {ERROR} IS NULL AND topic = {topic})"
            return engine.table(MANIFEST_SQL.format(evidence=evidence), "reading manifests")

    def _prove(self, inventory: Inventory) -> list[RawFile]:
        """Prove the raw files that no earlier verification proved; the intact ones whose rows contradict themselves."""
        proved = self.ledger.proved()
        suspects, fresh = [], []
        for file in inventory.files:
            content = layout.named_hash(file.path)
            if file.damage or content is None or content in proved:
                continue
            if self._contradictions(file, inventory.files):
                suspects.append(file)
            else:
                fresh.append(content)
        self.ledger.add_proofs(fresh, self.now)
        return suspects

    def _contradictions(self, file: RawFile, files: Sequence[RawFile]) -> Mapping[int, Contradiction]:
        found = self.contradictions.get(file.path)
        if found is None:
            found = contradictions(self.lake.storage, file, self.declarations, _schemas(file, files))
            self.contradictions[file.path] = found
        return found

    def _damaged_rows(self, files: Sequence[RawFile]) -> pa.Table:
        """Rows that contradict themselves in damaged files and suspects, numbered as the engine numbers them."""
        numbers: list[int] = []
        found: list[Contradiction] = []
        for number, file in enumerate(files):
            known = file.path in self.contradictions
            for row, contradiction in self._contradictions(file, files).items() if file.damage or known else ():
                numbers.append((number << _FILE_BITS) + row)
                found.append(contradiction)
        return pa.table(
            {
                "row": pa.array(numbers, pa.int64()),
                "detail": pa.array([each.detail for each in found], pa.string()),
                "writer": pa.array([each.writer for each in found], pa.bool_()),
                "key": pa.array([each.key for each in found], pa.binary()),
            }
        )

    def _clean_tables(
        self, raw: Snapshot | None, inventory: Inventory, places: Collection[Place], produced: Produced
    ) -> Tables:
        """The tables, and what was found on the way into the clean one."""
        unmerged = Tables(
            self.topic, inventory, produced.doubtful, (), {}, None, self._engine, self.level != "accounted"
        )
        if self.topic.merge is None:
            return unmerged
        root = layout.clean_table(self.topic.name)
        clean = self._snapshot(root)
        if clean is None or (raw is not None and is_outdated(raw, clean)):
            footers = [file.footer for file in readable(inventory.files) if file.footer]
            waiting = sum(footer.rows - footer.quarantined for footer in footers)
            state = State.OPEN if waiting else State.BALANCED
            notes = () if clean is None else (_OUTDATED,)
            return attrs.evolve(unmerged, merged=Merged(HopVerdict(Hop.CLEAN, state, 0, 0, waiting, notes), (), 0))
        progress = {place: _progress(clean, place) for place in places}
        raw_faults = [fault for hop, fault in produced.faults if hop is Hop.RAW]
        files = clean_inventory(self.lake.storage, clean, root, self.salvage)
        check = MergedCheck(
            MergePlan(self.topic), inventory, files, progress, raw_faults, produced.doubtful, self._engine
        )
        merged = check.run(deep=self.level == "deep")
        return attrs.evolve(unmerged, clean=files, progress=progress, merged=merged)

    def _row_finding(self, hop: Hop, fault: RowFault, blame: Blame) -> Finding:
        covering = blame.file(fault) if hop is Hop.RAW else None
        return Finding(
            fault.kind,
            hop,
            self.topic.name,
            fault.partition,
            fault.offset,
            self._identity(fault.key),
            fault.epoch.hex() if fault.epoch else None,
            fault.sequence,
            covering.path if covering else None,
            fault.detail,
            fault.log,
            self.accepted.get(key) if hop is Hop.LOG and (key := row_key(fault)) else None,
        )

    def _identity(self, key: bytes | None) -> dict[str, Any] | None:
        """The identity a key says; None where there is none, it cannot be read, or others wrote it."""
        if key is None or not self.topic.identity or self.topic.source is not None:
            return None
        try:
            values = key_values(self.topic.schema, self.topic.identity, key)
        except ValueError:
            return None
        return dict(zip(self.topic.identity, values, strict=True))

    def _clean_finding(self, fault: CleanFault) -> Finding:
        return Finding(
            fault.kind,
            Hop.CLEAN,
            self.topic.name,
            fault.partition,
            fault.offset,
            fault.identity,
            file=fault.file,
            detail=fault.detail,
        )


def _equation(produced: Produced, fates: Fates, *, evidence_intact: bool) -> Equation:
    return Equation(
        published=produced.published if evidence_intact else None,
        stored=fates.stored,
        superseded=fates.superseded,
        repeated=fates.repeated,
        quarantined=fates.quarantined,
        in_flight=produced.in_flight + fates.waiting,
        accepted=produced.accepted,
    )


def _declarations(lake: Lake, topic: Topic) -> list[Topic]:
    """Every declaration the topic's files may have been written under, the latest first."""
    try:
        return [topic, *reversed(lake.catalog.versions(topic.name))]
    except (NotRegistered, CorruptFile):
        return [topic]


def _evidence(engine: Engine, files: Sequence[RawFile]) -> str:
    return numbered_files(local_files(files, engine.local), raw_schema(EVIDENCE))


def _schemas(file: RawFile, files: Sequence[RawFile]) -> Mapping[int | str, Any]:
    """The schemas by which a file's rows were read: those its footer names; of a damaged file what all footers name.

    A schema that its footer does not name was not known when the file was written, though others may name it.
    """
    return schema_documents(files) if file.intact is None else file.intact.schemas


def _progress(snapshot: Snapshot, place: Place) -> int:
    return snapshot.progress(layout.app_id(place.log, place.partition)) or 0


def _with_damaged_evidence(hop: HopVerdict) -> HopVerdict:
    note = "evidence of writers is damaged in the lake; what it said is not known"
    return attrs.evolve(hop, state=worst([hop.state, State.UNKNOWN]), notes=(*hop.notes, note))
