"""What a team says of a new topic, checked before anything is registered or made."""

from __future__ import annotations

import datetime as dt

import pytest

import onepipe as op
from onepipe.errors import ConfigurationError, NotRegistered

COMPACT = {"cleanup.policy": "compact"}


@pytest.fixture
def pipe():
    with op.connect("memory://") as pipe:
        yield pipe


@op.record(topic="Latest", merge=op.latest("updated"))
class Latest:
    id: str = op.field(identity=True)
    updated: dt.datetime


@op.record(topic="First", merge=op.first("updated"))
class First:
    id: str = op.field(identity=True)
    updated: dt.datetime


@op.record(topic="Highest", merge=op.latest("updated"))
class Highest:
    id: str = op.field(identity=True)
    updated: dt.datetime
    level: int = op.field(merge=op.maximum())


@op.record(topic="Events")
class Event:
    id: str = op.field(identity=True)


def test_retention_reaches_the_log(pipe):
    pipe.register(Latest, retention=dt.timedelta(hours=1))
    assert pipe.transport.describe_topic("Latest").retention_ms == 3_600_000


@pytest.mark.parametrize("record", [First, Highest, Event])
def test_compaction_is_refused_where_the_merge_needs_earlier_records(pipe, record):
    with pytest.raises(ConfigurationError, match="compaction keeps the last message of an identity alone"):
        pipe.register(record, settings=COMPACT)
    with pytest.raises(NotRegistered):
        pipe.registry.topic(op.topic_of(record).name)


def test_compaction_goes_with_latest_and_is_for_the_log_to_know(pipe):
    with pytest.raises(ConfigurationError, match=r"topics in memory have no setting 'cleanup\.policy'"):
        pipe.register(Latest, settings=COMPACT)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"retention": 7}, "retention is a datetime.timedelta, not int"),
        ({"retention": dt.timedelta(0)}, "retention is at least a millisecond"),
        ({"settings": ["retention.ms"]}, "settings is a dict, not list"),
    ],
)
def test_what_is_of_another_type_is_refused(pipe, options, match):
    with pytest.raises(ConfigurationError, match=match):
        pipe.register(Latest, **options)


def test_a_topic_of_others_is_theirs_to_create(pipe):
    pipe.transport.create_topic("theirs", partitions=1)
    theirs = op.Topic.attach("theirs", Latest, value="json", identity="id")
    with pytest.raises(ConfigurationError, match="theirs to create"):
        pipe.register(theirs, retention=dt.timedelta(days=1))
