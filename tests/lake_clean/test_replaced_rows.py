from __future__ import annotations

from pathlib import Path

import lake_arrivals
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake_arrivals import Raw, clean_rows, declare_thing, expected, thing

from onepipe.errors import CorruptFile
from onepipe.lake import embedded as embedded_module
from onepipe.lake import open_lake
from onepipe.lake.clean_files import write_chunks
from onepipe.lake.columns import IDENTITY
from onepipe.lake.dedup import dedup
from onepipe.lake.plan import DAY, MergePlan
from onepipe.lake.replaced import ReplacedRows, interleaved

TOPIC = declare_thing()

places = st.lists(st.tuples(st.none() | st.integers(-1, 2), st.integers(-5, 5)), max_size=30)


def in_order(place):
    day, hash_ = place
    return day is not None, day or 0, hash_


def batches(pairs, sizes):
    ordered = sorted(pairs, key=in_order)
    schema = pa.schema([(DAY, pa.int32()), (IDENTITY, pa.int64())])
    rows = pa.table([[d for d, _ in ordered], [h for _, h in ordered]], schema=schema)
    start = 0
    for size in sizes:
        yield from rows.slice(start, size).to_batches()
        start += size
    yield from rows.slice(start).to_batches()


@given(places, st.lists(st.integers(0, 5), max_size=8), places, st.lists(st.integers(0, 5), max_size=8))
def test_two_ordered_sequences_become_one_with_every_row_of_both(left, left_sizes, right, right_sizes):
    found = [
        pair
        for batch in interleaved(batches(left, left_sizes), batches(right, right_sizes))
        for pair in zip(batch[DAY].to_pylist(), batch[IDENTITY].to_pylist(), strict=True)
    ]
    assert found == sorted([*left, *right], key=in_order)


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


@pytest.fixture
def raw(lake):
    return Raw(lake, TOPIC)


def replaced(lake, copies, hashes, room):
    clean = lake.clean("Things").snapshot()
    plan = MergePlan(TOPIC)
    return ReplacedRows(copies, clean, plan.schema, clean.files, np.array(sorted(hashes), np.int64), room)


def hashes_of(rows):
    return [hash_ for part in rows for hash_ in part[IDENTITY].to_pylist()]


@pytest.mark.parametrize("room", [0, 1500, 1 << 20])
def test_rows_are_parted_by_whether_their_identity_arrived_whatever_stays_in_memory(lake, raw, room):
    raw.archive([thing(str(n), day=None if n % 5 == 4 else n % 5) for n in range(60)])
    dedup(lake, TOPIC, target_rows=4)
    rows = clean_rows(lake, TOPIC)
    arrived = {row[IDENTITY] for row in rows[::7]}
    with lake.storage.copies() as copies:
        parts = replaced(lake, copies, arrived, room)
        assert sorted(hashes_of(parts.touched())) == sorted(arrived)
        others = list(parts.untouched())
    assert sorted(hashes_of(others)) == sorted({row[IDENTITY] for row in rows} - arrived)
    found = [pair for part in others for pair in zip(part[DAY].to_pylist(), part[IDENTITY].to_pylist(), strict=True)]
    assert found == sorted(found, key=in_order)


def test_rows_of_chunks_that_overlap_come_in_order(lake, raw):
    raw.archive([thing(str(n)) for n in range(40)])
    dedup(lake, TOPIC, target_rows=1000)
    table, plan = lake.clean("Things"), MergePlan(TOPIC)
    (file,) = table.snapshot().files
    with lake.storage.copies() as copies:
        (rows,) = replaced(lake, copies, {0}, 1 << 20).untouched()
        day = rows[DAY][0].as_py()
        lower = pa.Table.from_batches([rows.drop_columns([DAY]).slice(0, 3)])
        table.commit(list(write_chunks(lake.storage, plan, [(day, 4, lower)])))
        found = hashes_of(replaced(lake, copies, {0}, 1 << 20).untouched())
    assert found == sorted(found)
    assert len(found) == file.rows + 3


def test_a_file_that_is_damaged_between_the_readings_is_named(lake, raw):
    raw.archive([thing(str(n)) for n in range(8)])
    dedup(lake, TOPIC)
    (file,) = lake.clean("Things").snapshot().files
    with lake.storage.copies() as copies:
        parts = replaced(lake, copies, {0}, 0)
        assert list(parts.touched()) == []
        (path,) = copies.local([f"clean/Things/{file.path}"])
        with Path(path).open("r+b") as stream:
            stream.write(b"PAR2")
        with pytest.raises(CorruptFile, match="chunk1"):
            list(parts.untouched())


def test_two_identities_with_one_hash_stay_apart(lake, raw, monkeypatch):
    monkeypatch.setattr(lake_arrivals, "identity_of", lambda topic, values: len(values["name"]))
    raw.archive([thing("a", 1), thing("b", 2), thing("b", 1), thing("long")])
    dedup(lake, TOPIC)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)
    raw.archive([thing("a", 3), thing("c", 1), thing("d", 5, day=3)])
    dedup(lake, TOPIC)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)
    dedup(lake, TOPIC, rebuild=True)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


def test_a_dedup_with_no_room_gives_the_same_rows(lake, raw, monkeypatch):
    monkeypatch.setattr(embedded_module, "ReplacedRows", lambda *given: ReplacedRows(*given, room=0))
    for version in range(3):
        raw.archive([thing(str(n), version, day=(n * version) % 4) for n in range(30 * version, 30 * version + 40)])
        dedup(lake, TOPIC, target_rows=9)
        assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)
