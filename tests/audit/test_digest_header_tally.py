from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_messages import delete_digest, pack

from onepipe.errors import DecodeError
from onepipe.evidence.digest import Digest, add, digest, lanes, signed, sum_of, total
from onepipe.evidence.header import packer, unpack
from onepipe.evidence.tally import Tally

LANE = st.integers(-(1 << 63), (1 << 63) - 1)
DIGESTS = st.builds(Digest, LANE, LANE)


def packed(digests: Iterable[Digest]) -> bytes:
    return b"".join(lane.to_bytes(8, "big", signed=True) for digest_ in digests for lane in digest_)


@given(st.lists(DIGESTS), st.randoms())
def test_a_sum_of_digests_does_not_depend_on_their_order(digests, random):
    shuffled = list(digests)
    random.shuffle(shuffled)
    assert total(digests) == total(shuffled)


@given(DIGESTS, DIGESTS, DIGESTS)
def test_sums_of_digests_are_a_commutative_group(a, b, c):
    assert add(a, b) == add(b, a)
    assert add(add(a, b), c) == add(a, add(b, c)) == total([a, b, c])
    assert add(a, Digest(0, 0)) == a
    assert add(a, Digest(signed(-a.hi), signed(-a.lo))) == Digest(0, 0)


@given(st.binary(max_size=100))
def test_two_equal_records_do_not_cancel_in_a_sum(body):
    once = digest(1, body)
    assert add(once, once) != Digest(0, 0)
    assert add(once, once) == Digest(signed(2 * once.hi), signed(2 * once.lo))


def test_the_digest_of_a_record_is_bound_to_its_schema_and_a_delete_is_no_record():
    assert digest(1, b"body") != digest(2, b"body")
    assert delete_digest(b"key", b"header") != delete_digest(b"ke", b"yheader")


@given(st.lists(DIGESTS, max_size=30))
def test_the_sum_of_packed_digests_is_that_of_their_lanes(digests):
    assert list(lanes(packed(digests))) == digests
    assert Digest(*map(signed, sum_of(packed(digests)))) == total(digests)


@given(st.binary(min_size=16, max_size=16), st.integers(0, (1 << 64) - 1), LANE)
def test_an_audit_header_has_33_bytes_and_reads_as_it_was_packed(epoch, sequence, check):
    value = packer(epoch)(sequence, packed([Digest(check, 7)]))
    assert len(value) == 33
    assert unpack(value) == (epoch, sequence, check)
    assert pack(epoch, sequence, check) == value


@pytest.mark.parametrize("value", [b"", b"\x01" * 32, b"\x01" * 34, b"\x02" + bytes(32)])
def test_an_audit_header_of_another_form_is_refused(value):
    with pytest.raises(DecodeError, match="upgrade"):
        unpack(value)


OUTCOMES = st.lists(
    st.tuples(st.sampled_from(["acknowledged", "failed", "indeterminate"]), DIGESTS, st.integers(0, 10**7)),
    max_size=40,
)


@given(OUTCOMES, OUTCOMES)
def test_adding_to_a_copy_of_a_tally_leaves_it_as_it_is(before, after):
    tally = Tally("t", "log", 0, named=True)

    def add_to(tally: Tally, outcomes: list[tuple[str, Digest, int]]) -> None:
        for kind, digest_, time in outcomes:
            if kind == "acknowledged":
                tally.add([tally.sequence_end], [time], packed([digest_]), [b"k"])
            else:
                tally.add_failed(1, indeterminate=kind == "indeterminate")

    add_to(tally, before)
    said = tally.fields()
    for other in (tally.copy(), tally.next()):
        add_to(other, after)
    assert tally.fields() == said


@given(OUTCOMES, st.sets(st.integers(0, 40)))
def test_tallies_are_cumulative_and_their_hours_and_manifests_add_up(outcomes, cuts):
    tally = Tally("t", "log", 0, named=True)
    said = []
    numbered = list(enumerate(outcomes))
    for _, group in groupby(numbered, key=lambda each: (each[1][0], sum(cut <= each[0] for cut in cuts))):
        numbers, run = zip(*group, strict=True)
        kinds, digests, times = zip(*run, strict=True)
        if kinds[0] == "acknowledged":
            tally.add([1000 + n for n in numbers], times, packed(digests), [b"k%d" % n for n in numbers])
        else:
            tally.add_failed(len(numbers), indeterminate=kinds[0] == "indeterminate")
        if numbers[-1] + 1 in cuts:
            said.append(tally.fields())
            tally = tally.next()
    said.append(tally.fields())
    last = said[-1]
    acknowledged = [(n, o) for n, o in numbered if o[0] == "acknowledged"]
    assert [s["number"] for s in said] == list(range(len(said)))
    assert last["sequence_end"] == len(outcomes)
    assert last["acknowledged"] == len(acknowledged)
    assert last["last_offset"] == (1000 + acknowledged[-1][0] if acknowledged else None)
    assert Digest(last["digest_hi"], last["digest_lo"]) == total(o[1] for _, o in acknowledged)
    entries = [tuple(entry.values()) for s in said for entry in s["manifest"]]
    assert entries == [(n, 1000 + n, b"k%d" % n, *o[1]) for n, o in acknowledged]
    for hour in {o[2] // 3_600_000 for _, o in acknowledged}:
        of_hour = [o[1] for _, o in acknowledged if o[2] // 3_600_000 == hour]
        found = [h for s in said for h in s["hours"] if h["hour"] == hour]
        assert sum(h["rows"] for h in found) == len(of_hour)
        assert total(Digest(h["digest_hi"], h["digest_lo"]) for h in found) == total(of_hour)
    for kind in ("failed", "indeterminate"):
        covered = [n for i in last[kind] for n in range(i["first"], i["end"])]
        assert covered == [n for n, o in numbered if o[0] == kind]
