from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_messages import read_footer

from onepipe.errors import CorruptFile
from onepipe.evidence.digest import signed
from onepipe.lake import raw_footer
from onepipe.lake.columns import bucket
from onepipe.lake.raw_footer import NO_HOUR, RawFooter, Run, Sum, Tally, join_footers
from onepipe.lake.storage import LocalStorage

LANE = st.integers(-(1 << 63), (1 << 63) - 1)
HOUR = 3_600_000_000
ROW = st.tuples(LANE, LANE, st.booleans(), st.none() | LANE, st.none() | st.integers(-HOUR * 5, HOUR * 5))


def count(tally, rows):
    hi, lo, good, identity, micros = (list(column) for column in zip(*rows, strict=True))
    tally.add(
        hi=np.array(hi, np.int64),
        lo=np.array(lo, np.int64),
        good=np.array(good, bool),
        identity=np.array([i or 0 for i in identity], np.int64),
        identified=np.array([i is not None for i in identity], bool),
        micros=np.array([m or 0 for m in micros], np.int64),
        timed=np.array([m is not None for m in micros], bool),
    )


def footer(tally, first=0, following=0):
    return tally.footer(topic="T", log="l", partition=0, first=first, next=following)


@given(st.lists(ROW, min_size=1, max_size=50), st.integers(1, 50))
def test_sums_are_those_of_the_rows_however_they_are_cut(rows, cut):
    tally = Tally()
    for start in range(0, len(rows), cut):
        count(tally, rows[start : start + cut])
    found = footer(tally)
    sums, hours = defaultdict(lambda: [0, 0, 0]), defaultdict(lambda: [0, 0, 0])
    for hi, lo, good, identity, micros in rows:
        hour = NO_HOUR if micros is None else str(np.datetime64(micros // HOUR, "h"))
        groups = [hours[hour], *([sums[-1 if identity is None else bucket(identity)]] if good else [])]
        for group in groups:
            group[0] += 1
            group[1] += hi
            group[2] += lo
    assert found.sums == {key: Sum(n, signed(hi), signed(lo)) for key, (n, hi, lo) in sums.items()}
    assert found.hours == {key: Sum(n, signed(hi), signed(lo)) for key, (n, hi, lo) in hours.items()}
    assert found.rows == len(rows)
    assert found.quarantined == sum(not good for _, _, good, _, _ in rows)


def runs(sequences, cuts=()):
    tally = Tally()
    for part in np.split(np.array(sequences, np.int64), list(cuts)):
        if len(part):
            tally.add_writer("ab", part, part * 2, part * 3)
    return [(run.first, run.last, run.sum.rows, run.sum.hi) for run in footer(tally).writers]


def test_sequences_that_follow_each_other_are_one_run():
    assert runs([4, 5, 6]) == [(4, 6, 3, 30)]
    assert runs([4, 5, 6], cuts=[1]) == [(4, 6, 3, 30)]


def test_a_gap_or_a_repetition_begins_another_run():
    assert runs([4, 6, 7, 7, 8]) == [(4, 4, 1, 8), (6, 7, 2, 26), (7, 8, 2, 30)]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_runs_do_not_depend_on_batches_and_hold_every_row(sequences, cuts):
    found = runs(sequences, sorted(cuts))
    assert found == runs(sequences)
    assert [n for first, last, _, _ in found for n in range(first, last + 1)] == sequences


def test_too_many_runs_become_one_for_each_writer(monkeypatch):
    monkeypatch.setattr(raw_footer, "MAX_RUNS", 3)
    sequences = [2, 0, 4, 6, 8]
    assert runs(sequences) == [(0, 8, 5, 40)]
    assert runs(sequences, cuts=[2, 4]) == [(0, 8, 5, 40)]


def test_a_run_with_holes_does_not_grow_as_if_it_had_none(monkeypatch):
    holed = Run("ab", 0, 8, Sum(5, 40, 60))
    tally = Tally()
    tally._extend(holed)
    tally._extend(Run("ab", 9, 9, Sum(1, 1, 1)))
    assert len(footer(tally).writers) == 2


@given(st.lists(ROW, min_size=1, max_size=20), st.lists(ROW, min_size=1, max_size=20))
def test_joined_footers_are_the_footer_of_all_rows(left, right):
    both = Tally()
    count(both, left + right)
    parts = []
    for rows, (first, following) in ((left, (3, 7)), (right, (7, 9))):
        tally = Tally()
        count(tally, rows)
        parts.append(footer(tally, first, following))
    assert join_footers(parts) == footer(both, 3, 9)


def test_footers_that_do_not_follow_each_other_cannot_be_joined():
    tally = Tally()
    count(tally, [(1, 2, True, 3, 4)])
    with pytest.raises(CorruptFile, match="does not follow"):
        join_footers([footer(tally, 0, 5), footer(tally, 6, 7)])


@given(st.lists(ROW, min_size=1, max_size=20))
def test_a_footer_reads_back_from_its_document(rows):
    tally = Tally()
    count(tally, rows)
    tally.schemas[7] = {"type": "record", "name": "R", "fields": []}
    tally.add_writer("ab", np.array([1, 2], np.int64), np.array([1, 2], np.int64), np.array([1, 2], np.int64))
    found = footer(tally, 1, 2)
    assert RawFooter.from_document(json.loads(json.dumps(found.document()))) == found


def test_a_footer_is_read_from_a_file_or_refused(tmp_path):
    storage = LocalStorage(tmp_path)
    tally = Tally()
    count(tally, [(1, 2, True, 3, 4)])
    table = pa.table({"n": [1]})
    pq.write_table(table.replace_schema_metadata(footer(tally).metadata()), tmp_path / "a.parquet")
    pq.write_table(table, tmp_path / "b.parquet")
    pq.write_table(table.replace_schema_metadata({b"onepipe": b'{"format": 2}'}), tmp_path / "c.parquet")
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    assert read_footer(storage, "a.parquet") == footer(tally)
    for name in ("b", "c", "d", "e"):
        with pytest.raises(CorruptFile):
            read_footer(storage, f"{name}.parquet")
