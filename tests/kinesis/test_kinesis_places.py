"""Partitions over shards, offsets that are counted, groups in one document: what needs no service."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.errors import TransportError
from onepipe.transport import TopicPartition
from onepipe_kinesis.anchors import LEAP, Anchor, Ledger, Mark, Place
from onepipe_kinesis.membership import Member, Membership, assign
from onepipe_kinesis.points import Shard, holds, lineage, partition_of, shard_number, with_new

TOP = 1 << 128
DAY = 86_400_000


@st.composite
def histories(draw):
    """Shards of a stream that was split and merged, oldest first, and which of them are open at the end."""
    count = draw(st.integers(1, 4))
    edges = [TOP * number // count for number in range(count + 1)]
    shards = [Shard(n, edges[n], edges[n + 1] - 1) for n in range(count)]
    open_ = list(shards)
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()) or len(open_) == 1:
            wide = [shard for shard in open_ if shard.first < shard.last]
            parent = wide[draw(st.integers(0, len(wide) - 1))]
            open_.remove(parent)
            middle = draw(st.integers(parent.first + 1, parent.last))
            children = [
                Shard(len(shards), parent.first, middle - 1, (parent.number,)),
                Shard(len(shards) + 1, middle, parent.last, (parent.number,)),
            ]
        else:
            open_.sort(key=lambda shard: shard.first)
            at = draw(st.integers(0, len(open_) - 2))
            one, other = open_.pop(at), open_.pop(at)
            children = [Shard(len(shards), one.first, other.last, (one.number, other.number))]
        shards += children
        open_ += children
    return shards, open_


@given(histories())
def test_every_shard_has_a_partition_and_every_partition_one_open_shard(history):
    shards, open_ = history
    points = with_new((), shards)
    assert all(any(holds(shard, point) for point in points) for shard in shards)
    for point in points:
        assert sum(holds(shard, point) for shard in open_) == 1


@given(histories(), st.data())
def test_points_are_the_same_however_often_they_are_looked_for(history, data):
    shards, _ = history
    seen = with_new((), shards[: data.draw(st.integers(0, len(shards)))])
    assert with_new(seen, shards) == with_new((), shards)


@given(histories())
def test_a_lineage_goes_from_parents_to_children(history):
    shards, _ = history
    for point in with_new((), shards):
        line = lineage(point, reversed(shards))
        assert line[0].number == point.born
        assert all(parent.number in child.parents for parent, child in pairwise(line))


@given(histories(), st.data())
def test_records_of_others_stay_in_their_partition_when_points_come(history, data):
    shards, _ = history
    known = data.draw(st.integers(1, len(shards)))
    early, late = with_new((), shards[:known]), with_new((), shards)
    for shard in shards[:known]:
        assert partition_of(early, shard, None) == partition_of(late, shard, None)


@given(histories(), st.integers(0, 20))
def test_a_record_is_of_the_partition_it_was_put_to_where_that_lies_in_its_shard(history, claimed):
    shards, _ = history
    points = with_new((), shards)
    for shard in shards:
        found = partition_of(points, shard, claimed)
        assert holds(shard, points[found])
        if claimed < len(points) and holds(shard, points[claimed]):
            assert found == claimed


def test_a_shard_of_another_form_of_name_is_refused():
    assert shard_number("shardId-000000000042") == 42
    with pytest.raises(TransportError):
        shard_number("shard-42")


PLACES = st.builds(Place, st.integers(0, 9), st.integers(0, 1 << 186))
LEDGERS = st.builds(
    lambda places, gaps, mark: Ledger(
        tuple(
            Anchor(place, 10 * number + gap)
            for number, (place, gap) in enumerate(zip(sorted(places), gaps, strict=False))
        ),
        mark,
    ),
    st.sets(PLACES, max_size=64),
    st.lists(st.integers(0, 9), min_size=64, max_size=64),
    st.none() | st.builds(Mark, st.integers(0, 1000), st.none() | PLACES, st.integers(0, 1 << 42)),
)


@given(LEDGERS)
def test_a_ledger_is_read_as_it_was_written(ledger):
    assert Ledger.parse(ledger.document()) == ledger
    assert Ledger.parse(None).empty


@given(LEDGERS, PLACES, st.integers(0, 2000))
def test_anchors_stay_few_in_order_and_keep_the_first_and_the_new_one(ledger, place, ordinal):
    changed = ledger.with_anchor(Anchor(place, ordinal))
    assert len(changed.anchors) <= 64
    assert list(changed.anchors) == sorted(changed.anchors)
    assert any(anchor.place == place for anchor in changed.anchors)
    assert {anchor.place for anchor in changed.anchors} <= {place, *(anchor.place for anchor in ledger.anchors)}


@given(LEDGERS, PLACES)
def test_forgetting_what_expired_keeps_the_greatest_ordinal(ledger, first):
    kept = ledger.without(first)
    assert kept.greatest == ledger.greatest
    assert all(anchor in kept.anchors for anchor in ledger.anchors if anchor.place >= first)


@given(LEDGERS)
def test_a_lost_count_begins_anew_beyond_every_offset_that_was_used(ledger):
    if not ledger.empty:
        later = (ledger.mark.time if ledger.mark else 0) + 2 * DAY
        assert ledger.resumed(later, DAY) == ledger.greatest + LEAP


def test_the_count_goes_on_where_nothing_can_have_expired_uncounted():
    ledger = Ledger((Anchor(Place(0, 5), 0),), Mark(12, Place(0, 9), 100 * DAY))
    assert ledger.resumed(100 * DAY + DAY // 2, DAY) == 12
    assert Ledger().resumed(5, DAY) == 0


def test_an_earlier_mark_changes_nothing():
    ledger = Ledger((), Mark(12, Place(0, 9), 50))
    assert ledger.with_mark(Mark(11, Place(0, 8), 60)) == ledger
    assert ledger.with_mark(Mark(12, Place(0, 9), 60)).mark == Mark(12, Place(0, 9), 60)


MEMBERS = st.dictionaries(st.text("abc", min_size=1, max_size=2), st.just(("t",)), max_size=5)


@given(MEMBERS, st.integers(0, 12), st.data())
def test_partitions_are_shared_evenly_and_stay_where_that_is_even(members, count, data):
    partitions = [TopicPartition("t", number) for number in range(count)]
    owners = {p: data.draw(st.sampled_from([*members, "gone"])) for p in partitions if data.draw(st.booleans())}
    targets = assign(members, partitions, owners)
    if members:
        loads = [list(targets.values()).count(member) for member in members]
        assert sum(loads) == count
        assert max(loads) - min(loads) <= 1
        assert assign(members, partitions, targets) == targets


@given(MEMBERS, st.dictionaries(st.text("ab/", max_size=4), st.integers(0, 99), max_size=4))
def test_a_group_is_read_as_it_was_written(members, offsets):
    group = Membership({name: Member(topics, 3) for name, topics in members.items()}, {}, offsets)
    group = all_claimed(group, members)
    assert Membership.parse(group.document()) == group


def all_claimed(group, members):
    for name in members:
        group = group.claimed(name, [TopicPartition("t", number) for number in range(3)])
    return group


def test_no_partition_is_claimed_before_its_owner_let_go():
    partitions = [TopicPartition("t", number) for number in range(2)]
    group = Membership().with_member("a", ["t"]).claimed("a", partitions).with_member("b", ["t"])
    assert group.claimed("b", partitions).of("b") == frozenset()
    leaving = group.leaving("a", partitions)
    assert len(leaving) == 1
    assert group.released("a", leaving).claimed("b", partitions).of("b") == leaving
