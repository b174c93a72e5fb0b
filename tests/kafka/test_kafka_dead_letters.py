"""Dead letters on a real Kafka: kept once and replayed through kill -9 at any moment, and every record accounted for.

Who feeds, handles or replays is a process of its own, killed at chosen calls and at random moments, again and again.
The count shares no code with onepipe: letters are read by Kafka's own client, effects from the sink's database. Each
test says its counts in one line (`pytest -rP`) and as properties of its report. ONEPIPE_TEST_ROUNDS says how often a
process is killed at random; a long run needs `--timeout=0`, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import dead_letter_process
import pytest
from archiver_process import Places
from archiver_world import rounds
from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Place
from dead_letter_process import GROUP, SINK, refused
from dead_letter_world import Rows, declare, orders
from services.kafka import KafkaProcess, kafka_process
from services.service import start_own

import onepipe as op
from onepipe.dead_letters.topic import State

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS: Final = 2
COUNT: Final = 300
JUNK: Final = 5
SETTINGS: Final = {"consumer.session.timeout.ms": "3000", "consumer.heartbeat.interval.ms": "500"}
PATIENCE: Final = 240.0
PLUGIN: Final = """
import os
from pathlib import Path

from dead_letter_world import Rows
from onepipe.hookspecs import hookimpl


@hookimpl
def onepipe_sinks():
    return {"crm": lambda: Rows(Path(os.environ["CRM_DATABASE"]))}
"""

Property = Callable[[str, object], None]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaProcess]:
    """A broker of this module's own: its audit topic is that of this module's registries."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kafka", lambda: stack.enter_context(kafka_process()))


@attrs.define
class DeadLetterWorld:
    """A topic of orders on Kafka, some of them no orders, and a database that takes some of them.

    Attributes:
        folder: where registry, lake, database and the command's plugin are.
        places: where a pipeline has its parts.
        topic: the topic's name.
        killed: processes that were killed.
    """

    folder: Path
    places: Places
    topic: str
    killed: int = 0

    @property
    def database(self) -> Path:
        return self.folder / "crm.db"

    def publish(self) -> None:
        order = declare(self.topic)
        with self.places.connect() as pipe:
            pipe.register(order, partitions=PARTITIONS)
            with pipe.producer() as producer:
                for each in orders(COUNT):
                    producer.publish(order(id=each.id, updated=each.updated, email=each.email))
        outside = Producer({"bootstrap.servers": self.places.url.partition("://")[2]})
        for number in range(JUNK):
            outside.produce(self.topic, b"no order %d" % number, b"k%d" % number)
        assert outside.flush(30.0) == 0

    def finish(self, task: str) -> None:
        """Let a process do a task to its end."""
        complaint = self._start(task).communicate(timeout=PATIENCE)[1]
        assert not complaint.count("Traceback"), complaint

    def finish_as_group(self, task: str) -> None:
        """Let processes do a task until the group read all: one ends at the end of what the group gave it.

        What a killed member had is given to others once the group misses it.
        """
        deadline = time.monotonic() + PATIENCE
        while not self._read_by_group():
            assert time.monotonic() < deadline
            self.finish(task)

    def _read_by_group(self) -> bool:
        """Whether the group committed the topic's end, as Kafka's own client tells."""
        address = self.places.url.partition("://")[2]
        consumer = ConfluentConsumer({"bootstrap.servers": address, "group.id": GROUP})
        places = [Place(self.topic, number) for number in range(PARTITIONS)]
        try:
            ends = [consumer.get_watermark_offsets(place, 30.0)[1] for place in places]
            return [place.offset for place in consumer.committed(places, 30.0)] == ends
        finally:
            consumer.close()

    def kill_at(self, task: str, *point: str) -> None:
        """Let a process kill itself at a call."""
        process = self._start(task, *point)
        complaint = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == -9, complaint
        self.killed += 1

    def kill_at_random(self, start: Callable[[], subprocess.Popen[str]], longest: float = 1.5) -> None:
        """Kill processes at random moments, some seconds at most after their start, unless they are done before."""
        for _ in rounds(2):
            process = start()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(random.uniform(0.0, longest))
            self.killed += process.poll() is None
            process.kill()
            process.communicate()

    def _start(self, task: str, *point: str) -> subprocess.Popen[str]:
        return dead_letter_process.start(task, self.topic, self.places, self.database, *point)

    def starting(self, task: str) -> Callable[[], subprocess.Popen[str]]:
        return lambda: self._start(task)

    def command(self, action: str, *words: str) -> subprocess.Popen[str]:
        """Run `onepipe dead-letters` over these places, with a plugin that brings the database as sink."""
        where = ("--url", self.places.url, "--lake", self.places.lake, "--registry", self.places.registry)
        paths = [str(self.folder / "plugin"), *filter(None, sys.path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CRM_DATABASE": str(self.database)}
        command = [sys.executable, "-m", "onepipe.cli", "dead-letters", action, self.topic, *words, *where]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, **pipes)

    def said(self, action: str, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """The JSON objects that the command prints."""
        process = self.command(action, *words, "--json")
        said, complaint = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, complaint
        return [json.loads(line) for line in said.splitlines()]

    def install_plugin(self) -> None:
        folder = self.folder / "plugin"
        about = folder / "crm_plugin-1.0.dist-info"
        about.mkdir(parents=True)
        (folder / "crm_plugin.py").write_text(PLUGIN)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: crm-plugin\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[onepipe]\ncrm = crm_plugin\n")

    def letter_names(self) -> set[str]:
        """The names of the letters, as Kafka's own client reads their keys."""
        topic = f"{self.topic}.dead-letters"
        address = self.places.url.partition("://")[2]
        consumer = ConfluentConsumer({"bootstrap.servers": address, "group.id": "count", "enable.partition.eof": True})
        partitions = list(consumer.list_topics(topic, 30.0).topics[topic].partitions)
        consumer.assign([Place(topic, number, 0) for number in partitions])
        names, ended = set(), 0
        while ended < len(partitions):
            for message in consumer.consume(1000, 1.0):
                if message.error():
                    ended += 1
                else:
                    names.add(message.key().decode())
        consumer.close()
        return names

    def effects(self) -> dict[str, int]:
        rows = Rows(self.database)
        try:
            return rows.effects()
        finally:
            rows.close()

    def require_kept_once(self, states: set[State]) -> list[op.DeadLetter]:
        """Each order that is refused, and what is no order, has one letter; the others have none."""
        with self.places.connect() as pipe:
            found = pipe.dead_letters(declare(self.topic), state=None)
            letters = [letter for letter in found if letter.consumer != "lake"]
            places = {(letter.partition, letter.offset) for letter in letters}
            named = {found.record(letter).id for letter in letters if letter.rule != "DecodeError"}
        assert len(letters) == len(places) == len(refused(COUNT)) + JUNK
        assert self.letter_names() == {letter.name for letter in letters}
        assert named == refused(COUNT)
        assert {letter.state for letter in letters} <= states
        return letters

    def settle(self, letters: list[op.DeadLetter]) -> None:
        """Do as the guide says with what a replay leaves: the sink is looked into, and what is settled is dropped.

        What is no order is dropped. A record that may be stored or not is written there where it is not.
        """
        left = [letter for letter in letters if letter.state is not State.REPLAYED]
        rows = Rows(self.database)
        with self.places.connect() as pipe:
            found = pipe.dead_letters(declare(self.topic), consumer=SINK, state=None)
            for letter in left:
                if letter.rule != "DecodeError" and (record := found.record(letter)).id not in rows.effects():
                    rows.take(record)
        rows.close()
        assert self.said("drop", *[each.name for each in left]) == [{"topic": self.topic, "dropped": len(left)}]

    def require_accounted(self, what: str, letters: list[op.DeadLetter], record_property: Property) -> None:
        """The pipeline's own verdict accounts for each record; says the counts."""
        effects, order = self.effects(), declare(self.topic)
        with self.places.connect() as pipe:
            pipe.archive(order)
            pipe.dedup(order)
            verdict = pipe.verify(order)
            quarantined = pipe.dead_letters(order, consumer="lake", state=None)
            assert len(list(quarantined)) == JUNK
            pipe.archive(f"{self.topic}.dead-letters")
            pipe.dedup(f"{self.topic}.dead-letters")
            assert pipe.table(f"{self.topic}.dead-letters").count() == len(letters)
            assert pipe.verify(f"{self.topic}.dead-letters").findings == ()
        assert verdict.state.value == "balanced", str(verdict)
        assert (verdict.equation.stored, verdict.equation.quarantined, verdict.equation.in_flight) == (COUNT, JUNK, 0)
        assert verdict.equation.accounted == COUNT + JUNK
        counts = {
            "survived": self.killed,
            "checked": COUNT + JUNK,
            "letters": len(letters),
            "lost": len({each.id for each in orders(COUNT)} - effects.keys()),
            "again": sum(effects.values()) - len(effects),
        }
        for name, count in counts.items():
            record_property(name, count)
        print(  # noqa: T201 - what these tests are for
            f"{self.places.url.partition('://')[0]}: {what} survived {counts['survived']} kills, {counts['checked']} "
            f"records checked, {counts['letters']} letters, lost {counts['lost']}, took effect again {counts['again']}"
        )
        assert counts["lost"] == 0


@pytest.fixture(params=["kafka", "kafka+confluent"])
def world(broker: KafkaProcess, tmp_path: Path, request: pytest.FixtureRequest) -> DeadLetterWorld:
    topic = f"Orders-{request.param}-{tmp_path.name}".replace("+", "-")
    url, registry = f"{request.param}://{broker.address}", f"sqlite:///{tmp_path}/registry.db"
    made = DeadLetterWorld(tmp_path, Places(url, str(tmp_path / "lake"), registry, SETTINGS), topic)
    made.publish()
    made.install_plugin()
    return made


def test_a_transactional_sink_gets_each_record_once_and_each_failure_is_kept_once_through_kills(
    world: DeadLetterWorld, record_property: Property
) -> None:
    world.kill_at("feed", "_send", "1", "after")  # between a letter and the progress behind it
    world.kill_at("feed", "_send", "2", "before")  # between the progress and the letter that confirms it
    world.kill_at("feed", "write", "9", "after")
    world.kill_at_random(world.starting("feed"))
    world.finish("feed")
    letters = world.require_kept_once({State.OPEN, State.UNCONFIRMED})
    good = {each.id for each in orders(COUNT)} - refused(COUNT)
    assert world.effects() == dict.fromkeys(good, 1)
    opened = world.said("list", "--consumer", SINK)
    assert {said["name"] for said in opened} == {each.name for each in letters if each.state is State.OPEN}

    world.kill_at("replay", "write", "1", "after")  # between the sink's commit and the mark on the letter
    world.kill_at("replay", "_send", "1", "before")
    world.kill_at_random(world.starting("replay"))
    world.kill_at_random(lambda: world.command("replay", "--consumer", SINK, "--sink", "crm"), longest=5.0)
    two = [world.command("replay", "--consumer", SINK, "--sink", "crm") for _ in range(2)]
    assert [process.communicate(timeout=PATIENCE) and process.returncode for process in two] == [1, 1]
    letters = world.require_kept_once({State.OPEN, State.UNCONFIRMED, State.REPLAYED})
    assert {letter.rule for letter in letters if letter.state is State.OPEN} == {"DecodeError"}
    assert set(world.effects().values()) == {1}
    world.settle(letters)
    letters = world.require_kept_once({State.DROPPED, State.REPLAYED})
    assert world.effects() == dict.fromkeys({each.id for each in orders(COUNT)}, 1)
    world.require_accounted("feed and replay of a transactional sink", letters, record_property)


@pytest.mark.parametrize(
    ("world", "task", "replay", "consumer"),
    [("kafka", "feed_idempotent", "replay_idempotent", SINK), ("kafka+confluent", "handle", "replay_handled", GROUP)],
    indirect=["world"],
)
def test_others_get_each_record_at_least_once_and_each_failure_is_kept_once_through_kills(
    world: DeadLetterWorld, record_property: Property, task: str, replay: str, consumer: str
) -> None:
    world.kill_at(task, "_send", "1", "after")
    world.kill_at(task, "take", "20", "after")
    world.kill_at_random(world.starting(task))
    if consumer == GROUP:
        world.finish_as_group(task)
    else:
        world.finish(task)
    letters = world.require_kept_once({State.OPEN})
    assert world.effects().keys() == {each.id for each in orders(COUNT)} - refused(COUNT)
    world.kill_at(replay, "take", "1", "after")
    world.kill_at(replay, "_send", "2", "before")
    world.kill_at_random(world.starting(replay))
    world.finish(replay)
    letters = world.require_kept_once({State.OPEN, State.REPLAYED})
    opened = [letter.name for letter in letters if letter.state is State.OPEN]
    assert len(opened) == JUNK
    assert world.said("drop", *opened) == [{"topic": world.topic, "dropped": JUNK}]
    assert world.said("list", "--consumer", consumer) == []
    world.require_accounted(task, world.require_kept_once({State.DROPPED, State.REPLAYED}), record_property)


@pytest.mark.parametrize("world", ["kafka"], indirect=True)
def test_the_topic_of_dead_letters_is_not_compacted_as_copies_stand_in_their_first_messages(
    world: DeadLetterWorld,
) -> None:
    world.finish("feed")
    with world.places.connect() as pipe:
        description = pipe.transport.describe_topic(f"{world.topic}.dead-letters")
        orders_topic = pipe.transport.describe_topic(world.topic)
    assert description.settings["cleanup.policy"] == "delete"
    assert description.retention_ms == orders_topic.retention_ms
    (first, *_) = world.said("list", "--consumer", SINK)
    (shown,) = world.said("show", first["name"])
    assert shown["record"]["id"] in refused(COUNT)
    assert "example.org" not in json.dumps(shown)
