"""Archives as a group over processes, on a real Kinesis: killed, held up, and while shards are split and merged."""

from __future__ import annotations

import contextlib
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from archiver_process import Places
from archiver_world import ArchiverWorld, Logged, rounds
from kinesis_world import QUICK, until
from raw_messages import declare
from services.kinesis import Kinesis, kinesis_mock
from services.service import start_own

pytestmark = [pytest.mark.kinesis, pytest.mark.slow]

SETTINGS = {**QUICK, "session.timeout.ms": "4000"}
Record = Callable[[str, object], None]


@attrs.define
class KinesisWorld(ArchiverWorld):
    """Archivers of a stream.

    Attributes:
        boto: boto3's own client.
    """

    boto: Any = attrs.field(kw_only=True)

    @property
    def title(self) -> str:
        return "kinesis"

    def shards(self) -> list[dict[str, Any]]:
        return self.boto.list_shards(StreamName=self.topic.name)["Shards"]

    def open_shards(self) -> list[dict[str, Any]]:
        """Those that are written, by hash key."""
        found = [shard for shard in self.shards() if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(found, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def messages(self) -> list[Logged]:
        """What the records hold, by the form that docs/reference/kinesis.md gives; of copies of a batch, the first."""
        batches = {}
        for shard in self.shards():
            for data in self._records(shard):
                writer, number, partition, messages = read_envelope(data)
                batches.setdefault((writer, partition, number), messages)
        return [(key[1], None, *message) for key, messages in batches.items() for message in messages]

    def _records(self, shard: dict[str, Any]) -> Iterator[bytes]:
        where = {"StreamName": self.topic.name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = self.boto.get_shard_iterator(**where)["ShardIterator"]
        while iterator:
            found = self.boto.get_records(ShardIterator=iterator)
            yield from (record["Data"] for record in found["Records"])
            if not found["MillisBehindLatest"]:
                return
            iterator = found.get("NextShardIterator")


def read_envelope(data: bytes) -> tuple[bytes, int, int, list[tuple[bytes, bytes]]]:
    """Writer, number, partition, and key and value of each message."""
    assert data[:5] == b"\xc1opk\x01"
    at = 29

    def integer() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def content() -> bytes:
        nonlocal at
        size = integer()
        at += size
        return data[at - size : at]

    number, partition, count = integer(), integer(), integer()
    messages = []
    for _ in range(count):
        (flags,) = struct.unpack_from("B", data, at)
        assert flags == 3
        at += 9
        messages.append((content(), content()))
        for _ in range(2 * integer()):
            content()
    assert at == len(data)
    return data[13:29], number, partition, messages


@pytest.fixture(scope="module")
def own() -> Iterator[Kinesis]:
    """A service of this module's own: its topic of evidence is that of this module's registries."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kinesis", lambda: stack.enter_context(kinesis_mock()))


@pytest.fixture(params=["sqlite", "dynamodb"])
def world(own: Kinesis, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[KinesisWorld]:
    registry = f"sqlite:///{tmp_path}/registry.db"
    url = own.url(registry)
    if request.param == "dynamodb":
        url = own.url("dynamodb", **{"positions.endpoint": request.getfixturevalue("dynamodb")})
    topic = declare(f"Widgets-{uuid.uuid4().hex}")
    made = KinesisWorld(Places(url, str(tmp_path / "lake"), registry, SETTINGS), topic, boto=own.client())
    with made.connect() as pipe:
        pipe.register(topic, partitions=4)
    yield made
    made.abandon()
    with made.connect() as pipe:  # evidence is written by one registry, and the next test has another
        for name in pipe.transport.topics():
            pipe.transport.delete_topic(name)


def test_archivers_killed_and_replaced_lose_and_repeat_nothing(world: KinesisWorld, record_property: Record) -> None:
    world.start(2)
    killed = 0
    for _ in rounds(2):
        before = world.published
        world.publish(200)
        world.await_progress(lambda done, before=before: done > before)
        world.kill()
        killed += 1
        world.start()
    world.await_all()
    world.end()
    world.check("kill -9 of an archiver", killed, record_property)


def test_an_archiver_held_up_until_its_leases_are_lost_commits_nothing_of_what_is_anothers(
    world: KinesisWorld, record_property: Record
) -> None:
    world.start()
    held_up = 0
    for _ in rounds(1):
        zombie = world.start_zombie()
        try:
            world.await_all()
        finally:
            world.revive(zombie)
        world.publish(100)
        world.await_all()
        world.end(1)
        held_up += 1
        assert world.refused >= held_up
    world.end()
    world.check("SIGSTOP amid a commit, leases lost, SIGCONT", held_up, record_property)


def test_archivers_follow_shards_that_are_split_and_merged(world: KinesisWorld, record_property: Record) -> None:
    world.start(2)
    changes = 0
    for _ in rounds(1):
        world.publish(100)
        first, *_ = world.open_shards()
        keys = [int(first["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending")]
        world.boto.split_shard(
            StreamName=world.topic.name, ShardToSplit=first["ShardId"], NewStartingHashKey=str(sum(keys) // 2)
        )
        until(lambda: len(world.open_shards()) == 5)
        world.publish(100)
        _, second, third, *_ = (shard["ShardId"] for shard in world.open_shards())
        world.boto.merge_shards(StreamName=world.topic.name, ShardToMerge=second, AdjacentShardToMerge=third)
        until(lambda: len(world.open_shards()) == 4)
        changes += 2
        world.publish(100)
        world.await_all()
    world.end()
    world.check("a split or merge of shards", changes, record_property)
