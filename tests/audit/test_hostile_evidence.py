"""Evidence that nobody should believe: it costs a bounded time, and is never taken for a balance."""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import pytest
from audited_world import World
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.audit.rows import _GAPS, _IN_FLIGHT, _MISSING
from onepipe.audit.vouched import read_testimony
from onepipe.evidence.records import EVIDENCE
from onepipe.transport import Outgoing

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
EPOCH = b"f" * 16
MOST = 2**63 - 1
LEAST = -(2**63)


def tally(**changes: Any) -> dict[str, Any]:
    fields = {
        "kind": "tally",
        "epoch": EPOCH,
        "at": AT,
        "application": None,
        "topic": "Trips",
        "log": "log",
        "partition": 0,
        "number": 0,
        "sequence_end": 1,
        "acknowledged": 1,
        "digest_hi": 0,
        "digest_lo": 0,
        "last_offset": 0,
        "failed": [],
        "indeterminate": [],
        "hours": [],
        "manifest": [],
    }
    assert changes.keys() <= fields.keys()
    return {**fields, **changes}


def intervals(*pairs: tuple[int, int]) -> list[dict[str, int]]:
    return [{"first": first, "end": end} for first, end in pairs]


def hour(hour: int, rows: int) -> dict[str, int]:
    return {"hour": hour, "rows": rows, "digest_hi": MOST, "digest_lo": LEAST}


ENTRY = {"sequence": MOST, "offset": MOST, "key": b"\xff" * 100, "digest_hi": MOST, "digest_lo": LEAST}
MANY = 100_000
CONTRADICTIONS = {
    "no log": {"log": None},
    "no partition": {"partition": None},
    "number below zero": {"number": -1},
    "more acknowledged than sequences": {"acknowledged": 100},
    "less than nothing": {"sequence_end": -2, "acknowledged": -2},
    "acknowledged below zero": {"sequence_end": 5, "acknowledged": -2, "failed": intervals((0, 7))},
    "beyond the end": {"failed": intervals((5, 6)), "sequence_end": 2},
    "reversed": {"failed": intervals((5, 1))},
    "below zero": {"sequence_end": 0, "acknowledged": 0, "indeterminate": intervals((LEAST, MOST))},
    "said twice": {
        "sequence_end": 5,
        "acknowledged": 0,
        "failed": intervals((0, 3)),
        "indeterminate": intervals((1, 3)),
    },
    "more than there are offsets": {"sequence_end": 10, "acknowledged": 10, "last_offset": 8},
}
CONSISTENT = {
    "all there can be": {"sequence_end": MOST, "acknowledged": MOST, "last_offset": MOST},
    "all failed": {"sequence_end": MOST, "acknowledged": 0, "last_offset": None, "failed": intervals((0, MOST))},
    "huge hours": {"sequence_end": MOST, "acknowledged": MOST, "last_offset": MOST, "hours": [hour(MOST, MOST)] * 3},
    "hours below zero": {"hours": [hour(LEAST, -5)]},
    "hours beyond the calendar": {"hours": [hour(10**8, 1)]},
    "a partition that is not": {"partition": 99},
    "another log": {"log": "../../x' OR 1=1\0\n"},
    "great number": {"number": MOST},
    "first moment": {"at": dt.datetime.min.replace(tzinfo=dt.UTC)},
    "last moment": {"at": dt.datetime.max.replace(tzinfo=dt.UTC)},
    "opened": {"kind": "opened", "application": "x" * 100_000 + "\n\0"},
    "manifest": {"manifest": [ENTRY] * 3},
    "many intervals": {
        "sequence_end": 2 * MANY,
        "acknowledged": MANY,
        "last_offset": 2 * MANY,
        "failed": intervals(*((2 * n, 2 * n + 1) for n in range(MANY))),
    },
}


def verdict_of(folder, *forged: dict[str, Any]):
    world = World(folder)
    world.publish(20)
    log = world.pipe.transport.describe_topic("Trips").log
    with world.pipe.producer(audit=False) as producer:
        for each in forged:
            producer.publish(each if each["log"] != "log" else {**each, "log": log}, topic=EVIDENCE)
    world.lake_it()
    return world.verify("accounted")


@pytest.mark.parametrize("changes", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_tally_that_contradicts_itself_is_no_evidence_and_said_to_be_none(tmp_path, changes):
    verdict = verdict_of(tmp_path, tally(**changes))
    assert verdict.state.value == "unknown"
    assert verdict.hops[0].expected == verdict.hops[0].found == 20
    assert "1 tallies contradict themselves" in " ".join(verdict.hops[0].notes)
    assert not verdict.findings


@pytest.mark.parametrize("changes", CONSISTENT.values(), ids=CONSISTENT)
def test_a_verdict_is_found_whatever_a_tally_claims(tmp_path, changes):
    verdict = verdict_of(tmp_path, tally(**changes))
    assert sum(hop.found for hop in verdict.hops if hop.hop.value == "raw") == 20
    assert str(verdict)
    assert verdict.to_json()


def test_tallies_that_contradict_each_other_are_no_balance_whatever_their_order(tmp_path):
    forged = [tally(number=n, sequence_end=e, acknowledged=e, last_offset=9) for n, e in ((0, 1), (0, 3), (1, 2))]
    said = read_testimony("Trips", forged, [])
    assert said.unsound == 2
    assert read_testimony("Trips", forged[::-1], []).streams == said.streams
    assert not verdict_of(tmp_path, *forged).balanced


def test_garbage_in_the_audit_topic_changes_no_verdict(tmp_path):
    world = World(tmp_path)
    world.publish(20)
    writer = world.pipe.transport.writer()
    for key, value, headers in ((None, b"garbage", ()), (b"x", None, ()), (EPOCH, b"", (("onepipe", b""),))):
        writer.append(Outgoing(EVIDENCE.name, 0, key, value, headers, LEAST), lambda outcome: None)
    writer.close()
    world.lake_it()
    assert world.verify("accounted").balanced


SEQUENCES = st.integers(0, 40)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 30),
    st.dictionaries(SEQUENCES, st.integers(0, 100)),
    st.lists(st.tuples(SEQUENCES, st.integers(1, 5))),
    st.dictionaries(SEQUENCES, st.integers(0, 160)),
    st.none() | st.integers(30, 160),
    st.integers(101, 140),
)
def test_what_is_absent_is_what_no_row_has_and_no_writer_excuses(end, rows, excused, named, last_offset, archived):
    """The reference goes through every sequence; the query through gaps alone."""
    with duckdb.connect() as connection:
        key = "'log' AS log, 0 AS part, 'f'::BLOB AS epoch"

        def table(name: str, columns: str, found: list[tuple[Any, ...]]) -> None:
            types = ", ".join(f"{column} BIGINT" for column in columns.split())
            connection.execute(f"CREATE TABLE {name}_ ({types})")
            marks = ", ".join("?" for _ in columns.split())
            if found:
                connection.executemany(f"INSERT INTO {name}_ VALUES ({marks})", found)
            connection.execute(f"CREATE TABLE {name} AS SELECT {key}, * FROM {name}_")

        table("vouched", "sequence_end last_offset", [(end, last_offset)])
        table("excused", "first last", [(first, min(first + size, end) - 1) for first, size in excused if first < end])
        table("audited", "seq pos", list(rows.items()))
        table("manifest", "seq pos hi lo", [(seq, pos, 0, 0) for seq, pos in named.items()])
        connection.execute("ALTER TABLE manifest ADD COLUMN key BLOB")
        connection.execute("CREATE TABLE archived AS SELECT 'log' AS log, 0 AS part, ?::BIGINT AS next", [archived])
        connection.execute(f"CREATE TABLE gaps AS {_GAPS}")
        lost = connection.execute(f"SELECT seq FROM ({_MISSING}) WHERE NOT in_flight ORDER BY seq").fetchall()
        ((in_flight,),) = connection.execute(_IN_FLIGHT).fetchall()
    expected: dict[bool, list[int]] = {False: [], True: []}
    for seq in range(end):
        held = seq in rows and named.get(seq, rows[seq]) == rows[seq]
        if held or any(first <= seq < first + size for first, size in excused):
            continue
        later = any(other > seq for other in rows)
        told = [each for each in (named.get(seq), last_offset, archived) if each is not None]
        expected[not later and told[0] >= archived].append(seq)
    assert ([seq for (seq,) in lost], in_flight) == (expected[False], len(expected[True]))
