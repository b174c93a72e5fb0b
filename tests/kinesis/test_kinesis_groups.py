"""Several consumers that share leases, in processes of their own, one of which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from kinesis_world import World, until

pytestmark = [pytest.mark.kinesis, pytest.mark.slow]

TESTS = Path(__file__).parents[1]


@pytest.fixture(params=["sqlite", "dynamodb"])
def world(request, kinesis, tmp_path):
    url = kinesis.url(f"sqlite:///{tmp_path}/positions.db")
    if request.param == "dynamodb":
        url = kinesis.url("dynamodb", **{"positions.endpoint": request.getfixturevalue("dynamodb")})
    world = World(url, kinesis.client(), partitions=4)
    yield world
    world.close()


def handled(path):
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line.split() for line in lines]


def test_what_a_killed_consumer_had_is_taken_over_and_nothing_is_lost(world, tmp_path):
    group = uuid.uuid4().hex
    files = [tmp_path / f"handled-{number}" for number in range(3)]
    members = [
        subprocess.Popen(
            [sys.executable, str(TESTS / "kinesis_member.py"), world.url, world.topic, group, str(file)],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        for file in files
    ]
    try:
        for partition in range(4):
            world.put([f"{partition}-{number}" for number in range(8)], partition)
        until(lambda: all(handled(file) for file in files) or sum(len(handled(f)) for f in files) >= 32)
        os.kill(members[0].pid, signal.SIGKILL)
        members[0].wait()
        for partition in range(4):
            world.put([f"{partition}-{number}" for number in range(8, 16)], partition)
        expected = {f"{partition}-{number}" for partition in range(4) for number in range(16)}
        until(lambda: {value for file in files for _, _, value in handled(file)} == expected)
        assert [member.poll() for member in members[1:]] == [None, None]
    finally:
        for member in members:
            member.kill()
            member.wait()
    for file in files:  # each reads each partition in order; a message is handled again only by who took over
        by_partition = {}
        for partition, offset, _ in handled(file):
            by_partition.setdefault(partition, []).append(int(offset))
        assert all(offsets == sorted(set(offsets)) for offsets in by_partition.values())
    repeated = sum(len(handled(file)) for file in files) - len(expected)
    assert repeated <= 4
