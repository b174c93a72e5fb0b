"""Several faults at one identity: each is named as it would be alone, wherever the files still tell it."""

from __future__ import annotations

import pytest
from audited_world import World, alter, lose, repeat, rows

from onepipe.audit.verdict import Hop, Kind

WANTED = 7


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.publish()
    return world


def folders(world):
    return world.folder / "raw" / "Trips", world.folder / "clean" / "Trips"


def winner(world) -> dict:
    """The clean row of the identity that is tampered with."""
    (row,) = rows(folders(world)[1], id=WANTED)
    return row


def named(verdict) -> set[tuple]:
    assert len({(f.hop, f.kind, f.partition, f.offset) for f in verdict.findings}) == len(verdict.findings)
    assert all(finding.identity == {"id": WANTED} for finding in verdict.findings)
    return {(finding.hop, finding.kind, finding.partition, finding.offset) for finding in verdict.findings}


@pytest.mark.parametrize("level", ["accounted", "proved", "deep"])
def test_a_repeated_clean_row_is_named_by_its_own_position_where_the_raw_row_it_stands_for_is_lost(world, level):
    world.lake_it()
    raw, clean = folders(world)
    row = winner(world)
    place = row["_op_partition"], row["_op_offset"]
    lose(raw, _op_partition=place[0], _op_offset=place[1])
    repeat(clean, id=WANTED)
    assert named(world.verify(level)) == {(Hop.RAW, Kind.LOST, *place), (Hop.CLEAN, Kind.REPEATED, *place)}


@pytest.mark.parametrize("level", ["accounted", "proved", "deep"])
@pytest.mark.parametrize("harm", [lose, repeat])
def test_an_altered_clean_row_is_named_though_another_raw_row_of_its_identity_is_lost_or_repeated(world, harm, level):
    world.lake_it()
    raw, clean = folders(world)
    row = winner(world)
    (other,) = rows(raw, id=WANTED, version=0)
    harm(raw, _op_partition=other["_op_partition"], _op_offset=other["_op_offset"])
    alter(clean, "distance", id=WANTED)
    kind = Kind.LOST if harm is lose else Kind.REPEATED
    assert named(world.verify(level)) == {
        (Hop.RAW, kind, other["_op_partition"], other["_op_offset"]),
        (Hop.CLEAN, Kind.ALTERED, row["_op_partition"], row["_op_offset"]),
    }


def test_an_altered_clean_row_is_named_though_another_raw_row_of_its_identity_is_altered(world):
    world.lake_it()
    raw, clean = folders(world)
    row = winner(world)
    (other,) = rows(raw, id=WANTED, version=0)
    alter(raw, "distance", _op_partition=other["_op_partition"], _op_offset=other["_op_offset"])
    alter(clean, "distance", id=WANTED)
    assert named(world.verify()) == {
        (Hop.RAW, Kind.ALTERED, other["_op_partition"], other["_op_offset"]),
        (Hop.CLEAN, Kind.ALTERED, row["_op_partition"], row["_op_offset"]),
    }


def test_an_altered_raw_row_is_no_fault_of_the_clean_row_that_was_merged_from_it_before(world):
    world.lake_it()
    raw, _ = folders(world)
    row = winner(world)
    place = row["_op_partition"], row["_op_offset"]
    alter(raw, "distance", _op_partition=place[0], _op_offset=place[1])
    assert named(world.verify("deep")) == {(Hop.RAW, Kind.ALTERED, *place)}


def test_a_clean_row_is_named_lost_though_all_raw_rows_of_its_identity_are_lost_too(world):
    world.lake_it()
    raw, clean = folders(world)
    places = [(row["_op_partition"], row["_op_offset"]) for row in rows(raw, id=WANTED)]
    lose(raw, id=WANTED)
    lose(clean, id=WANTED)
    expected = {(Hop.RAW, Kind.LOST, *place) for place in places} | {(Hop.CLEAN, Kind.LOST, None, None)}
    assert named(world.verify()) == expected


def test_a_record_lost_from_raw_is_named_though_a_copy_of_it_in_the_log_was_archived(world):
    copy = world.pipe.transport.faults.repeat("Trips", 0, 3)
    world.lake_it()
    raw, _ = folders(world)
    lose(raw, _op_partition=0, _op_offset=3)
    found = {(f.hop, f.kind, f.partition, f.offset) for f in world.verify().findings}
    assert found == {(Hop.RAW, Kind.LOST, 0, 3), (Hop.LOG, Kind.REPEATED, 0, copy)}


def test_a_copy_in_the_log_whose_raw_row_is_repeated_is_named_at_both_hops(world):
    copy = world.pipe.transport.faults.repeat("Trips", 0, 3)
    world.lake_it()
    raw, _ = folders(world)
    repeat(raw, _op_partition=0, _op_offset=copy)
    found = [(f.hop, f.kind, f.partition, f.offset) for f in world.verify().findings]
    assert found == [(Hop.LOG, Kind.REPEATED, 0, copy), (Hop.RAW, Kind.REPEATED, 0, copy)]
