"""The whole pipeline over a real Kinesis: published, archived, merged, and verified balanced."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from kinesis_world import QUICK

import onepipe as op

pytestmark = [pytest.mark.kinesis, pytest.mark.slow]

NAME = f"Orders-{uuid.uuid4().hex}"


@op.record(topic=NAME, merge=op.latest("at"))
class Order:
    number: int = op.field(identity=True)
    state: str
    at: dt.datetime


def orders(first, end, state="new"):
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return [Order(number=n, state=state, at=at + dt.timedelta(seconds=n)) for n in range(first, end)]


def test_a_stream_that_is_split_is_archived_exactly_once_and_verified(kinesis, tmp_path):
    url = kinesis.url(f"sqlite:///{tmp_path}/positions.db")
    boto = kinesis.client()
    with op.connect(url, lake=tmp_path / "lake", settings=QUICK) as pipe:
        with pipe.producer() as producer:
            producer.publish_many(orders(0, 150))
            producer.flush()
            assert pipe.archive(Order).rows == 150
            first = next(s for s in boto.list_shards(StreamName=NAME)["Shards"])
            middle = int(first["HashKeyRange"]["EndingHashKey"]) // 2
            boto.split_shard(StreamName=NAME, ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
            producer.publish_many(orders(100, 250))
        report = pipe.archive(Order)
        assert (report.rows, report.gaps) == (150, 0)
        with pipe.producer() as producer:  # knows of the new partition
            producer.publish_many(orders(250, 300))
        assert pipe.archive(Order).rows == 50
        assert pipe.archive(Order).rows == 0
        assert pipe.dedup(Order).identities == 300
        verdict = pipe.verify(Order)
    assert verdict.state.value == "balanced", str(verdict)
    assert "350" in str(verdict)
