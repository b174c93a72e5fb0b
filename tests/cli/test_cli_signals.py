"""The steps as processes that are told to end: by SIGTERM, as supervisors do, and by Ctrl-C."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sink_process import Widget, connect

from onepipe.cli import main
from onepipe.lake import open_lake

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TESTS = Path(__file__).parent.parent
SELF = """
import signal, sys, threading
from interrupted import interrupt_at
from onepipe.cli import main
from onepipe.pipeline import lake_steps
"""
TOLD_IN_FIRST = SELF + "interrupt_at(lake_steps, 'keep_up', 1, after=False, how=signal.SIGTERM)\nsys.exit(main())"
NEVER_ENDS = SELF + "lake_steps.merge = lambda *_, **__: print('merging', flush=True) or threading.Event().wait()"


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with a log, and a lake of it."""
    with connect(tmp_path) as pipe, pipe.producer() as producer:
        producer.publish_many([Widget(sid=f"W{n}", updated=T0, status="new") for n in range(30)])
        producer.flush()
        pipe.archive(Widget)
    return tmp_path


@contextmanager
def started(place: Path, *words: str, script: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command as a process; it is killed where it does not end by itself."""
    program = ["-m", "onepipe.cli"] if script is None else ["-c", script]
    environment = {
        **os.environ,
        "ONEPIPE_URL": f"memory://{place}/log",
        "ONEPIPE_REGISTRY": f"sqlite:///{place}/registry.db",
        "ONEPIPE_LAKE": f"{place}/lake",
        "PYTHONPATH": str(TESTS),
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *program, *words], text=True, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """The next line a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str, str]:
    """Tell a process to end; its exit code, and what else it prints."""
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_archive_that_follows_the_log_ends_well_when_told_to(place, how):
    with connect(place) as pipe, pipe.producer() as producer:
        producer.publish_many([Widget(sid=f"X{n}", updated=T0, status="new") for n in range(5)])
    with started(place, "archive", "Widgets", "--follow", "--linger", "10ms") as process:
        assert line(process).startswith("Widgets: ")
        code, out, err = end(process, how)
    assert code == 0
    assert out.splitlines()[-1].startswith("Widgets: 5 rows archived in ")
    assert err.splitlines()[-1] == f"onepipe: {how.name}: ending in good order; once more ends at once"
    assert main(["dedup", "Widgets", "--lake", f"{place}/lake"]) == 0
    assert main(["verify", "Widgets", "--lake", f"{place}/lake"]) == 0


def test_a_dedup_again_and_again_ends_well_while_it_waits(place):
    with started(place, "dedup", "Widgets", "--every", "1h") as process:
        assert line(process).startswith("Widgets: 30 arrivals merged, +30 identities")
        code, out, _ = end(process, signal.SIGTERM)
    assert (code, out) == (0, "")
    assert open_lake(place / "lake").clean("Widgets") is not None


def test_a_maintenance_that_is_told_to_end_finishes_the_topic_at_hand(place):
    with started(place, "maintain", "Widgets", "_onepipe.audit", script=TOLD_IN_FIRST) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    (only,) = out.splitlines()
    assert only.startswith("Widgets: ")


def test_told_twice_a_command_ends_at_once(place):
    with started(place, "dedup", "Widgets", script=f"{NEVER_ENDS}\nsys.exit(main())") as process:
        assert line(process) == "merging\n"
        assert process.stderr is not None
        process.send_signal(signal.SIGTERM)
        said = [process.stderr.readline() for _ in range(2)][-1]
        code, out, _ = end(process, signal.SIGTERM)
    assert said == "onepipe: SIGTERM: ending in good order; once more ends at once\n"
    assert (code, out) == (-signal.SIGTERM, "")
