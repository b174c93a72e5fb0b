"""Messages of other writers whose timestamps are of no year that a datetime has."""

from __future__ import annotations

import datetime as dt

import pytest

import onepipe as op
from onepipe.transport import Outgoing


@op.record(topic="Widgets", identity="sid")
class Widget:
    sid: str


FIRST = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=dt.UTC)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("timestamp", "moment"),
    [
        (-(1 << 63), FIRST),
        (-62_135_596_800_001, FIRST),
        (-62_135_596_800_000, FIRST),
        (253_402_300_799_999, LAST),
        (253_402_300_800_000, LAST),
        ((1 << 63) - 1, LAST),
    ],
)
def test_a_message_from_beyond_the_calendar_is_received_with_the_nearest_moment(
    timestamp: int, moment: dt.datetime
) -> None:
    with op.connect("memory://", partitions=1) as pipe:
        with pipe.producer() as producer:
            producer.publish(Widget(sid="a"))
        ((first,),) = pipe.consumer(Widget, until="end").batches(10)
        writer = pipe.transport.writer()
        message = Outgoing("Widgets", 0, first.key, first.value, (), timestamp)
        writer.append(message, lambda _: None)
        writer.append(message._replace(timestamp=0), lambda _: None)
        writer.flush()
        received = [r for batch in pipe.consumer(Widget, until="end").batches(10) for r in batch]
    assert [r.offset for r in received] == [0, 1, 2]
    assert received[1].timestamp == moment
    assert received[1].record == Widget(sid="a")
