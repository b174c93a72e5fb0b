"""A lake on a store holds and proves what one in a folder does, whatever happens on the way there."""

from __future__ import annotations

import datetime as dt
import os
import signal
from itertools import pairwise

import pytest
import s3_process
from faulty_proxy import Fault
from s3_process import T0, Trip, contents, lake_it, publish
from services.s3 import versitygw_process

import onepipe as op
from onepipe.cli import main
from onepipe.lake.account import account
from onepipe.lake.lake import open_lake

pytestmark = [pytest.mark.s3, pytest.mark.slow]
COUNT = 300


@pytest.fixture
def folder(tmp_path):
    """A folder with a log."""
    publish(tmp_path, COUNT)
    return tmp_path


@pytest.fixture
def expected(folder):
    """What a lake of that log in a folder holds."""
    lake_it(folder, folder / "lake")
    whole = contents(folder, folder / "lake")
    assert len(whole["raw"]) == COUNT
    assert {state for state, *_ in whole["hops"].values()} == {"balanced"}
    return whole


def test_a_lake_on_a_store_holds_what_one_in_a_folder_does(folder, url):
    for first in (COUNT, COUNT + 40, COUNT + 110):
        for lake in (folder / "lake", url):
            lake_it(folder, lake)
        assert contents(folder, url) == contents(folder, folder / "lake")
        publish(folder, 40, first)
    topic = op.topic_of(Trip)
    assert account(open_lake(url), topic) == account(open_lake(folder / "lake"), topic)


def test_it_is_read_in_every_form(folder, url, expected):
    lake_it(folder, url)
    with op.connect(f"memory://{folder}/log", lake=url) as pipe:
        table = pipe.table(Trip)
        assert table.count() == len(expected["clean"])
        ids = {row["id"] for row in expected["clean"]}
        assert {trip.id for trip in table.records(Trip)} == ids
        assert set(table.to_pandas()["id"]) == ids
        assert set(table.to_polars()["id"]) == ids
        relation = table.select("id", "distance").to_duckdb()
        assert relation.columns == ["id", "distance"]
        assert {row[0] for row in relation.filter("id < 10").fetchall()} == set(range(10))
        assert relation.aggregate("count(*)").fetchall() == [(len(ids),)]


def test_a_range_of_days_reads_only_its_files(folder, url, proxy):
    lake_it(folder, url)
    before = len(proxy.requests)
    with op.connect(f"memory://{folder}/log", lake=url) as pipe:
        rows = pipe.table(Trip).between(T0, T0 + dt.timedelta(days=1)).to_arrow()
    assert {day.date() for day in rows["day"].to_pylist()} == {T0.date()}
    read = {path for _, path in proxy.requests[before:] if path.endswith(".parquet")}
    assert read
    assert all("/clean/Trips/2026/01/01/" in path for path in read)


def test_maintenance_leaves_the_rows_as_they_are(folder, url, expected):
    lake_it(folder, url)
    with op.connect(f"memory://{folder}/log", lake=url) as pipe:
        report = pipe.maintain(Trip, keep=dt.timedelta(0))
    assert report.raw.before > report.raw.after
    assert contents(folder, url) == expected


SCENES = [
    [(Fault.LOSE_ANSWER, "PUT", ".parquet", 1, 0), (Fault.LOSE_ANSWER, "PUT", "_delta_log", 1, 1)],
    [(Fault.LOSE_ANSWER, "PUT", "_delta_log", 1, 1)] * 4,
    [(Fault.SLOW_DOWN, method, "", 2, 5) for method in ("PUT", "GET", "HEAD")],
    [(Fault.CUT_REQUEST, "PUT", path, 1, 1) for path in (".parquet", "_delta_log", ".avsc")],
    [(Fault.CUT_ANSWER, "GET", ".parquet", 1, skip) for skip in range(4)] + [(Fault.LOSE_ANSWER, "GET", "list", 1, 3)],
]


@pytest.mark.parametrize("scene", SCENES, ids=["lost", "lost commits", "slow down", "cut uploads", "cut reads"])
def test_whatever_befalls_requests_and_answers_the_rows_are_the_same(folder, url, proxy, expected, scene):
    for fault, method, path, times, skip in scene:
        proxy.inject(fault, method, path, times=times, skip=skip)
    lake_it(folder, url)
    assert contents(folder, url) == expected
    assert proxy.left == 0


def test_several_at_once_hold_every_row_once(folder, url, expected):
    processes = [s3_process.start(folder, url) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert contents(folder, url) == expected


@pytest.mark.parametrize(
    ("point", "call", "when"),
    [
        ("finish", 2, "before"),
        ("publish", 1, "after"),
        ("publish", 4, "before"),
        ("commit", 1, "before"),
        ("commit", 2, "after"),
        ("durable", 1, "after"),
    ],
)
def test_killed_at_any_point_and_run_again_it_holds_every_row_once(folder, url, expected, point, call, when):
    assert s3_process.start(folder, url, point, call, when, "SIGKILL").wait() == -signal.SIGKILL
    lake_it(folder, url)
    assert contents(folder, url) == expected


@pytest.mark.parametrize(("point", "call"), [("publish", 2), ("commit", 2), ("durable", 1)])
def test_a_store_killed_and_started_again_in_mid_flight_loses_nothing(
    s3, folder, monkeypatch, expected, point, call, tmp_path
):
    with versitygw_process() as own:
        for name, value in own.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        url = f"s3://{own.new_bucket()}/lake"
        process = s3_process.start(folder, url, point, call, "before", "SIGSTOP")
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        own.kill()
        process.send_signal(signal.SIGCONT)
        own.start()
        assert process.wait() == 0
        assert contents(folder, url) == expected


@pytest.fixture
def archived(folder, url):
    lake_it(folder, url)
    return url


def objects_of(store, bucket, prefix):
    found = store.client().list_objects_v2(Bucket=bucket, Prefix=f"company/lake/{prefix}")["Contents"]
    return [each["Key"] for each in found if each["Key"].endswith(".parquet") and "_delta_log" not in each["Key"]]


@pytest.mark.parametrize("table", ["raw/Trips", "clean/Trips"])
@pytest.mark.parametrize("harm", ["altered", "missing", "swapped"])
def test_an_object_that_was_tampered_with_is_named(folder, store, bucket, archived, table, harm):
    client = store.client()
    key, other = objects_of(store, bucket, table)[:2]
    if harm == "missing":
        client.delete_object(Bucket=bucket, Key=key)
    else:
        body = client.get_object(Bucket=bucket, Key=other if harm == "swapped" else key)["Body"].read()
        flipped = body[:100] + bytes([body[100] ^ 255]) + body[101:] if harm == "altered" else body
        client.put_object(Bucket=bucket, Key=key, Body=flipped)
    with op.connect(f"memory://{folder}/log", lake=archived) as pipe:
        verdict = pipe.verify(Trip)
    assert verdict.state.value != "balanced"
    damaged = [file.path for hop in verdict.hops for file in hop.damaged]
    assert damaged == [key.removeprefix("company/lake/")]


def test_the_command_line_verifies_it(folder, archived, capsys):
    assert main(["verify", "Trips", "--lake", archived]) == 0
    assert "Trips: balanced" in capsys.readouterr().out


def test_the_command_line_says_that_there_is_no_lake(url, capsys):
    assert main(["verify", "Trips", "--lake", url]) != 0
    assert f"there is no lake in {url}" in capsys.readouterr().err


def test_it_goes_on_where_it_was(folder, url):
    lake_it(folder, url)
    sizes = []
    for first in (COUNT, COUNT + 30):
        publish(folder, 30, first)
        lake_it(folder, url)
        sizes.append(len(contents(folder, url)["raw"]))
    assert [right - left for left, right in pairwise([COUNT, *sizes])] == [30, 30]
