"""Damaged files: a verdict comes all the same, blames the hops that were damaged, and names only records of theirs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audited_world import T0, World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onepipe.audit.verdict import Hop, Kind, State, Verdict
from onepipe.audit.verify import verify
from onepipe.evidence.records import AUDIT_TOPIC
from onepipe.lake import open_lake
from onepipe.lake.table import LakeTable

FLIP, CUT, DELETE, EMPTY, ZERO, GARBAGE, SWAP = range(7)
LEVELS = ("accounted", "proved", "deep")


class Damaged:
    """A copy of a lake with damaged files, and what these had held."""

    def __init__(self, lake: Path, folder: Path) -> None:
        shutil.copytree(lake, folder)
        self.folder = folder
        self.raw: set[tuple[int, int]] = set()
        self.identities: dict[Hop, set[int]] = {Hop.RAW: set(), Hop.CLEAN: set()}
        self.hops: set[Hop] = set()
        self.evidence = False

    def files(self, table: str) -> list[Path]:
        found = LakeTable.find(open_lake(self.folder).storage, table)
        return [self.folder / table / file.path for file in found.snapshot().files]

    def damage(self, table: str, harm: Callable[[Path], None], file: Path) -> None:
        if table == f"raw/{AUDIT_TOPIC}":
            self.evidence = True
        else:
            self._remember(table, file)
        harm(file)

    def _remember(self, table: str, file: Path) -> None:
        hop = Hop(table.partition("/")[0])
        self.hops.add(hop)
        rows = pq.read_table(file, columns=["id", "_op_partition", "_op_offset"], partitioning=None).to_pylist()
        self.identities[hop] |= {row["id"] for row in rows}
        if hop is Hop.RAW:
            self.raw |= {(row["_op_partition"], row["_op_offset"]) for row in rows}

    def verify(self, level: str) -> Verdict:
        lake = open_lake(self.folder)
        return verify(lake, lake.topic("Trips"), level=level)

    def check(self, verdict: Verdict, *, named: bool) -> None:
        """Hold a verdict to what was damaged."""
        assert not verdict.balanced
        states = {hop.hop: hop.state for hop in verdict.hops}
        assert {hop for hop, state in states.items() if state.is_fault} == self.hops, str(verdict)
        if named and not self.evidence and Hop.CLEAN not in self.hops:
            assert states[Hop.CLEAN] is State.BALANCED, str(verdict)
        for finding in verdict.findings:
            assert finding.hop in self.hops, str(verdict)
            if finding.hop is Hop.RAW and finding.offset is not None:
                assert (finding.partition, finding.offset) in self.raw, str(finding)
            if finding.identity is not None:
                assert finding.identity["id"] in self.identities[finding.hop], str(finding)


def harmed(kind: int, chance: random.Random, other: Path) -> Callable[[Path], None]:
    """What is done to a file."""

    def harm(file: Path) -> None:
        data = bytearray(file.read_bytes())
        match kind:
            case _ if kind == FLIP:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case _ if kind == CUT:
                del data[chance.randrange(len(data)) :]
            case _ if kind == EMPTY:
                data.clear()
            case _ if kind == ZERO:
                start = chance.randrange(len(data))
                end = min(len(data), start + chance.randint(1, 512))
                data[start:end] = bytes((byte ^ 0xA5) for byte in data[start:end])
            case _ if kind == GARBAGE:
                data[:] = chance.randbytes(len(data))
            case _ if kind == SWAP:
                data[:] = other.read_bytes() if other != file else b""
        file.unlink()
        if kind != DELETE:
            file.write_bytes(data)

    return harm


@pytest.fixture(scope="module", params=["named", "counted"])
def made(request, tmp_path_factory) -> tuple[Path, str]:
    """A lake with several raw and clean files, some of whose writers leave no evidence, and how it is audited."""
    folder = tmp_path_factory.mktemp(f"made_{request.param}")
    world = World(folder, request.param)
    for count in (70, 50, 90):
        world.publish(count)
        world.lake_it()
    assert world.verify().balanced
    shutil.rmtree(folder / "ledger")
    world.pipe.close()
    return folder, request.param


def hurt(made: tuple[Path, str], target: Path, seed: int, tables: list[str], level: str) -> None:
    lake, audit = made
    shutil.rmtree(target, ignore_errors=True)
    damaged = Damaged(lake, target)
    chance = random.Random(seed)
    for table in tables:
        files = damaged.files(table)
        file = chance.choice(files)
        other = chance.choice(files)
        kind = chance.choice((FLIP, FLIP, FLIP, CUT, DELETE, EMPTY, ZERO, GARBAGE, SWAP))
        if file.exists():
            damaged.damage(table, harmed(kind, chance, other), file)
    damaged.check(damaged.verify(level), named=audit == "named")


TABLES = ("raw/Trips", "clean/Trips", f"raw/{AUDIT_TOPIC}")
fuzzed = given(
    seed=st.integers(0, 1 << 32),
    tables=st.lists(st.sampled_from(TABLES), min_size=1, max_size=3, unique=True),
    level=st.sampled_from(LEVELS),
)
relaxed = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}


@pytest.mark.slow
@settings(max_examples=14, **relaxed)
@fuzzed
def test_any_damage_gives_a_verdict_that_blames_what_was_damaged(made, tmp_path, seed, tables, level):
    hurt(made, tmp_path / "lake", seed, tables, level)


@pytest.mark.slow
@settings(max_examples=60, **relaxed)
@fuzzed
def test_much_damage_gives_a_verdict_that_blames_what_was_damaged(made, tmp_path, seed, tables, level):
    hurt(made, tmp_path / "lake", seed, tables, level)


@pytest.mark.parametrize("kind", [DELETE, EMPTY, GARBAGE])
@pytest.mark.parametrize("level", LEVELS)
def test_every_row_of_a_file_that_cannot_be_read_is_lost_at_its_hop(made, tmp_path, kind, level):
    lake, audit = made
    for table, hop in (("raw/Trips", Hop.RAW), ("clean/Trips", Hop.CLEAN)):
        damaged = Damaged(lake, tmp_path / hop)
        file = damaged.files(table)[1]
        damaged.damage(table, harmed(kind, random.Random(1), file), file)
        verdict = damaged.verify(level)
        damaged.check(verdict, named=audit == "named")
        assert {finding.kind for finding in verdict.findings} == {Kind.LOST}
        if hop is Hop.CLEAN:
            assert {finding.identity["id"] for finding in verdict.findings} == damaged.identities[hop]
        elif audit == "named":
            assert {(finding.partition, finding.offset) for finding in verdict.findings} == damaged.raw
        else:
            assert len(verdict.findings) == len(damaged.raw)


def test_rows_without_evidence_are_lost_by_offset_where_their_file_has_no_gaps(tmp_path):
    world = World(tmp_path / "made")
    with world.pipe.producer(audit=False) as producer:
        for number in range(40):
            producer.publish(world.cls(id=number, version=1, day=T0))
    world.lake_it()
    damaged = Damaged(tmp_path / "made", tmp_path / "lake")
    file = damaged.files("raw/Trips")[0]
    damaged.damage("raw/Trips", harmed(DELETE, random.Random(1), file), file)
    verdict = damaged.verify("proved")
    damaged.check(verdict, named=False)
    assert {(finding.partition, finding.offset) for finding in verdict.findings} == damaged.raw


@pytest.mark.parametrize("level", LEVELS)
def test_a_row_whose_key_was_altered_is_named_by_the_identity_that_its_body_tells(made, tmp_path, level):
    damaged = Damaged(made[0], tmp_path / "lake")
    file = damaged.files("raw/Trips")[1]
    row = pq.read_table(file, columns=["id", "_op_offset"], partitioning=None).to_pylist()[3]
    other = next(str(number) for number in range(40) if number != row["id"])

    def alter(path: Path) -> None:
        table = pq.read_table(path, partitioning=None)
        keys = table["_op_key"].to_pylist()
        keys[3] = other.encode()
        place = table.schema.get_field_index("_op_key")
        pq.write_table(table.set_column(place, table.schema.field(place), pa.array(keys, pa.binary())), path)

    damaged.damage("raw/Trips", alter, file)
    verdict = damaged.verify(level)
    damaged.check(verdict, named=made[1] == "named")
    assert [(f.offset, f.identity) for f in verdict.findings] == [(row["_op_offset"], {"id": row["id"]})]
