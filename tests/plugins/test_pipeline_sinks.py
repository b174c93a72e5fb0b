from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
import sink_process
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sink_process import T0, Widget

import onepipe as op
from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile, DecodeError, PluginError
from onepipe.hookspecs import hookimpl
from onepipe.lake.progress import LakeProgress
from onepipe.lake.storage import LocalStorage
from onepipe.transport import Outgoing

SCRIPT = Path(sink_process.__file__)
LATER = T0 + dt.timedelta(hours=1)


def widgets(count: int) -> list[Widget]:
    return [Widget(sid=f"W{number}", updated=T0, status="queued") for number in range(count)]


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[op.Pipeline]:
    with op.connect("memory://", lake=tmp_path / "lake", partitions=2) as pipe:
        yield pipe


@attrs.define
class Collecting:
    """An idempotent sink in memory."""

    records: list[Any] = attrs.field(factory=list)

    def write(self, batch: op.SinkBatch[Any]) -> None:
        self.records += batch.records


def publish(pipe: op.Pipeline, count: int) -> None:
    with pipe.producer() as producer:
        producer.publish_many(widgets(count))


def test_records_come_as_instances_of_the_class_and_deletes_marked(pipe: op.Pipeline) -> None:
    (widget,) = widgets(1)
    with pipe.producer() as producer:
        producer.publish(widget)
        producer.delete(Widget, sid="W0", updated=LATER)
    sink = Collecting()
    pipe.sink(Widget, sink, name="collect")
    assert sink.records[0] == widget
    assert isinstance(sink.records[1], op.Deletion)
    assert sink.records[1].fields == {"sid": "W0", "updated": LATER}


def test_records_of_a_named_topic_come_as_dicts(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    sink = Collecting()
    pipe.sink("Widgets", sink, name="collect")
    assert sink.records == [{"sid": "W0", "updated": T0, "status": "queued"}]


def test_the_lake_keeps_the_progress_of_each_sink_that_keeps_none(pipe: op.Pipeline) -> None:
    publish(pipe, 5)
    first, second = Collecting(), Collecting()
    ends = pipe.sink(Widget, first, name="first", max_batch=2)
    assert pipe.sink(Widget, first, name="first") == ends
    assert sum(ends.values()) == len(first.records) == 5
    publish(pipe, 1)
    pipe.sink(Widget, first, name="first")
    pipe.sink(Widget, second, name="second")
    assert len(first.records) == len(second.records) == 6


def test_one_name_keeps_the_progress_of_each_topic_apart(pipe: op.Pipeline) -> None:
    other = op.topic_of(Widget).evolve(name="Gadgets")
    publish(pipe, 3)
    with pipe.producer() as producer:
        producer.publish({"sid": "G", "updated": T0, "status": "new"}, topic=other)
    sink = Collecting()
    pipe.sink(Widget, sink, name="both")
    pipe.sink(other, sink, name="both")
    assert len(sink.records) == 4


def test_a_sink_without_progress_needs_a_name_and_a_lake(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    with pytest.raises(ConfigurationError, match=r"Collecting has no method 'progress', and no name.*name='…'"):
        pipe.sink(Widget, Collecting())
    with pytest.raises(ConfigurationError, match="no name for a sink"):
        pipe.sink(Widget, Collecting(), name="../up")
    with op.connect("memory://") as bare, pytest.raises(ConfigurationError, match="no lake"):
        bare.sink(Widget, Collecting(), name="collect")


def test_a_sinks_class_in_place_of_an_instance_is_told_so(pipe: op.Pipeline) -> None:
    for sink in (Collecting, sink_process.Transactional):
        with pytest.raises(ConfigurationError, match=rf"give an instance: {sink.__name__}\(…\)"):
            pipe.sink(Widget, sink, name="collect")  # type: ignore[call-overload]  # what is to be refused


def test_a_transactional_sink_needs_no_lake(tmp_path: Path) -> None:
    with op.connect("memory://", partitions=2) as pipe:
        publish(pipe, 10)
        table = sink_process.Transactional(tmp_path)
        assert sum(pipe.sink(Widget, table).values()) == 10
    assert table.db.execute("select count(*) from widgets").fetchone() == (10,)
    table.db.close()


class Paper:
    """A plugin that brings a sink."""

    def __init__(self) -> None:
        self.made: list[Collecting] = []

    @hookimpl
    def onepipe_sinks(self) -> Mapping[str, Callable[..., Collecting]]:
        return {"paper": self.make}

    def make(self, colour: str = "white") -> Collecting:
        self.made.append(Collecting([colour]))
        return self.made[-1]


def test_a_plugins_sink_is_made_by_its_name_with_its_settings(tmp_path: Path) -> None:
    paper = Paper()
    with op.connect("memory://", lake=tmp_path, plugins=[paper]) as pipe:
        publish(pipe, 1)
        pipe.sink(Widget, "paper", name="letters", settings={"colour": "red"})
        assert paper.made[0].records == ["red", *widgets(1)]
        with pytest.raises(PluginError, match=r"there is no sink 'papyr'; did you mean 'paper'\?"):
            pipe.sink(Widget, "papyr", name="letters")
        with pytest.raises(ConfigurationError, match="settings are for a plugin's sink"):
            pipe.sink(Widget, Collecting(), name="letters", settings={"colour": "red"})


def test_following_goes_on_until_it_is_stopped(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    stop, seen = threading.Event(), threading.Event()

    class Seeing(Collecting):
        def write(self, batch: op.SinkBatch[Any]) -> None:
            super().write(batch)
            if len(self.records) == 3:
                seen.set()

    sink = Seeing()
    options = {"name": "see", "until": "stopped", "stop": stop}
    thread = threading.Thread(target=pipe.sink, args=(Widget, sink), kwargs=options)
    thread.start()
    publish(pipe, 2)
    assert seen.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_run_to_the_end_can_be_stopped_on_the_way_as_an_archive_can(pipe: op.Pipeline) -> None:
    stop = threading.Event()

    class Stopping(Collecting):
        def write(self, batch: op.SinkBatch[Any]) -> None:
            super().write(batch)
            stop.set()

    publish(pipe, 5)
    sink = Stopping()
    first = sum(pipe.sink(Widget, sink, name="some", stop=stop, max_batch=1).values())
    assert first == len(sink.records) == 1
    assert sum(pipe.sink(Widget, Collecting(), name="some").values()) == 5
    with pytest.raises(ConfigurationError, match=r"stop is a threading.Event, not bool"):
        pipe.sink(Widget, sink, name="some", stop=True)  # type: ignore[call-overload]  # what is refused


def test_what_cannot_be_decoded_is_raised_or_put_aside(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    writer = pipe.transport.writer()
    writer.append(Outgoing("Widgets", 0, b"k", b"\0\0\0\0\1junk", (), 0), lambda _: None)
    writer.append(Outgoing("Widgets", 0, b"k", None, (), 0), lambda _: None)
    assert writer.flush(10)
    writer.close()
    sink, aside = Collecting(), list[str]()
    with pytest.raises(DecodeError):
        pipe.sink(Widget, sink, name="strict")
    pipe.sink(Widget, sink, name="lenient", on_undecodable=lambda _, error: aside.append(str(error)))
    assert len(aside) == 2


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(SCRIPT), str(folder), *arguments]
    return subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with sink_process.connect(tmp_path) as pipe:
        publish(pipe, 60)
    return tmp_path


def effects(folder: Path) -> tuple[int, int, int]:
    """How many widgets there are, how many took effect, and how often."""
    table = sink_process.Table(folder)
    count = "select (select count(*) from widgets), count(distinct sid), count(*) from effects"
    row: tuple[int, int, int] = table.db.execute(count).fetchone()
    table.db.close()
    return row


@pytest.mark.slow
@pytest.mark.parametrize(("call", "when"), [("1", "before"), ("3", "after")])
def test_a_transactional_sink_killed_while_it_is_fed_gets_each_record_once(folder: Path, call: str, when: str) -> None:
    killed = run(folder, "transactional", "write", call, when)
    assert killed.returncode == -signal.SIGKILL
    assert run(folder, "transactional").returncode == 0
    assert effects(folder) == (60, 60, 60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "call", "when"), [("write", "2", "after"), ("write_new", "2", "before"), ("write_new", "2", "after")]
)
def test_an_idempotent_sink_killed_while_it_is_fed_gets_every_record(
    folder: Path, point: str, call: str, when: str
) -> None:
    killed = run(folder, "idempotent", point, call, when)
    assert killed.returncode == -signal.SIGKILL
    assert run(folder, "idempotent").returncode == 0
    rows, distinct, times = effects(folder)
    assert (rows, distinct) == (60, 60)
    assert 60 <= times <= 67


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["transactional", "idempotent"])
def test_two_processes_feed_one_sink(folder: Path, tier: str) -> None:
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(run, [folder, folder], [tier, tier])
    assert (one.returncode, other.returncode) == (0, 0)
    assert one.stdout == other.stdout
    rows, distinct, times = effects(folder)
    assert (rows, distinct) == (60, 60)
    assert tier == "idempotent" or times == 60


class TwoProcesses(RuleBasedStateMachine):
    """Two processes that keep one progress, each with its own idea of it, against a number."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        storage = LocalStorage(self.folder.name)
        self.stores = [LakeProgress(storage, "sink", "Widgets") for _ in range(2)]
        self.believed: list[int | None] = [None, None]
        self.stored: int | None = None

    @rule(process=st.integers(0, 1))
    def look(self, process: int) -> None:
        self.believed[process] = self.stores[process].progress("log", 3)
        assert self.believed[process] == self.stored

    @rule(process=st.integers(0, 1), step=st.integers(1, 3))
    def advance(self, process: int, step: int) -> None:
        first = self.believed[process] or 0
        if self.stored in (None, first):
            self.stores[process].advance("log", 3, first, first + step)
            self.stored = self.believed[process] = first + step
        else:
            with pytest.raises(CommitConflict):
                self.stores[process].advance("log", 3, first, first + step)

    @invariant()
    def one_file_is_kept(self) -> None:
        files = list(LocalStorage(self.folder.name).list("sinks"))
        assert len(files) == (self.stored is not None)
        assert self.stores[0].progress("log", 4) is None

    def teardown(self) -> None:
        self.folder.cleanup()


TestTwoProcesses = TwoProcesses.TestCase
TestTwoProcesses.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


@settings(max_examples=20, deadline=None)
@given(late=st.integers(1, 50))
def test_a_process_that_comes_back_late_is_refused_and_harms_nothing(
    tmp_path_factory: pytest.TempPathFactory, late: int
) -> None:
    storage = LocalStorage(tmp_path_factory.mktemp("lake"))
    store = LakeProgress(storage, "sink", "Widgets")
    for first, next_ in ((0, 10), (10, 20), (20, 100)):
        store.advance("log", 0, first, next_)

    class Late(LakeProgress):
        """One that looked before the others went on."""

        looks = 0

        def progress(self, log: str, partition: int) -> int | None:
            self.looks += 1
            return 10 if self.looks == 1 else super().progress(log, partition)

    with pytest.raises(CommitConflict, match="is 100, not"):
        Late(storage, "sink", "Widgets").advance("log", 0, 10, 10 + late)
    assert store.progress("log", 0) == 100


@pytest.mark.parametrize("content", [b"", b"7", b"[]", b'{"format": 2, "next": 7}', b'{"format": 1, "next": "7"}'])
def test_a_file_that_holds_no_progress_is_named(tmp_path: Path, content: bytes) -> None:
    storage = LocalStorage(tmp_path)
    store = LakeProgress(storage, "sink", "Widgets")
    store.advance("log", 0, 0, 10)
    (path,) = (file.path for file in storage.list("sinks"))
    (tmp_path / path).write_bytes(content)
    with pytest.raises(CorruptFile, match=path):
        store.progress("log", 0)
