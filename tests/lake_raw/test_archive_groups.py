"""Archives that share a topic's partitions as a group: whoever comes and goes, the lake holds each message once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest
from raw_messages import append, author, declare, raw_rows, values

from onepipe.declaring.topic import Topic
from onepipe.errors import CommitRefused
from onepipe.lake import open_lake
from onepipe.lake.archive import ArchiveLimits, ArchiveReport, archive
from onepipe.lake.archive_run import ArchiveRun
from onepipe.lake.lake import Lake
from onepipe.plugins import open_transport
from onepipe.registry import open_registry
from onepipe.registry.port import Registry
from onepipe.transport import TopicPartition, Transport
from onepipe_memory.groups import Group

SMALL = ArchiveLimits(file_rows=5, batch=4, linger=0.02)
PARTITIONS = 6


@attrs.define
class World:
    """A log with one topic, and a lake."""

    transport: Transport
    registry: Registry
    lake: Lake
    topic: Topic
    clock: list[int]
    published: int = 0

    def publish(self, count: int) -> None:
        written = author(self.topic, self.registry, epoch=self.published.to_bytes(16))
        numbers = range(self.published, self.published + count)
        append(self.transport, *(written.record(values(n), partition=n % PARTITIONS) for n in numbers))
        self.published += count

    def archive(self, **options: object) -> ArchiveReport:
        options = {"group": "archivers", "limits": SMALL, **options}
        return archive(self.topic, self.transport, self.lake, self.registry, **options)

    def check(self) -> None:
        """Each message is in the lake once, at its place."""
        rows = raw_rows(self.lake, self.topic.name)
        assert sorted(int(row["sid"][1:]) for row in rows) == list(range(self.published))
        places = sorted((row["_op_partition"], row["_op_offset"]) for row in rows)
        log = self.transport.reader([TopicPartition(self.topic.name, p) for p in range(PARTITIONS)])
        held = [(m.partition, m.offset) for m in log.poll(100_000)]
        assert places == sorted(held)
        log.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = [1_700_000_000_000]
    transport = open_transport("memory://", {"clock": lambda: clock[0]})
    topic = declare()
    transport.create_topic(topic.name, partitions=PARTITIONS)
    yield World(transport, open_registry("memory://"), open_lake(tmp_path / "lake"), topic, clock)
    transport.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def followers(
    world: World, pool: ThreadPoolExecutor, count: int
) -> list[tuple[threading.Event, Future[ArchiveReport]]]:
    stops = [threading.Event() for _ in range(count)]
    return [(stop, pool.submit(world.archive, until="stopped", stop=stop)) for stop in stops]


def test_an_archive_alone_in_its_group_archives_every_partition(world: World) -> None:
    world.publish(40)
    report = world.archive()
    assert (report.rows, len(report.progress)) == (40, PARTITIONS)
    world.check()
    assert world.archive().rows == 0


@pytest.mark.slow
def test_archives_of_a_group_share_the_work_and_each_ends_when_all_is_done(
    world: World, pool: ThreadPoolExecutor
) -> None:
    world.publish(600)
    together = threading.Barrier(3)

    def work() -> ArchiveReport:
        together.wait()
        return world.archive()

    reports = [run.result(60) for run in [pool.submit(work) for _ in range(3)]]
    assert sum(report.rows for report in reports) == 600
    world.check()


@pytest.mark.slow
def test_archives_that_come_and_go_while_records_are_published_lose_and_repeat_nothing(
    world: World, pool: ThreadPoolExecutor
) -> None:
    running = followers(world, pool, 2)
    for _ in range(5):
        world.publish(60)
        running += followers(world, pool, 1)
        world.publish(60)
        stop, run = running.pop(0)
        stop.set()
        run.result(60)
    for stop, run in running:
        stop.set()
        run.result(60)
    world.archive()
    world.check()


def test_the_groups_offsets_follow_the_lake_for_those_who_watch_its_lag(world: World) -> None:
    world.publish(40)
    report = world.archive()
    reader = world.transport.group_reader([world.topic.name], "archivers")
    while not reader.assignment():
        reader.poll()
    committed = {p.partition: reader.committed(p) for p in reader.assignment()}
    reader.close()
    assert committed == report.progress


class Interrupted(Exception):
    """Raised by a test in the midst of an archive."""


def at_commit(monkeypatch: pytest.MonkeyPatch, act: Callable[[ArchiveRun], None]) -> None:
    """Act in the first commit of the first run that has rows to commit, before it is made."""
    original, once = ArchiveRun.commit, threading.Lock()

    def commit(run, reader, partitions):
        run.decode()
        if run.files and once.acquire(blocking=False):
            act(run)
        original(run, reader, partitions)

    monkeypatch.setattr(ArchiveRun, "commit", commit)


def test_an_archive_taken_for_dead_that_goes_on_commits_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish(300)

    def others_do_the_work(_: ArchiveRun) -> None:
        world.clock[0] += 600_000
        assert world.archive().rows == 300

    at_commit(monkeypatch, others_do_the_work)
    report = world.archive()
    assert (report.rows, report.conflicts) == (0, 1)
    world.check()


def test_an_archive_that_fails_leaves_its_partitions_to_the_others(
    world: World, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: ArchiveRun) -> None:
        raise Interrupted

    at_commit(monkeypatch, fail)
    world.publish(300)
    runs = [pool.submit(world.archive) for _ in range(3)]
    failed = 0
    for run in runs:
        try:
            run.result(60)
        except Interrupted:
            failed += 1
    assert failed == 1
    world.check()


def test_a_refused_hint_does_not_hinder_the_archive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: Group, member: int, offsets: object) -> None:
        raise CommitRefused("the partition belongs to another reader")

    monkeypatch.setattr(Group, "commit", refuse)
    world.publish(40)
    assert world.archive().rows == 40
    world.check()


def test_what_is_asked_for_at_the_linger_is_done_while_the_archive_follows(world: World) -> None:
    world.publish(10)
    stop, done = threading.Event(), []

    def note() -> None:
        done.append(len(raw_rows(world.lake, world.topic.name)))
        if done[-1] == 10:
            stop.set()

    world.archive(until="stopped", stop=stop, at_linger=note)
    assert done[-1] == 10


def test_partitions_that_a_topic_got_after_a_group_began_are_archived_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def end_when_all_is_there() -> None:
        if len(raw_rows(world.lake, world.topic.name)) == 40:
            stop.set()

    with monkeypatch.context() as before:
        description = world.transport.describe_topic(world.topic.name)
        fewer = attrs.evolve(description, partitions=PARTITIONS - 2)
        before.setattr(world.transport, "describe_topic", lambda _: fewer)
        world.publish(40)
        report = world.archive(until="stopped", stop=stop, at_linger=end_when_all_is_there)
    assert (report.rows, len(report.progress)) == (40, PARTITIONS)
    world.check()
    assert world.archive().rows == 0
