"""A consumer to the end, in a group that takes its time to share the partitions out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import onepipe as op
from onepipe.consuming import intake
from onepipe_memory.reader import LogGroupReader

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@op.record(topic="Turns")
class Turn:
    id: str = op.field(identity=True)


@pytest.fixture
def pipe():
    with op.connect("memory://", partitions=1) as pipe:
        with pipe.producer() as producer:
            for number in range(5):
                producer.publish(Turn(id=f"T{number}"))
        yield pipe


def test_the_end_is_not_reached_before_the_group_gave_any_partition(pipe, monkeypatch):
    polls = []
    prepare = LogGroupReader._prepare

    def prepare_late(reader: Any) -> None:
        polls.append(reader)
        if len(polls) > 3:
            prepare(reader)

    monkeypatch.setattr(LogGroupReader, "_prepare", prepare_late)
    with pipe.consumer(Turn, group="g", until="end") as consumer:
        assert len(list(consumer)) == 5
    assert len(polls) > 3


def test_a_member_that_gets_no_partition_ends_all_the_same(pipe, monkeypatch):
    monkeypatch.setattr(intake, "_JOIN_SECONDS", 0.05)
    with pipe.consumer(Turn, group="g", until="end") as first, pipe.consumer(Turn, group="g", until="end") as second:
        counts = sorted(len(list(consumer)) for consumer in (first, second))
    assert counts == [0, 5]
