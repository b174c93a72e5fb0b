"""Archives as a group over processes, on a real Kafka: killed, held up, cut off from the broker, coming and going."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import archiver_process
import attrs
import pytest
from archiver_process import Places
from archiver_world import PATIENCE, ArchiverWorld, Logged, rounds
from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import TopicPartition as Place
from raw_messages import declare
from services.kafka import KafkaProcess, kafka_process
from services.s3 import Versitygw, versitygw_process
from services.service import start_own

from onepipe.transport import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SCHEMES = ["kafka+confluent", "kafka"]
PARTITIONS = 6
SETTINGS = {
    "consumer.session.timeout.ms": "3000",
    "consumer.heartbeat.interval.ms": "500",
    "consumer.fetch.wait.max.ms": "50",
}
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaProcess]:
    """A broker of this module's own: it is killed, and its audit topic is that of this module's registries."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kafka", lambda: stack.enter_context(kafka_process()))


class KafkaWorld(ArchiverWorld):
    """Archivers of a topic on Kafka."""

    @property
    def title(self) -> str:
        return self.places.url.partition("://")[0]

    def messages(self) -> list[Logged]:
        address = self.places.url.partition("://")[2]
        consumer = ConfluentConsumer({"bootstrap.servers": address, "group.id": "count", "enable.partition.eof": True})
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
def world(broker: KafkaProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[KafkaWorld]:
    topic = declare(f"Widgets-{request.param}-{tmp_path.name}".replace("+", "-"))
    url, registry = f"{request.param}://{broker.address}", f"sqlite:///{tmp_path}/registry.db"
    made = KafkaWorld(Places(url, str(tmp_path / "lake"), registry, SETTINGS), topic)
    with made.connect() as pipe:
        pipe.register(topic, partitions=PARTITIONS)
    yield made
    made.abandon()


def test_archivers_killed_and_replaced_lose_and_repeat_nothing(world: KafkaWorld, record_property: Record) -> None:
    world.start(3)
    killed = 0
    for _ in rounds(4):
        before = world.published
        world.publish(400)
        world.await_progress(lambda done, before=before: done > before)
        world.kill()
        killed += 1
        world.start()
    world.await_all()
    world.end()
    world.check("kill -9 of an archiver", killed, record_property)


def test_archivers_that_come_and_go_in_order_lose_and_repeat_nothing(
    world: KafkaWorld, record_property: Record
) -> None:
    world.start()
    changes = 0
    for _ in rounds(3):
        world.publish(200)
        world.start()
        world.publish(200)
        world.end(1)
        changes += 2
    world.await_all()
    world.end()
    world.check("one more or one less archiver", changes, record_property)


def test_an_archiver_held_up_through_a_rebalance_commits_nothing_of_what_is_anothers(
    world: KafkaWorld, record_property: Record
) -> None:
    world.start()
    held_up = 0
    for _ in rounds(2):
        zombie = world.start_zombie()
        try:
            world.await_all()
        finally:
            world.revive(zombie)
        world.publish(200)
        world.await_all()
        world.end(1)
        held_up += 1
        assert world.refused >= held_up
    world.end()
    world.check("SIGSTOP amid a commit, rebalance, SIGCONT", held_up, record_property)


def test_archivers_go_on_when_the_broker_was_killed_and_started_again(
    world: KafkaWorld, broker: KafkaProcess, record_property: Record
) -> None:
    world.start(2)
    killed = 0
    for _ in rounds(3):
        before = world.published
        with ThreadPoolExecutor() as publisher:
            published = publisher.submit(world.publish, 1000)
            world.await_progress(lambda done, before=before: done > before)
            broker.kill()
            broker.start()
            published.result()
        killed += 1
    world.await_all()
    world.end()
    world.check("kill -9 of the broker", killed, record_property)


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
    world: KafkaWorld, store: Versitygw, record_property: Record
) -> None:
    world.places = attrs.evolve(world.places, lake=f"s3://{store.new_bucket()}/lake")
    world.start(2)
    killed = 0
    for _ in rounds(3):
        world.publish(400)
        store.kill()
        store.start()
        killed += 1
    world.await_all()
    world.end()
    world.check("kill -9 of the S3 store", killed, record_property)


def test_a_watcher_sees_the_lag_of_the_group(world: KafkaWorld) -> None:
    world.publish(100)
    world.start()
    world.await_all()
    world.end()
    with world.connect() as pipe:
        reader = pipe.transport.group_reader([world.topic.name], archiver_process.GROUP)
        deadline = time.monotonic() + PATIENCE
        while len(reader.assignment()) < PARTITIONS and time.monotonic() < deadline:
            reader.poll(timeout=0.1)
        places = [TopicPartition(world.topic.name, p) for p in range(PARTITIONS)]
        assert sum(reader.committed(place) or 0 for place in places) == 100
        reader.close()
