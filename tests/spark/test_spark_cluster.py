"""Dedup by spark-submit on a cluster, with the lake in a bucket, as machines and drivers go down."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
from pathlib import Path

import doc_pages
import pytest
import spark_program
from faulty_proxy import Fault, faulty_proxy
from lake_arrivals import START, Event, Raw, clean_rows, declare_thing, expected
from services.service import start_own
from services.spark import kill, spark_cluster

from onepipe.lake import open_lake
from onepipe.lake.dedup import dedup
from onepipe.merge import first, latest_non_null, union

pytestmark = [pytest.mark.spark, pytest.mark.s3, pytest.mark.slow]

PROGRAM = Path(spark_program.__file__)
PAGE = doc_pages.DOCS / "how-to" / "dedup-on-spark.md"
TOPIC = declare_thing(tags=union(), status=first(), weight=latest_non_null("version"))
TASK_ROWS = 400
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def gate(s3):
    """A proxy in front of the store: what executors ask for goes through it, and nothing else."""
    with faulty_proxy(s3.endpoint) as found:
        yield found


@pytest.fixture(scope="module")
def machines(s3, gate):
    """The cluster."""
    own = {**s3.environment, "AWS_ENDPOINT_URL_S3": gate.endpoint}
    context = spark_cluster(own)
    yield start_own("Spark", context.__enter__)
    context.__exit__(None, None, None)


@pytest.fixture
def cluster(machines, gate):
    """The cluster with two workers, whatever became of those there were."""
    machines.have_workers(2)
    yield machines
    gate.let_go()


@pytest.fixture
def raw(s3, tmp_path, monkeypatch):
    """A raw table in a new lake of the store."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lake = open_lake(f"s3://{s3.new_bucket()}/company/lake")
    lake.catalog.declare(TOPIC)
    return Raw(lake, TOPIC)


def events(turn, count=1200):
    """Records of some identities, on days that may change from turn to turn; some deleted, some unreadable."""
    for n in range(count):
        name, version = f"n{n * 7919 % 900}", (n + turn) % 4
        values = {"name": name, "number": n % 2, "version": version, "created": START + (n * (1 + turn) % 90) * HOUR}
        if n % 17 == turn:
            yield Event(values, deleted=True)
            continue
        rest = {"weight": None if n % 3 else n / 7, "status": f"s{n % 5}", "tags": [f"t{turn}", f"t{n % 6}"]}
        yield Event({**values, **rest}, error="unreadable: cut off" if n % 101 == 3 else None)


def archive(raw, turn):
    """Four files more."""
    every = list(events(turn))
    for part in range(4):
        raw.archive(every[part::4], partition=part % 2)


def submitted(cluster, raw):
    """The driver of a dedup in small tasks."""
    arguments = [raw.lake.storage.uri(), TOPIC.name, str(TASK_ROWS)]
    return cluster.submit(PROGRAM, *arguments, environment=os.environ)


def done(driver):
    """What a driver said to the end, which must be a good one; and its log."""
    said, log = driver.communicate(timeout=240)
    assert driver.returncode == 0, log[-5000:]
    return said, log


def require_rows_of_duckdb(raw):
    """Check the clean table, row by row, against the reference and against DuckDB's, made anew from all of raw."""
    by_spark = clean_rows(raw.lake, TOPIC, states=True)
    assert clean_rows(raw.lake, TOPIC) == expected(TOPIC, raw.placed)
    dedup(raw.lake, TOPIC, rebuild=True)
    assert clean_rows(raw.lake, TOPIC, states=True) == by_spark


def hold_writes(gate):
    """Hold the executors' writes of clean files."""
    gate.inject(Fault.HOLD, "PUT", "/clean/", times=1_000_000)


def test_a_cluster_that_loses_a_machine_as_it_writes_has_the_rows_of_duckdb(cluster, gate, raw):
    archive(raw, 0)
    hold_writes(gate)
    driver = submitted(cluster, raw)
    gate.wait_for_held(2)  # one of each worker's task: either is in the middle of one
    cluster.kill_worker()
    gate.let_go()
    said, log = done(driver)
    assert "Lost executor" in log
    assert re.search(r"Starting task \d+\.1 in stage", log)  # a task's second attempt
    files = raw.lake.clean(TOPIC.name).snapshot().files
    assert re.search(r"(\d+) files", said)[1] == str(len(files))
    assert len(files) > 3
    require_rows_of_duckdb(raw)


def test_a_driver_that_is_killed_leaves_nothing_and_the_next_one_has_the_rows_of_duckdb(cluster, gate, raw):
    archive(raw, 0)
    dedup(raw.lake, TOPIC, target_rows=TASK_ROWS // 2)
    archive(raw, 1)
    before = raw.lake.clean(TOPIC.name).snapshot()
    hold_writes(gate)
    driver = submitted(cluster, raw)
    gate.wait_for_held(2)
    kill(driver)
    gate.let_go()  # tasks of no driver write to the end, or are killed too
    assert driver.returncode == -signal.SIGKILL
    assert raw.lake.clean(TOPIC.name).snapshot().version == before.version
    done(submitted(cluster, raw))
    after = raw.lake.clean(TOPIC.name).snapshot()
    assert (after.version, after.progress("log-a/0")) == (before.version + 1, 1200)
    require_rows_of_duckdb(raw)


def test_the_command_line_runs_on_the_cluster_by_the_program_of_the_docs(cluster, raw, tmp_path):
    archive(raw, 0)
    (block,) = [block for block in doc_pages.blocks(PAGE) if block.info == "python file=onepipe_on_spark.py"]
    program = tmp_path / "onepipe_on_spark.py"
    program.write_text(block.text)
    lake = raw.lake.storage.uri()
    command = ["dedup", TOPIC.name, "--lake", lake, "--engine", "spark", "--json"]
    said, _ = done(cluster.submit(program, *command, environment=os.environ))
    (account,) = [
        json.loads(line) for line in said.splitlines() if line.startswith("{")
    ]  # others are spark-submit's own
    (report,) = account["topics"]
    assert report["arrivals"] == sum(at.event.error is None for at in raw.placed)
    require_rows_of_duckdb(raw)
