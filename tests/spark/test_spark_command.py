"""`onepipe dedup --engine spark`, and what it says where Spark cannot be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from lake_arrivals import Raw, clean_rows, declare_thing, expected, thing

from onepipe.cli import main
from onepipe.errors import ConfigurationError, MissingDependency
from onepipe.lake import open_lake
from onepipe.lake.dedup import dedup
from onepipe.lake.spark import SparkEngine
from onepipe.lake.spark.run import SparkRun
from onepipe.lake.spark.session import context_of

TOPIC = declare_thing()
COMMAND = [sys.executable, "-m", "onepipe.cli", "dedup", TOPIC.name, "--engine", "spark", "--lake"]


@pytest.fixture
def raw(tmp_path):
    """A raw table with something to merge."""
    lake = open_lake(tmp_path / "lake")
    lake.catalog.declare(TOPIC)
    table = Raw(lake, TOPIC)
    table.archive([thing("a"), thing("a", 1), thing("b")])
    return table


def dedup_command(raw, *words):
    """The command's words."""
    return ["dedup", TOPIC.name, "--engine", "spark", "--lake", raw.lake.storage.uri(), *words]


@pytest.mark.spark
def test_the_command_merges_on_the_active_session(session, raw, capsys):
    assert main(dedup_command(raw, "--json")) == 0
    (report,) = json.loads(capsys.readouterr().out)["topics"]
    assert (report["arrivals"], report["identities"]) == (3, 2)
    assert clean_rows(raw.lake, TOPIC) == expected(TOPIC, raw.placed)
    raw.archive([thing("b", 1)])
    assert main(dedup_command(raw, "--rebuild")) == 0
    assert "4 arrivals merged, +0 identities, made anew" in capsys.readouterr().out
    assert clean_rows(raw.lake, TOPIC) == expected(TOPIC, raw.placed)


@pytest.mark.spark
def test_the_command_says_how_many_rows_a_task_folds(session, raw, monkeypatch):
    made = []
    initialize = SparkRun.__init__

    def noting(run, context, terms, task_rows):
        made.append(task_rows)
        initialize(run, context, terms, task_rows)

    monkeypatch.setattr(SparkRun, "__init__", noting)
    assert main(dedup_command(raw, "--task-rows", "1")) == 0
    assert made == [1]
    assert clean_rows(raw.lake, TOPIC) == expected(TOPIC, raw.placed)


def test_the_size_of_a_task_is_refused_where_there_are_no_tasks(raw, capsys):
    words = ["dedup", TOPIC.name, "--lake", raw.lake.storage.uri(), "--task-rows"]
    assert main([*words, "5"]) == 2
    assert "--engine spark" in capsys.readouterr().err
    for wrong in ("0", "-1", "many", "9" * 5000):
        with pytest.raises(SystemExit):
            main([*words, wrong])


@pytest.mark.spark
@pytest.mark.slow
def test_the_command_in_a_process_of_its_own_makes_a_session_and_ends_with_it(session, raw):
    local = {"PYSPARK_SUBMIT_ARGS": "--master local[1] --conf spark.ui.enabled=false pyspark-shell"}
    done = command_with(raw, local)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (0, "Things: 3 arrivals merged, +2 identities")
    assert clean_rows(raw.lake, TOPIC) == expected(TOPIC, raw.placed)


@pytest.mark.spark
@pytest.mark.parametrize(
    "lacking",
    [
        pytest.param({"JAVA_HOME": os.devnull}, id="no Java"),
        pytest.param(
            {"PYSPARK_SUBMIT_ARGS": "--master local[1] --conf spark.driver.bindAddress=203.0.113.9 pyspark-shell"},
            id="an address that is not this machine's",
        ),
        pytest.param({"PYSPARK_SUBMIT_ARGS": "--master sparc://nowhere pyspark-shell"}, id="a master of no known kind"),
    ],
)
def test_where_spark_cannot_start_the_command_says_what_to_look_at(session, raw, lacking):
    done = command_with(raw, lacking)
    assert done.returncode == 2
    assert "Spark could not be started" in done.stderr
    assert "JAVA_HOME" in done.stderr
    assert "Traceback" not in done.stderr
    assert raw.lake.clean(TOPIC.name).snapshot().files == ()


def test_without_pyspark_the_command_and_the_call_name_the_extra(raw, capsys, monkeypatch):
    for name in ("pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(dedup_command(raw)) == 2
    assert "dedup on Spark needs pyspark" in (said := capsys.readouterr().err)
    assert "pip install 'onepipe[spark]'" in said
    with pytest.raises(MissingDependency, match="pyspark"):
        dedup(raw.lake, TOPIC, engine=SparkEngine())


def test_a_session_that_was_stopped_is_refused():
    pyspark = pytest.importorskip("pyspark", exc_type=ImportError)

    class Stopped:
        sparkContext = pyspark.SparkContext.__new__(pyspark.SparkContext)  # noqa: N815 - Spark's name

    Stopped.sparkContext._jsc = None  # as stop() leaves it
    with pytest.raises(ConfigurationError, match="session was stopped"):
        context_of(Stopped())


def command_with(raw, environment):
    """The command, run to its end with variables of the environment beside this process's."""
    command = [*COMMAND, raw.lake.storage.uri()]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
