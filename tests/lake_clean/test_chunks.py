from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.lake.chunks import (
    END,
    LEAST,
    ROOT,
    cut,
    date_of,
    day_of,
    free_chunk,
    is_below,
    parse_path,
    span,
    topmost,
)
from onepipe.lake.columns import IDENTITY
from onepipe.lake.layout import clean_file
from onepipe.lake.plan import DAY

hashes = st.one_of(st.integers(LEAST, END - 1), st.sampled_from([LEAST, -1, 0, END - 1]))
chunks = st.integers(1, 2**12)
rows = st.lists(st.tuples(st.none() | st.integers(0, 2), hashes), max_size=60)


def batches(pairs, size):
    ordered = sorted(pairs, key=lambda pair: (pair[0] is not None, pair[0] or 0, pair[1]))
    table = pa.table(
        {DAY: pa.array([d for d, _ in ordered], pa.int32()), IDENTITY: pa.array([h for _, h in ordered], pa.int64())}
    )
    return ordered, table.to_batches(max_chunksize=size)


@given(chunks)
def test_the_halves_of_a_chunk_make_up_its_range(chunk):
    low, high = span(chunk)
    assert span(2 * chunk)[0] == low
    assert span(2 * chunk)[1] == span(2 * chunk + 1)[0]
    assert span(2 * chunk + 1)[1] == high


@given(chunks, chunks)
def test_a_chunk_is_below_another_where_its_range_is_inside(left, right):
    inside = span(right)[0] <= span(left)[0] and span(left)[1] <= span(right)[1]
    assert is_below(left, right) == inside


@given(st.lists(chunks, max_size=8), hashes)
def test_a_free_chunk_holds_the_hash_and_overlaps_no_other(taken, hash_):
    taken = [chunk for chunk in topmost(taken) if not span(chunk)[0] <= hash_ < span(chunk)[1]]
    free = free_chunk(hash_, taken)
    assert span(free)[0] <= hash_ < span(free)[1]
    assert not any(is_below(free, other) or is_below(other, free) for other in taken)


@given(rows, st.integers(1, 20), st.integers(1, 7))
def test_cutting_keeps_every_row_once_in_chunks_of_their_range_and_size(pairs, target, size):
    ordered, coming = batches(pairs, size)
    kept = []
    places = set()
    for day, chunk, table in cut(coming, target, {}):
        found = table[IDENTITY].to_pylist()
        low, high = span(chunk)
        assert all(low <= hash_ < high for hash_ in found)
        assert len(found) <= target or len(set(found)) == 1 or max(found) - min(found) < 2**40
        assert not any(d == day and (is_below(c, chunk) or is_below(chunk, c)) for d, c in places)
        places.add((day, chunk))
        kept += [(day, hash_) for hash_ in found]
    assert kept == ordered


@given(rows, st.integers(1, 20))
def test_rows_are_cut_below_the_chunks_they_lie_in(pairs, target):
    _, coming = batches(pairs, 5)
    given_chunks = {0: [3, 4, 5]}
    for day, chunk, _ in cut(coming, target, given_chunks):
        assert any(is_below(chunk, node) for node in given_chunks.get(day, [ROOT]))


def test_a_day_of_few_rows_is_one_file():
    _, coming = batches([(0, LEAST), (0, 0), (0, END - 1)], 2)
    assert [(day, chunk) for day, chunk, _ in cut(coming, 3, {})] == [(0, ROOT)]


@pytest.mark.parametrize("date", [dt.date.min, dt.date(1970, 1, 1), dt.date.max, None])
def test_a_path_says_its_day_and_chunk(date):
    path = clean_file(date, 5, "0" * 32)
    day = None if date is None else day_of(date)
    assert parse_path(path) == (day, 5)
    assert date_of(day) == date


def test_a_file_of_another_kind_has_no_place():
    assert parse_path("part0/2013/01/01/10/offset0-00.parquet") is None
