"""Several consumers that share leases, in processes of their own, some of which are killed, or held up."""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter

import kinesis_member
import pytest
from archiver_world import rounds
from kinesis_world import World, until

from onepipe.transport import TopicPartition

pytestmark = [pytest.mark.kinesis, pytest.mark.slow]

PARTITIONS = 4


class Members:
    """Consumers in one group of a stream, and what they handled."""

    def __init__(self, world, folder):
        self.world = world
        self.group = uuid.uuid4().hex
        self.running = []
        self.stopped = 0
        self.published = set()
        self._folder = folder
        self._files = []

    def start(self, *words):
        self._files.append(self._folder / f"handled-{len(self._files)}")
        member = kinesis_member.start(self.world.url, self.world.topic, self.group, self._files[-1], *words)
        self.running.append(member)
        return member

    def kill(self):
        killed = self.running.pop(0)
        killed.kill()
        killed.wait()
        self.stopped += 1

    def publish(self, count):
        first = len(self.published) // PARTITIONS
        for partition in range(PARTITIONS):
            values = [f"{partition}-{number}" for number in range(first, first + count)]
            self.world.put(values, partition)
            self.published.update(values)

    def lines(self, path):
        words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        return (
            [(int(line[0]), int(line[1]), line[2]) for line in words if line[0] != "refused"],
            [(int(line[1]), int(line[2]), line[3]) for line in words if line[0] == "refused"],
        )

    def all_handled(self):
        assert [member.poll() for member in self.running] == [None] * len(self.running)
        return {value for path in self._files for _, _, value in self.lines(path)[0]} == self.published

    def check(self, fault, record_property):
        """Nothing is lost, and what is repeated is what nobody could commit; each reads each partition in order."""
        handled, refused = [], []
        for path in self._files:
            own, own_refused = self.lines(path)
            for partition in range(PARTITIONS):
                offsets = [line[1] for line in own if line[0] == partition and line not in own_refused]
                assert offsets == sorted(set(offsets))
            handled += own
            refused += own_refused
        repeated = Counter(value for _, _, value in handled)
        repeated.subtract(self.published)
        record_property("survived", self.stopped)
        record_property("refused", len(refused))
        print(  # noqa: T201 - what these tests are for
            f"kinesis: {fault} survived {self.stopped} times, {len(refused)} late commits refused, "
            f"{len(self.published)} records checked, lost 0, handled again {repeated.total()}"
        )
        assert repeated.total() <= self.stopped + len(refused)
        transport = self.world.transport
        reader = transport.group_reader([self.world.topic], self.group)
        partitions = [TopicPartition(self.world.topic, number) for number in range(PARTITIONS)]
        last = {partition: offset for partition, offset, _ in sorted(handled)}
        until(lambda: [reader.committed(p) for p in partitions] == [last[p.partition] + 1 for p in partitions])
        reader.close()
        return refused


@pytest.fixture(params=["sqlite", "dynamodb"])
def world(request, kinesis, tmp_path):
    url = kinesis.url(f"sqlite:///{tmp_path}/positions.db")
    if request.param == "dynamodb":
        url = kinesis.url("dynamodb", **{"positions.endpoint": request.getfixturevalue("dynamodb")})
    world = World(url, kinesis.client(), partitions=PARTITIONS)
    yield world
    world.close()


@pytest.fixture
def members(world, tmp_path):
    members = Members(world, tmp_path)
    yield members
    for member in members.running:
        member.kill()
        member.wait()


def test_what_a_killed_consumer_had_is_taken_over_and_nothing_is_lost(members, record_property):
    for _ in range(3):
        members.start()
    members.publish(8)
    for _ in rounds(1):
        members.kill()
        members.start()
        members.publish(8)
        until(members.all_handled)
    members.check("kill -9 of a consumer", record_property)


def test_a_consumer_held_up_until_its_leases_are_lost_is_refused_and_moves_no_offset_back(members, record_property):
    members.start()
    for _ in rounds(1):
        zombie = members.start("hold")
        while not os.waitpid(zombie.pid, os.WNOHANG | os.WUNTRACED)[0]:
            members.publish(1)
        members.publish(4)
        until(members.all_handled)
        zombie.send_signal(signal.SIGCONT)
        members.publish(4)
        until(members.all_handled)
        members.running.remove(zombie)
        members.running.insert(0, zombie)
        until(lambda: len(refusals(members)) > members.stopped)
        members.kill()
    assert len(members.check("SIGSTOP amid a message, leases lost, SIGCONT", record_property)) == members.stopped


def refusals(members):
    return [line for path in members._files for line in members.lines(path)[1]]
