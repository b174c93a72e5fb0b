"""Archives as a group over processes, on a real Kafka: killed, held up, cut off from the broker, coming and going."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import kafka_archiver
import pytest
from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import TopicPartition as Place
from raw_messages import declare, raw_rows, values
from services.kafka import KafkaProcess, kafka_process
from services.s3 import Versitygw, versitygw_process
from services.service import start_own

import onepipe as op
from onepipe.declaring.topic import Topic
from onepipe.lake.archive import app_id
from onepipe.transport import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SCHEMES = ["kafka+confluent", "kafka"]
PARTITIONS = 6
PATIENCE = 90.0


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaProcess]:
    """A broker of this module's own: it is killed, and its audit topic is that of this module's registries."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kafka", lambda: stack.enter_context(kafka_process()))


@attrs.define
class World:
    """A topic on Kafka, a lake, and the archivers between them."""

    broker: KafkaProcess
    scheme: str
    folder: Path
    topic: Topic
    published: int = 0
    lake: str | None = None
    running: list[subprocess.Popen[str]] = attrs.field(factory=list)

    def connect(self) -> op.Pipeline:
        return kafka_archiver.connect(self.scheme, self.broker.address, self.folder, self.lake)

    def publish(self, count: int) -> None:
        with self.connect() as pipe, pipe.producer() as producer:
            for number in range(self.published, self.published + count):
                producer.publish(values(number), topic=self.topic)
        self.published += count

    def start(self, count: int = 1) -> None:
        """Run more archivers, and wait until they are connected."""
        for _ in range(count):
            where = (self.scheme, self.broker.address, self.folder, self.topic.name, self.lake)
            self.running.append(kafka_archiver.start(*where))
        for process in self.running[-count:]:
            assert process.stdout.readline() == "ready\n", process.communicate()[1]

    def await_progress(self, done: Callable[[int], bool]) -> None:
        """Wait until the lake holds enough of the log's messages, which someone archives meanwhile."""
        deadline = time.monotonic() + PATIENCE
        with self.connect() as pipe:
            log = pipe.transport.describe_topic(self.topic.name).log
            while True:
                table = pipe.lake.raw(self.topic.name)
                progress = table.progress([app_id(log, p) for p in range(PARTITIONS)]) if table else {}
                if done(sum(offset or 0 for offset in progress.values())):
                    return
                self.check_running()
                assert time.monotonic() < deadline, progress
                time.sleep(0.1)

    def check_running(self) -> None:
        for process in self.running:
            assert process.poll() is None, process.stderr.read()

    def end(self) -> None:
        """Stop every archiver in order."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            _, said = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, said
        self.running = []

    def check(self) -> None:
        """The lake equals the log: by the pipeline's verdict, and by a count that shares no code with it."""
        with self.connect() as pipe:
            pipe.archive(self.topic)
            rows = raw_rows(pipe.lake, self.topic.name)
            pipe.dedup(self.topic)
            verdict = pipe.verify(self.topic)
        assert verdict.state.value == "balanced", str(verdict)
        places = Counter((row["_op_partition"], row["_op_offset"], row["_op_key"], row["_op_body"]) for row in rows)
        assert places == Counter(self.messages())
        assert len(rows) == self.published

    def messages(self) -> list[tuple[int, int, bytes, bytes]]:
        consumer = ConfluentConsumer(
            {"bootstrap.servers": self.broker.address, "group.id": "count", "enable.partition.eof": True}
        )
        consumer.assign([Place(self.topic.name, p, 0) for p in range(PARTITIONS)])
        found, ended = [], 0
        while ended < PARTITIONS:
            for message in consumer.consume(1000, 1.0):
                if message.error():
                    ended += 1
                else:
                    found.append((message.partition(), message.offset(), message.key(), message.value()))
        consumer.close()
        return found


@pytest.fixture(params=SCHEMES)
def world(broker: KafkaProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    topic = declare(f"Widgets-{request.param}-{tmp_path.name}".replace("+", "-"))
    made = World(broker, request.param, tmp_path, topic)
    with made.connect() as pipe:
        pipe.register(topic, partitions=PARTITIONS)
    yield made
    for process in made.running:
        process.kill()
        process.communicate()


def test_archivers_killed_and_replaced_lose_and_repeat_nothing(world: World) -> None:
    world.start(3)
    for _ in range(4):
        world.publish(400)
        before = world.published
        world.await_progress(lambda done, before=before: done > before - 400)
        killed = world.running.pop(0)
        killed.kill()
        killed.communicate()
        world.start()
    world.await_progress(lambda done: done == world.published)
    world.end()
    world.check()


def test_an_archiver_held_up_through_a_rebalance_commits_nothing_of_what_is_anothers(world: World) -> None:
    world.start(2)
    world.publish(400)
    world.await_progress(lambda done: done == 400)
    for _ in range(2):
        held = world.running.pop(0)
        world.publish(200)
        held.send_signal(signal.SIGSTOP)
        world.publish(200)
        world.await_progress(lambda done: done == world.published)
        held.send_signal(signal.SIGCONT)
        world.running.append(held)
        world.publish(200)
        world.await_progress(lambda done: done == world.published)
    world.end()
    world.check()


def test_archivers_go_on_when_the_broker_was_killed_and_started_again(world: World) -> None:
    world.start(2)
    for _ in range(3):
        world.publish(400)
        world.broker.kill()
        world.broker.start()
    world.await_progress(lambda done: done == world.published)
    world.end()
    world.check()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Versitygw]:
    """A store of the test's own, which it kills."""
    with contextlib.ExitStack() as stack:
        own = start_own("S3 store", lambda: stack.enter_context(versitygw_process()))
        for name, value in own.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield own


@pytest.mark.s3
def test_archivers_go_on_when_the_store_of_the_lake_was_killed_and_started_again(
    world: World, store: Versitygw
) -> None:
    world.lake = f"s3://{store.new_bucket()}/lake"
    world.start(2)
    for _ in range(3):
        world.publish(400)
        store.kill()
        store.start()
    world.await_progress(lambda done: done == world.published)
    world.end()
    world.check()


def test_a_watcher_sees_the_lag_of_the_group(world: World) -> None:
    world.publish(100)
    world.start()
    world.await_progress(lambda done: done == 100)
    world.end()
    with world.connect() as pipe:
        reader = pipe.transport.group_reader([world.topic.name], kafka_archiver.GROUP)
        deadline = time.monotonic() + PATIENCE
        while len(reader.assignment()) < PARTITIONS and time.monotonic() < deadline:
            reader.poll(timeout=0.1)
        places = [TopicPartition(world.topic.name, p) for p in range(PARTITIONS)]
        assert sum(reader.committed(place) or 0 for place in places) == 100
        reader.close()
