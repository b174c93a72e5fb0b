"""The demonstration killed at many moments, and run again: the same clean table, and nothing counted twice."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from demo_process import run, start

import onepipe as op
from onepipe.demo.flights import Flight
from onepipe.evidence.records import AUDIT_TOPIC
from onepipe.lake import open_lake
from onepipe.lake.maintenance import vacuum

pytestmark = [pytest.mark.slow, pytest.mark.flights]
FEW = 1500


def clean_rows(folder: Path) -> list[tuple]:
    """The clean table by the declaration's columns, sorted."""
    with op.connect("memory://", lake=folder / "lake") as pipe:
        table = pipe.table(Flight).to_arrow()
    return sorted(tuple(map(repr, row.values())) for row in table.to_pylist())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The account and the clean rows of a job that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder, FEW).to_json(), clean_rows(folder)


def check(folder: Path, whole) -> None:
    """Run the job to its end: as if it had not been disturbed; then vacuum what the killed ones left."""
    expected, rows = whole
    process = start(folder, FEW)
    output, _ = process.communicate()
    assert process.returncode == 0
    account = json.loads(output.splitlines()[-1])
    passing = {"seconds", "folder", "hops"}
    assert {k: v for k, v in account.items() if k not in passing} == {
        k: v for k, v in expected.items() if k not in passing
    }
    assert account["clean"] == account["source_rows"] == FEW
    assert [hop["state"] for hop in account["hops"]] == ["balanced"] * 4
    assert [hop["found"] for hop in account["hops"]] == [account["published"]] * 4
    assert clean_rows(folder) == rows
    check_vacuum(folder)
    assert clean_rows(folder) == rows


def check_vacuum(folder: Path) -> None:
    """After a vacuum, nothing is left that nobody refers to, and the topic is still balanced."""
    lake = open_lake(folder / "lake")
    for topic in ("Flights", AUDIT_TOPIC):
        vacuum(lake, topic, keep=dt.timedelta(0))
    tables = [table for topic in ("Flights", AUDIT_TOPIC) for table in (lake.raw(topic), lake.clean(topic)) if table]
    known = {folder / "lake" / table.root / file.path for table in tables for file in table.snapshot().files}
    found = {
        file
        for table in tables
        for file in (folder / "lake" / table.root).rglob("*.parquet")
        if not file.relative_to(folder / "lake" / table.root).parts[0].startswith("_")
    }
    assert found == known
    assert not list((folder / "lake" / ".writing").glob("*"))


@pytest.mark.parametrize(
    ("point", "call", "when"),
    [
        ("record", 1, "before"),
        ("record", 3000, "before"),
        ("closing", 1, "before"),
        ("closing", 1, "after"),
        ("marker", 1, "before"),
        ("marker", 1, "after"),
        ("raw rows", 1, "before"),
        ("raw rows", 3, "after"),
        ("raw file", 1, "before"),
        ("raw file", 3, "after"),
        ("file", 1, "before"),
        ("file", 3, "after"),
        ("file", 9, "after"),
        ("file", 12, "before"),
        ("commit", 1, "before"),
        ("commit", 1, "after"),
        ("commit", 2, "before"),
        ("commit", 2, "after"),
        ("merging", 1, "before"),
        ("commit", 3, "before"),
        ("commit", 3, "after"),
        ("proof", 1, "before"),
        ("proof", 1, "after"),
        ("seal", 1, "before"),
        ("seal", 1, "after"),
    ],
)
def test_a_demo_killed_at_any_point_and_run_again_is_as_if_it_had_not_been(tmp_path, whole, point, call, when):
    killed = start(tmp_path, FEW, point, call, when)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    check(tmp_path, whole)


@pytest.mark.parametrize(("call", "when"), [(1, "before"), (1, "after"), (2, "before"), (2, "after")])
def test_a_demo_killed_again_while_it_clears_what_a_killed_one_left_can_still_be_run(tmp_path, whole, call, when):
    for words in (("record", 2000, "before"), ("clearing", call, when)):
        killed = start(tmp_path, FEW, *words)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
    check(tmp_path, whole)


def test_a_demo_killed_many_times_over_comes_to_its_end(tmp_path, whole):
    for words in [
        ("record", 500, "before"),
        ("marker", 1, "after"),
        ("raw file", 2, "after"),
        ("commit", 1, "before"),
        ("commit", 1, "after"),
        ("commit", 1, "after"),
        ("merging", 1, "before"),
        ("commit", 1, "before"),
        ("seal", 1, "before"),
    ]:
        killed = start(tmp_path, FEW, *words)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL, words
    check(tmp_path, whole)


@pytest.mark.parametrize(
    "pattern",
    [
        "log/*",
        "published.json",
        "lake/.writing/*",
        "lake/raw/Flights/_delta_log/*0.json",
        "lake/raw/Flights/part*/**/*.parquet",
        "lake/raw/Flights/_delta_log/*1.json",
        "lake/raw/_onepipe.audit/part*/**/*.parquet",
        "lake/clean/Flights/_delta_log/*0.json",
        "lake/clean/Flights/2*/**/*.parquet",
        "lake/clean/Flights/_delta_log/*1.json",
        "lake/ledger/**/*.json",
    ],
)
def test_a_demo_killed_as_soon_as_a_file_appears_and_run_again_is_as_if_it_had_not_been(tmp_path, whole, pattern):
    killed = start(tmp_path, FEW)
    while not any(tmp_path.glob(pattern)) and not ended(killed, 0.001):
        pass
    end(killed)
    assert any(tmp_path.glob(pattern)) or pattern == "lake/.writing/*"
    check(tmp_path, whole)


@pytest.mark.parametrize("seed", range(8))
def test_a_demo_killed_at_random_and_run_again_is_as_if_it_had_not_been(tmp_path, whole, seed):
    chance = random.Random(seed)
    for _ in range(3):
        killed = start(tmp_path, FEW)
        ended(killed, chance.uniform(0.5, sum(whole[0]["seconds"].values()) + 2))
        end(killed)
    check(tmp_path, whole)


def ended(process: subprocess.Popen, seconds: float) -> bool:
    """Whether a process ends within some seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def test_archives_and_dedups_at_once_in_several_processes_are_as_one(tmp_path, whole):
    published = start(tmp_path, FEW, "marker", 1, "after")
    published.communicate()
    processes = [start(tmp_path, FEW, "merge") for _ in range(3)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    check(tmp_path, whole)


def stopped(folder: Path, *words: object) -> subprocess.Popen:
    """The job, stopped at a point it has come to."""
    process = start(folder, FEW, *words, "stop")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return process


@pytest.mark.parametrize("commit", [1, 2])
def test_an_archive_and_dedup_killed_while_another_is_at_work_hinders_nothing(tmp_path, whole, commit):
    start(tmp_path, FEW, "marker", 1, "after").communicate()
    held, other = stopped(tmp_path, "commit", commit, "before"), start(tmp_path, FEW, "merge")
    end(held)
    other.communicate()
    assert (held.returncode, other.returncode) == (-signal.SIGKILL, 0)
    check(tmp_path, whole)


@pytest.mark.parametrize("commit", [1, 2])
def test_an_archive_and_dedup_held_up_until_another_has_done_its_work_commits_nothing_twice(tmp_path, whole, commit):
    start(tmp_path, FEW, "marker", 1, "after").communicate()
    held, other = stopped(tmp_path, "commit", commit, "before"), start(tmp_path, FEW, "merge")
    other.communicate()
    held.send_signal(signal.SIGCONT)
    held.communicate()
    assert (held.returncode, other.returncode) == (0, 0)
    check(tmp_path, whole)
