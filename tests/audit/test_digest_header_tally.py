from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.audit.digest import ZERO, Digest, add, delete_digest, digest, signed, total
from onepipe.audit.header import pack, unpack
from onepipe.audit.tally import Settled, Tally
from onepipe.errors import DecodeError

LANE = st.integers(-(1 << 63), (1 << 63) - 1)
DIGESTS = st.builds(Digest, LANE, LANE)


@given(st.lists(DIGESTS), st.randoms())
def test_a_sum_of_digests_does_not_depend_on_their_order(digests, random):
    shuffled = list(digests)
    random.shuffle(shuffled)
    assert total(digests) == total(shuffled)


@given(DIGESTS, DIGESTS, DIGESTS)
def test_sums_of_digests_are_a_commutative_group(a, b, c):
    assert add(a, b) == add(b, a)
    assert add(add(a, b), c) == add(a, add(b, c)) == total([a, b, c])
    assert add(a, ZERO) == a
    assert add(a, Digest(signed(-a.hi), signed(-a.lo))) == ZERO


@given(st.binary(max_size=100))
def test_two_equal_records_do_not_cancel_in_a_sum(body):
    once = digest(1, body)
    assert add(once, once) != ZERO
    assert add(once, once) == Digest(signed(2 * once.hi), signed(2 * once.lo))


def test_the_digest_of_a_record_is_bound_to_its_schema_and_a_delete_is_no_record():
    assert digest(1, b"body") != digest(2, b"body")
    assert delete_digest(b"key", b"header") != delete_digest(b"ke", b"yheader")


@given(st.binary(min_size=16, max_size=16), st.integers(0, (1 << 64) - 1), LANE)
def test_an_audit_header_has_33_bytes_and_reads_as_it_was_packed(epoch, sequence, check):
    value = pack(epoch, sequence, check)
    assert len(value) == 33
    assert unpack(value) == (epoch, sequence, check)


@pytest.mark.parametrize("value", [b"", b"\x01" * 32, b"\x01" * 34, b"\x02" + bytes(32)])
def test_an_audit_header_of_another_form_is_refused(value):
    with pytest.raises(DecodeError, match="upgrade"):
        unpack(value)


OUTCOMES = st.lists(
    st.one_of(
        st.tuples(st.just("acknowledged"), DIGESTS, st.integers(0, 10**7)),
        st.tuples(st.just("failed"), DIGESTS, st.integers(0, 10**7)),
        st.tuples(st.just("indeterminate"), DIGESTS, st.integers(0, 10**7)),
    ),
    max_size=40,
)


def _settled(number: int, outcome: tuple[str, Digest, int], *, named: bool) -> Settled:
    kind, digest_, timestamp = outcome
    offset = 1000 + number if kind == "acknowledged" else None
    return Settled(offset, timestamp, digest_, b"k%d" % number if named else b"", kind == "indeterminate")


@given(OUTCOMES, st.randoms(), st.booleans())
def test_a_tally_says_the_same_in_whatever_order_outcomes_arrive(outcomes, random, named):
    in_order, shuffled = (Tally("t", "log", 3, named=named) for _ in range(2))
    numbered = list(enumerate(outcomes))
    for number, outcome in numbered:
        in_order.settle(number, _settled(number, outcome, named=named))
    random.shuffle(numbered)
    for number, outcome in numbered:
        shuffled.settle(number, _settled(number, outcome, named=named))
    assert in_order.publish() == shuffled.publish()


@given(OUTCOMES, st.sets(st.integers(0, 40)))
def test_tallies_are_cumulative_and_their_hours_and_manifests_add_up(outcomes, cuts):
    tally = Tally("t", "log", 0, named=True)
    said = []
    for number, outcome in enumerate(outcomes):
        tally.settle(number, _settled(number, outcome, named=True))
        if number in cuts and tally.unpublished:
            said.append(tally.publish())
    if tally.unpublished or not said:
        said.append(tally.publish())
    last = said[-1]
    acknowledged = [(n, o) for n, o in enumerate(outcomes) if o[0] == "acknowledged"]
    assert [s["number"] for s in said] == list(range(len(said)))
    assert last["sequence_end"] == len(outcomes)
    assert last["acknowledged"] == len(acknowledged)
    assert Digest(last["digest_hi"], last["digest_lo"]) == total(o[1] for _, o in acknowledged)
    assert [entry["sequence"] for s in said for entry in s["manifest"]] == [n for n, _ in acknowledged]
    assert sum(hour["rows"] for s in said for hour in s["hours"]) == len(acknowledged)
    for name, kind in (("failed", "failed"), ("indeterminate", "indeterminate")):
        covered = [n for i in last[name] for n in range(i["first"], i["end"])]
        assert covered == [n for n, o in enumerate(outcomes) if o[0] == kind]


def test_a_tally_counts_nothing_beyond_a_record_whose_outcome_is_open():
    tally = Tally("t", "log", 0, named=False)
    tally.settle(1, Settled(11, 0, Digest(1, 1), b"", False))
    assert not tally.unpublished
    tally.settle(0, Settled(10, 0, Digest(2, 2), b"", False))
    assert tally.publish()["sequence_end"] == 2
