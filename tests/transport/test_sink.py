from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from onepipe.bodies.deletion import Deletion
from onepipe.declaring.topic import Topic
from onepipe.errors import CommitConflict, ConfigurationError, DecodeError, PositionLost
from onepipe.plugins import open_transport
from onepipe.schema.model import Schema
from onepipe.sink import Sink, SinkBatch, TransactionalSink, feed
from onepipe.transport import Message, Outgoing, TopicPartition
from onepipe_memory.transport import MemoryTransport

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-sink.md"
FIELDS = [{"name": "sid", "type": "string"}, {"name": "status", "type": "string"}]
TOPIC = Topic.declare("Widgets", Schema.parse({"type": "record", "name": "Widget", "fields": FIELDS}), identity="sid")


def documented_sink() -> type[Any]:
    """The sink of the page on writing one."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the page's own code
    return names["WidgetTable"]


@attrs.frozen
class Widget:
    sid: str
    status: str


def decode(message: Message) -> Widget | Deletion:
    if message.value is None:
        return Deletion(1, {"sid": "A"})
    sid, _, status = message.value.decode().partition("=")
    if not status:
        raise DecodeError("no status", topic=message.topic, partition=message.partition, offset=message.offset)
    return Widget(sid, status)


def publish(transport: MemoryTransport, values: list[bytes | None], partitions: int = 2) -> None:
    transport.create_topic(TOPIC.name, partitions=partitions)
    writer = transport.writer()
    for number, value in enumerate(values):
        writer.append(Outgoing(TOPIC.name, number % partitions, b"k", value, (), number), lambda _: None)
    assert writer.flush()
    writer.close()


@pytest.fixture
def transport() -> Iterator[MemoryTransport]:
    transport = open_transport("memory://")
    assert isinstance(transport, MemoryTransport)
    yield transport
    transport.close()


class Collecting:
    """A transactional sink in memory."""

    def __init__(self) -> None:
        self.batches: list[SinkBatch[Any]] = []
        self.stored: dict[tuple[str, int], int] = {}

    def progress(self, log: str, partition: int) -> int | None:
        return self.stored.get((log, partition))

    def write(self, batch: SinkBatch[Any]) -> None:
        if self.stored.get((batch.log, batch.partition), batch.first) != batch.first:
            raise CommitConflict("another process was faster")
        self.batches.append(batch)
        self.stored[batch.log, batch.partition] = batch.next

    @property
    def records(self) -> list[Any]:
        return [record for batch in self.batches for record in batch.records]


@attrs.define
class Upserting:
    """An idempotent sink without progress."""

    rows: dict[str, str] = attrs.field(factory=dict)
    writes: int = 0

    def write(self, batch: SinkBatch[Widget]) -> None:
        self.writes += 1
        self.rows.update({w.sid: w.status for w in batch.records if not isinstance(w, Deletion)})


class Progress(Collecting):
    """A store of progress that can be killed before it advances."""

    kills = 0

    def advance(self, log: str, partition: int, first: int, next: int) -> None:  # noqa: A002 - the port's name
        if self.kills:
            self.kills -= 1
            raise KeyboardInterrupt
        if self.stored.get((log, partition), first) != first:
            raise CommitConflict("another process was faster")
        self.stored[log, partition] = next


def test_the_documented_sink_has_under_thirty_lines_and_both_methods() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len(code[code.index("class ") :].splitlines()) < 30
    assert issubclass(documented_sink(), TransactionalSink)


def test_the_documented_sink_gets_every_record_once_over_repeated_runs(
    transport: MemoryTransport, tmp_path: Path
) -> None:
    sink = documented_sink()(tmp_path / "widgets.db")
    publish(transport, [f"W{number}=queued".encode() for number in range(50)])
    assert feed(sink, TOPIC, transport, decode, max_batch=7) == {0: 25, 1: 25}
    publish(transport, [b"W0=done", b"W1=done"])
    assert feed(sink, TOPIC, transport, decode) == {0: 26, 1: 26}
    rows = dict(sink.db.execute("select sid, status from widgets"))
    assert rows == {f"W{n}": "done" if n < 2 else "queued" for n in range(50)}
    sink.db.close()


def test_batches_are_contiguous_ranges_of_one_partition(transport: MemoryTransport) -> None:
    publish(transport, [f"W{number}=queued".encode() for number in range(100)], partitions=3)
    sink = Collecting()
    feed(sink, TOPIC, transport, decode, max_batch=13)
    for partition in range(3):
        ranges = [(batch.first, batch.next) for batch in sink.batches if batch.partition == partition]
        assert [first for first, _ in ranges] == [0, *[end for _, end in ranges[:-1]]]
    assert all(len(batch.messages) == len(batch.records) <= 13 for batch in sink.batches)
    assert {batch.log for batch in sink.batches} == {transport.describe_topic(TOPIC.name).log}
    assert sorted(record.sid for record in sink.records) == sorted(f"W{number}" for number in range(100))


def test_gaps_in_the_log_are_passed(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1", b"B=2", b"C=3", b"D=4"], partitions=1)
    transport.faults.lose(TOPIC.name, 0, 1)
    transport.faults.lose(TOPIC.name, 0, 3)
    sink = Collecting()
    assert feed(sink, TOPIC, transport, decode) == {0: 3}
    assert [record.sid for record in sink.records] == ["A", "C"]
    assert feed(sink, TOPIC, transport, decode) == {0: 3}


def test_deletes_are_marked_and_say_what_they_delete(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1", None], partitions=1)
    sink = Collecting()
    feed(sink, TOPIC, transport, decode)
    assert sink.records == [Widget("A", "1"), Deletion(1, {"sid": "A"})]


def test_what_cannot_be_decoded_is_raised_and_nothing_of_its_batch_is_written(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1", b"?"], partitions=1)
    sink = Collecting()
    with pytest.raises(DecodeError):
        feed(sink, TOPIC, transport, decode)
    assert sink.batches == []


def test_what_cannot_be_decoded_can_be_put_aside_and_counts_as_done(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1", b"?", b"C=3", b"?"], partitions=1)
    sink, aside = Collecting(), list[tuple[int, str]]()
    feed(sink, TOPIC, transport, decode, on_undecodable=lambda m, error: aside.append((m.offset, str(error))))
    assert [offset for offset, _ in aside] == [1, 3]
    assert [record.sid for record in sink.records] == ["A", "C"]
    assert feed(sink, TOPIC, transport, decode) == {0: 4}


def test_a_sink_without_progress_needs_a_store_for_it(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1"])
    sink = Upserting()
    assert isinstance(sink, Sink)
    with pytest.raises(ConfigurationError, match="Upserting has no method 'progress'"):
        feed(sink, TOPIC, transport, decode)


def test_an_idempotent_sink_repeats_a_batch_rather_than_losing_it(transport: MemoryTransport) -> None:
    publish(transport, [f"W{number}=queued".encode() for number in range(10)], partitions=1)
    sink, progress = Upserting(), Progress()
    progress.kills = 1
    with pytest.raises(KeyboardInterrupt):
        feed(sink, TOPIC, transport, decode, progress=progress)
    assert feed(sink, TOPIC, transport, decode, progress=progress) == {0: 10}
    assert sink.writes == 2
    assert len(sink.rows) == 10


def test_of_two_feeds_the_slower_one_goes_on_from_the_stored_progress(transport: MemoryTransport) -> None:
    publish(transport, [f"W{number}=queued".encode() for number in range(20)], partitions=1)

    class Overtaken(Collecting):
        def write(self, batch: SinkBatch[Any]) -> None:
            if batch.first == 5 and not self.overtaken:
                self.overtaken = True
                feed(self, TOPIC, transport, decode, max_batch=3)
            super().write(batch)

        overtaken = False

    sink = Overtaken()
    feed(sink, TOPIC, transport, decode, max_batch=5)
    assert [record.sid for record in sink.records] == [f"W{number}" for number in range(20)]


def test_a_sink_that_refuses_its_own_progress_is_not_tried_for_ever(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1"], partitions=1)

    class Refusing(Collecting):
        def write(self, batch: SinkBatch[Any]) -> None:
            raise CommitConflict("always")

    with pytest.raises(CommitConflict):
        feed(Refusing(), TOPIC, transport, decode)


def test_records_that_retention_took_are_reported_not_skipped(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1", b"B=2", b"C=3"], partitions=1)
    sink = Collecting()
    sink.stored[transport.describe_topic(TOPIC.name).log, 0] = 1
    transport.trim(TopicPartition(TOPIC.name, 0), 2)
    with pytest.raises(PositionLost):
        feed(sink, TOPIC, transport, decode)


def test_a_log_created_again_is_read_from_its_start(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1", b"B=2"], partitions=1)
    sink = Collecting()
    feed(sink, TOPIC, transport, decode)
    transport.delete_topic(TOPIC.name)
    publish(transport, [b"C=3"], partitions=1)
    feed(sink, TOPIC, transport, decode)
    assert [record.sid for record in sink.records] == ["A", "B", "C"]


def test_following_goes_on_with_what_arrives_until_it_is_stopped(transport: MemoryTransport) -> None:
    publish(transport, [b"A=1"], partitions=1)
    stop, seen = threading.Event(), threading.Event()

    class Seeing(Collecting):
        def write(self, batch: SinkBatch[Any]) -> None:
            super().write(batch)
            if len(self.records) == 2:
                seen.set()

    sink = Seeing()
    thread = threading.Thread(
        target=feed, args=(sink, TOPIC, transport, decode), kwargs={"until": "stopped", "stop": stop}
    )
    thread.start()
    publish(transport, [b"B=2"], partitions=1)
    assert seen.wait(10)
    stop.set()
    thread.join(10)
    assert [record.sid for record in sink.records] == ["A", "B"]


FEEDER = """
import os, signal, sys
url, path, where = sys.argv[1:4]
sys.path[:0] = sys.argv[4:]
from test_sink import TOPIC, decode, documented_sink, feed, open_transport


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(documented_sink()):
    writes = 0

    def write(self, batch):
        self.writes += 1
        if where == "before" and self.writes == 7:
            die()
        if where == "during" and self.writes == 7:
            self.db.set_progress_handler(die, 100)
        super().write(batch)
        if where == "after" and self.writes == 7:
            die()


feed(Dying(path), TOPIC, open_transport(url), decode, max_batch=5)
"""


@pytest.mark.slow
def test_records_take_effect_exactly_once_through_kills(tmp_path: Path) -> None:
    url, path = f"memory://{tmp_path}/log", tmp_path / "widgets.db"
    transport = open_transport(url)
    assert isinstance(transport, MemoryTransport)
    publish(transport, [f"W{number}=queued".encode() for number in range(200)])
    transport.close()
    documented_sink()(path).db.close()
    db = sqlite3.connect(path)
    db.execute("create table arrivals (sid text)")
    db.execute("create trigger arrived after insert on widgets begin insert into arrivals values (new.sid); end")
    db.commit()
    for where, stored in (("during", 30), ("after", 65), ("before", 95), ("never", 200)):
        command = [sys.executable, "-c", FEEDER, url, str(path), where, str(Path(__file__).parent), *sys.path]
        done = subprocess.run(command, check=False)
        assert done.returncode == (0 if where == "never" else -signal.SIGKILL)
        assert db.execute("select count(*), count(distinct sid) from arrivals").fetchone() == (stored, stored)
    db.close()
