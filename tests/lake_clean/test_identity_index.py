from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake_arrivals import Raw, clean_rows, declare_thing, expected, thing

from onepipe.errors import LakeError
from onepipe.lake import open_lake
from onepipe.lake.chunks import day_of, parse_path
from onepipe.lake.columns import IDENTITY
from onepipe.lake.dedup import dedup
from onepipe.lake.index import IdentityIndex, Run, find_days
from onepipe.lake.table import LakeTable

TOPIC = declare_thing()


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


@pytest.fixture
def raw(lake):
    return Raw(lake, TOPIC)


def run_files(lake):
    return [Path(lake.storage.uri(file.path)) for file in lake.storage.list("clean/Things/_index")]


def check_covers(lake):
    """Every place of the clean table is found in its index."""
    table = lake.clean("Things")
    snapshot = table.snapshot()
    runs = IdentityIndex(table, "Things").runs(snapshot)
    assert runs[-1].end == snapshot.version
    rows = clean_rows(lake, TOPIC)
    hashes, days = find_days(runs, np.unique([row[IDENTITY] for row in rows]))
    found = set(zip(hashes.tolist(), days.tolist(), strict=True))
    day_numbers = {parse_path(file.path)[0] for file in snapshot.files}
    assert {(row[IDENTITY], day_of(row["day"])) for row in rows} <= found
    assert day_numbers <= {day for _, day in found}


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=8)


@given(st.lists(pairs, max_size=3), st.sets(st.integers(0, 6)))
def test_every_pair_of_every_run_is_found(runs, wanted):
    ordered = [sorted(run) for run in runs]
    chain = [
        Run(n, n + 1, np.array([h for h, _ in run], np.int64), np.array([d for _, d in run], np.int64))
        for n, run in enumerate(ordered)
    ]
    hashes, days = find_days(chain, np.array(sorted(wanted), np.int64))
    found = sorted(zip(hashes.tolist(), days.tolist(), strict=True))
    assert found == sorted(pair for run in ordered for pair in run if pair[0] in wanted)


@pytest.mark.slow
def test_the_index_follows_the_table_in_few_runs(lake, raw):
    for n in range(12):
        raw.archive([thing(f"{n}-{k}", day=k) for k in range(3)] + [thing("moves", n, day=n)])
        dedup(lake, TOPIC)
        check_covers(lake)
        assert len(run_files(lake)) <= 5
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


@pytest.mark.parametrize("harm", ["delete", "truncate", "flip", "nonsense"])
def test_a_harmed_index_is_made_anew(lake, raw, harm):
    for n in range(3):
        raw.archive([thing(str(k), n, day=n) for k in range(4 * (3 - n))])
        dedup(lake, TOPIC)
    check_covers(lake)
    for path in run_files(lake)[:1]:
        data = path.read_bytes()
        path.unlink()
        if harm == "truncate":
            path.write_bytes(data[: len(data) // 2])
        elif harm == "flip":
            path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        elif harm == "nonsense":
            path.write_bytes(b"")
    raw.archive([thing("0", 9, day=7)])
    dedup(lake, TOPIC)
    check_covers(lake)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


def test_an_index_whose_versions_have_left_the_log_is_made_anew(lake, raw, monkeypatch):
    raw.archive([thing("a", 1, day=0)])
    dedup(lake, TOPIC)
    raw.archive([thing("b", 1, day=0)])
    dedup(lake, TOPIC)
    dedup(lake, TOPIC, rebuild=True)
    table = lake.clean("Things")

    def gone(_table, version):
        raise LakeError(f"there is no version {version}")

    monkeypatch.setattr(LakeTable, "at", gone)
    (run,) = IdentityIndex(table, "Things").runs(table.snapshot())
    assert (run.start, len(run.hashes)) == (0, 2)


def test_an_incremental_dedup_brings_the_index_to_its_version_and_reads_no_file_for_it(lake, raw, monkeypatch):
    for n in range(2):
        raw.archive([thing(str(k), n, day=k) for k in range(8)])
        dedup(lake, TOPIC)
    check_covers(lake)

    def read(_index, files, start, end):
        raise AssertionError(f"{len(files)} files were read for {start} to {end}")

    monkeypatch.setattr(IdentityIndex, "_read", read)
    for n in range(3):
        raw.archive([thing(str(k), 9 + n, day=k + n) for k in range(n, 12)])
        dedup(lake, TOPIC)
        check_covers(lake)
    assert clean_rows(lake, TOPIC) == expected(TOPIC, raw.placed)


def test_an_index_is_not_told_of_a_version_that_follows_another_process_s(lake, raw, monkeypatch):
    for n in range(2):
        raw.archive([thing(str(k), n, day=k) for k in range(8)])
        dedup(lake, TOPIC)
    commit = LakeTable.commit

    def overtaken(table, *args, **kwargs):
        commit(table, note={"nothing": True})
        return commit(table, *args, **kwargs)

    raw.archive([thing("new", day=30)])
    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "commit", overtaken)
        report = dedup(lake, TOPIC)
    ends = {int(path.name.split("-")[1]) for path in run_files(lake)}
    assert report.version not in ends
    check_covers(lake)
