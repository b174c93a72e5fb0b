"""Topics on a real Kafka are made as their team says, and what an existing one has otherwise is said."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from services.kafka import Kafka

import onepipe as op
from onepipe.errors import ConfigurationError

pytestmark = pytest.mark.kafka

BOTH = pytest.mark.parametrize("scheme", ["kafka", "kafka+confluent"])
WEEK = dt.timedelta(days=7)


@pytest.fixture
def pipe(kafka: Kafka, scheme: str) -> Iterator[op.Pipeline]:
    with op.connect(f"{scheme}://{kafka.address}", registry="memory://") as pipe:
        yield pipe


def declare() -> type[Any]:
    @op.record(topic=f"topics-{uuid.uuid4().hex}", name="Widget", merge=op.latest("updated"))
    class Widget:
        sid: str = op.field(identity=True)
        updated: dt.datetime

    return Widget


@BOTH
def test_a_topic_gets_what_its_team_says(pipe: op.Pipeline, scheme: str) -> None:
    settings = {"cleanup.policy": "compact,delete", "replication.factor": "1", "min.compaction.lag.ms": "60000"}
    topic = pipe.register(declare(), partitions=3, retention=WEEK, settings=settings)
    made = pipe.transport.describe_topic(topic.name)
    assert (made.partitions, made.retention_ms) == (3, 7 * 86_400_000)
    assert settings.items() <= made.settings.items()


@BOTH
def test_what_an_existing_topic_has_otherwise_is_said(
    pipe: op.Pipeline, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    widget = declare()
    topic = pipe.register(widget, partitions=2, retention=WEEK)
    before = pipe.transport.describe_topic(topic.name)
    pipe.register(widget, retention=WEEK)
    assert not [record for record in caplog.records if record.name.startswith("onepipe")]
    pipe.register(widget, retention=2 * WEEK, settings={"cleanup.policy": "compact", "replication.factor": "3"})
    said = [record.getMessage() for record in caplog.records if record.name == "onepipe_kafka.transport"]
    assert sorted(said) == [
        f"topic {topic.name} exists with cleanup.policy=delete, not compact",
        f"topic {topic.name} exists with replication.factor=1, not 3",
        f"topic {topic.name} exists with retention.ms=604800000, not 1209600000",
    ]
    with pytest.raises(ConfigurationError, match="has 2 partitions, not 5"):
        pipe.register(widget, partitions=5)
    assert pipe.transport.describe_topic(topic.name) == before


@BOTH
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"retention.mss": "1"}, "retention.mss"),
        ({"retention.ms": "soon"}, "retention.ms"),
        ({"replication.factor": "9"}, "[Rr]eplication"),
        ({"replication.factor": "none"}, "replication.factor is a number"),
        ({"replication.factor": "9" * 5000}, "replication.factor is a number"),
    ],
)
def test_what_the_cluster_cannot_give_is_refused(
    pipe: op.Pipeline, scheme: str, settings: dict[str, str], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        pipe.register(declare(), settings=settings)
