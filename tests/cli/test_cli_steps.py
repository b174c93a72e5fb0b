"""The steps of a pipeline from the command line: what each does, says, and ends with."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interrupted import interrupt_at
from sink_process import Widget, connect

import onepipe as op
from onepipe.cli import main
from onepipe.cli.account import Account
from onepipe.cli.durations import duration, span
from onepipe.cli.stopping import exit_code, work_until_told
from onepipe.cli.turns import in_turn, outcome
from onepipe.errors import ConfigurationError
from onepipe.lake import open_lake
from onepipe.lake.archive_run import ArchiveRun
from onepipe.lake.dedup import DedupReport
from onepipe.lake.table import LakeTable
from onepipe.pipeline import lake_steps

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
COUNT = 60


@op.record(topic="Orders", merge=op.latest("at"))
class Order:
    id: int = op.field(identity=True)
    at: dt.datetime


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a log, a registry and no lake yet; the environment names them."""
    with connect(tmp_path) as pipe, pipe.producer() as producer:
        producer.publish_many([Widget(sid=f"W{n % 20}", updated=T0, status=str(n)) for n in range(COUNT)])
        producer.publish_many([Order(id=n, at=T0) for n in range(10)])
    monkeypatch.setenv("ONEPIPE_URL", f"memory://{tmp_path}/log")
    monkeypatch.setenv("ONEPIPE_REGISTRY", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.setenv("ONEPIPE_LAKE", str(tmp_path / "lake"))
    return tmp_path


def where(place: Path) -> tuple[str, ...]:
    """Log, registry and lake as options."""
    registry = f"sqlite:///{place}/registry.db"
    return ("--url", f"memory://{place}/log", "--registry", registry, "--lake", str(place / "lake"))


def said(capsys, *words: str, code: int = 0) -> list[str]:
    """The lines a command prints."""
    assert main(words) == code
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return output.out.splitlines()


def told(capsys, *words: str, code: int = 0) -> dict:
    """The object a command prints in its only line."""
    (line,) = said(capsys, *words, "--json", code=code)
    return json.loads(line)


def test_the_steps_take_topics_from_the_log_to_a_balanced_verdict(place, capsys):
    (widgets, orders) = said(capsys, "archive", "Widgets", "Orders")
    assert widgets.startswith("Widgets: 60 rows archived in ")
    assert orders.startswith("Orders: 10 rows archived in ")
    assert said(capsys, "dedup", "Widgets", "Orders")[0].startswith("Widgets: 60 arrivals merged, +20 identities in ")
    assert said(capsys, "maintain", "Widgets")[0].startswith("Widgets: ")
    for topic in ("Widgets", "Orders"):
        assert said(capsys, "verify", topic)[0].startswith(f"{topic}: balanced")


def test_each_step_again_has_nothing_to_do(place, capsys):
    for command in ("archive", "dedup"):
        said(capsys, command, "Widgets")
    assert said(capsys, "archive", "Widgets") == ["Widgets: nothing to archive"]
    assert said(capsys, "dedup", "Widgets") == ["Widgets: nothing new to merge"]
    assert said(capsys, "maintain", "Widgets") == ["Widgets: nothing to join, 0 files deleted"]


def test_the_account_as_json_has_each_report(place, capsys):
    account = told(capsys, "archive", "Widgets", "Orders")
    assert (account["command"], account["stopped"]) == ("archive", False)
    assert [(each["topic"], each["rows"]) for each in account["topics"]] == [("Widgets", 60), ("Orders", 10)]
    (merged,) = told(capsys, "dedup", "Widgets")["topics"]
    assert (merged["arrivals"], merged["identities"], merged["rebuilt"]) == (60, 20, False)
    (anew,) = told(capsys, "dedup", "Widgets", "--rebuild")["topics"]
    assert (anew["arrivals"], anew["rebuilt"]) == (60, True)
    (kept,) = told(capsys, "maintain", "Widgets", "--keep", "0s")["topics"]
    assert kept["deleted"]


def test_options_name_log_lake_and_registry_where_the_environment_does_not(place, capsys, monkeypatch):
    for name in ("ONEPIPE_URL", "ONEPIPE_REGISTRY", "ONEPIPE_LAKE"):
        monkeypatch.delenv(name)
    where = ["--url", f"memory://{place}/log", "--registry", f"sqlite:///{place}/registry.db"]
    said(capsys, "archive", "Widgets", "--lake", str(place / "other"), *where, "--group", "archives")
    assert open_lake(place / "other").raw("Widgets") is not None
    assert not (place / "lake").exists()


def test_an_unknown_topic_ends_a_step_before_anything_is_done(place, capsys):
    assert main(["archive", "Orders", "Widget"]) == 2
    assert "did you mean 'Widgets'?" in capsys.readouterr().err
    assert not (place / "lake").exists()
    said(capsys, "archive", "Widgets")
    assert main(["dedup", "Widgets", "Widget"]) == 2
    assert "did you mean 'Widgets'?" in capsys.readouterr().err
    assert open_lake(place / "lake").clean("Widgets") is None


def test_a_topic_on_which_a_step_fails_keeps_no_other_from_its_turn(place, capsys):
    said(capsys, "archive", "Orders", "Widgets")
    for file in (place / "lake" / "raw" / "Orders").rglob("*.parquet"):
        file.write_bytes(b"damaged")
    assert main(["dedup", "Orders", "Widgets", "--json"]) == 2
    output = capsys.readouterr()
    assert "onepipe: topic Orders: " in output.err
    orders, widgets = json.loads(output.out)["topics"]
    assert set(orders) == {"topic", "error"}
    assert widgets["identities"] == 20


def test_keep_is_within_what_a_table_remembers(place, capsys):
    said(capsys, "archive", "Widgets")
    assert main(["maintain", "Widgets", "--keep", "31d"]) == 2
    assert "keep is from 0 to 30 days" in capsys.readouterr().err


def test_rebuilding_again_and_again_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["dedup", "Widgets", "--rebuild", "--every", "5m"])
    assert stopped.value.code == 2


@pytest.fixture
def told_in_take(monkeypatch):
    """SIGTERM comes once an archive has read one message, which is not committed then."""
    begin, run, take = ArchiveRun.__attrs_post_init__, ArchiveRun.run, ArchiveRun.take
    stops: dict[str, threading.Event] = {}

    def begin_small(archive: ArchiveRun) -> None:
        begin(archive)
        archive.poll_size = 1

    def noting_run(archive: ArchiveRun, *args, stop: threading.Event, **options) -> None:
        stops[archive.topic.name] = stop
        run(archive, *args, stop=stop, **options)

    def take_then_tell(archive: ArchiveRun, messages) -> None:
        take(archive, messages)
        if archive.topic.name == "Widgets":
            os.kill(os.getpid(), signal.SIGTERM)
            assert stops["Widgets"].wait(60)

    monkeypatch.setattr(ArchiveRun, "__attrs_post_init__", begin_small)
    monkeypatch.setattr(ArchiveRun, "run", noting_run)
    monkeypatch.setattr(ArchiveRun, "take", take_then_tell)


def test_an_archive_that_is_told_to_end_has_committed_what_it_read(place, capsys, told_in_take, monkeypatch):
    account = told(capsys, "archive", "Widgets", "Orders", code=143)
    assert account["stopped"] is True
    assert [(each["topic"], each["rows"]) for each in account["topics"]] == [("Widgets", 1)]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    monkeypatch.undo()
    assert said(capsys, "archive", "Widgets", *where(place))[0].startswith(f"Widgets: {COUNT - 1} rows archived in ")


def test_following_ends_with_exit_code_0_and_everything_committed(place, capsys, told_in_take, monkeypatch):
    account = told(capsys, "archive", "Widgets", "Orders", "--follow")
    assert account["stopped"] is True
    widgets, orders = account["topics"]
    assert widgets["rows"] == 1
    monkeypatch.undo()
    again = told(capsys, "archive", "Widgets", "Orders", *where(place))
    assert [each["rows"] for each in again["topics"]] == [COUNT - 1, 10 - orders["rows"]]


def test_following_says_each_commit(place, capsys, monkeypatch):
    monkeypatch.setattr(LakeTable, "commit", LakeTable.commit)
    interrupt_at(LakeTable, "commit", 1, after=True, how=signal.SIGINT)
    first, *_, last = said(capsys, "archive", "Orders", "--follow", "--linger", "1ms")
    assert first == "Orders: 10 rows committed in 2 files"
    assert last == "Orders: 10 rows archived in 2 files"


def test_where_one_topic_cannot_be_followed_all_end_with_exit_code_2(place, capsys, monkeypatch):
    take = ArchiveRun.take

    def refuse(run: ArchiveRun, messages) -> None:
        if run.topic.name == "Orders":
            raise ConfigurationError("no more of this", topic="Orders")
        take(run, messages)

    monkeypatch.setattr(ArchiveRun, "take", refuse)
    account = told(capsys, "archive", "Widgets", "Orders", "--follow", code=2)
    widgets, orders = account["topics"]
    assert "error" not in widgets
    assert orders == {"topic": "Orders", "error": "topic Orders: no more of this"}


def test_dedup_again_and_again_merges_what_came_since(place, capsys, monkeypatch):
    said(capsys, "archive", "Orders")
    merge = lake_steps.merge
    rounds = iter(range(10_000))

    def merge_then_publish(*args, **options) -> DedupReport:
        report = merge(*args, **options)
        number = next(rounds)
        if number < 2:
            with connect(place) as pipe, pipe.producer() as producer:
                producer.publish(Order(id=100 + number, at=T0))
                producer.flush()
                pipe.archive(Order)
        elif number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return report

    monkeypatch.setattr(lake_steps, "merge", merge_then_publish)
    lines = said(capsys, "dedup", "Orders", "--every", "1ms", "--json")
    merged = [[report["arrivals"] for report in json.loads(line)["topics"]] for line in lines]
    assert merged[:3] == [[10], [1], [1]]
    assert all(later in ([0], []) for later in merged[3:])


def test_a_round_without_news_says_nothing(capsys):
    account = Account("dedup", ["Orders"], lambda _: None, as_json=False)
    assert account.carry_out("Orders", lambda: DedupReport("Orders", None, rebuilt=False))
    account.end(stopped=False)
    assert not capsys.readouterr().out


def test_a_failing_round_is_the_last_one(capsys):
    account = Account("dedup", ["Orders"], str, as_json=True)

    def fail(name: str, _: threading.Event) -> DedupReport:
        raise ConfigurationError("it is not to be", topic=name)

    in_turn(account, ["Orders"], fail, every=dt.timedelta(days=1))(threading.Event())
    assert outcome(account, None, endless=True) == 2
    assert "it is not to be" in capsys.readouterr().out


def test_told_to_end_before_its_turn_a_topic_is_left_out(capsys):
    account = Account("dedup", ["A", "B"], str, as_json=True)

    def step(name: str, stop: threading.Event) -> DedupReport:
        stop.set()
        return DedupReport(name, None, rebuilt=False)

    in_turn(account, ["A", "B"], step)(threading.Event())
    assert [each["topic"] for each in json.loads(capsys.readouterr().out)["topics"]] == ["A"]
    assert outcome(account, signal.SIGINT, endless=False) == exit_code(signal.SIGINT) == 130


def test_what_fails_ends_the_rest_and_is_raised():
    ended = []

    def fail(_: threading.Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work_until_told([lambda stop: ended.append(stop.wait()), fail])
    assert ended == [True]


def test_work_in_another_thread_than_the_main_one_leaves_signals_alone():
    done = []
    thread = threading.Thread(target=lambda: done.append(work_until_told([lambda _: None])))
    thread.start()
    thread.join()
    assert done == [None]


def test_an_ignored_signal_stays_ignored(monkeypatch):
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert work_until_told([lambda _: os.kill(os.getpid(), signal.SIGINT)]) is None
    finally:
        signal.signal(signal.SIGINT, kept)


UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@given(st.integers(0, 3650), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_a_number_with_its_unit(number, unit):
    assert duration(f"{number}{unit}").total_seconds() == pytest.approx(number * UNITS[unit])


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "+5m", "5.5m", "5w", "5M", "5m5s", "\u0665m", "1" * 10 + "s"]
)
def test_any_other_form_of_a_duration_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="whole number with its unit"):
        duration(text)


@pytest.mark.parametrize(("text", "match"), [("3651d", "longer than ten years"), ("0s", "no time at all")])
def test_a_span_is_neither_endless_nor_nothing(text, match):
    with pytest.raises(argparse.ArgumentTypeError, match=match):
        span(text)
