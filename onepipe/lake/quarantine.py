"""What a topic's raw table holds in quarantine, as dead letters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from onepipe.dead_letters.letter import DeadLetter, letter_name
from onepipe.dead_letters.topic import Stage, State
from onepipe.errors import LakeError
from onepipe.lake import columns as c
from onepipe.lake.scan import Scan
from onepipe.schema.values import EPOCH
from onepipe.transport import Message

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.lake import Lake

CONSUMER: Final = "lake"
"""Under whose name quarantined records stand among the dead letters."""

_MILLISECOND: Final = dt.timedelta(milliseconds=1)


def quarantined(lake: Lake, topic: Topic) -> Iterator[DeadLetter]:
    """A letter for each row in quarantine; all are open. Their records are not read.

    Raises:
        CorruptFile: a file is missing or unreadable.
    """
    for row in _rows(lake, topic, [c.LOG, c.PARTITION, c.OFFSET, c.TIMESTAMP, c.SCHEMA]):
        rule, _, reason = row[c.ERROR].partition(": ")
        seen = row[c.TIMESTAMP] or EPOCH
        yield DeadLetter(
            name=letter_name(Stage.ARCHIVE, CONSUMER, row[c.LOG], row[c.PARTITION], row[c.OFFSET]),
            topic=topic.name,
            state=State.OPEN,
            stage=Stage.ARCHIVE,
            consumer=CONSUMER,
            log=row[c.LOG],
            partition=row[c.PARTITION],
            offset=row[c.OFFSET],
            attempts=1,
            replays=0,
            rule=rule,
            reason=reason or rule,
            schema_id=row[c.SCHEMA],
            first_seen=seen,
            last_seen=seen,
        )


def quarantined_message(lake: Lake, topic: Topic, letter: DeadLetter) -> Message:
    """The message of a quarantined row, without the header of its writer's evidence.

    Raises:
        LakeError: the row is no longer in quarantine.
        CorruptFile: a file is missing or unreadable.
    """
    names = [c.LOG, c.PARTITION, c.OFFSET, c.TIMESTAMP, c.KEY, c.HEADERS, c.BODY]
    for row in _rows(lake, topic, names):
        if (row[c.LOG], row[c.PARTITION], row[c.OFFSET]) == (letter.log, letter.partition, letter.offset):
            headers = tuple((header["name"], header["value"]) for header in row[c.HEADERS] or ())
            timestamp = ((row[c.TIMESTAMP] or EPOCH) - EPOCH) // _MILLISECOND
            place = topic.name, row[c.PARTITION], row[c.OFFSET]
            return Message(*place, timestamp, row[c.KEY], row[c.BODY], headers)
    raise LakeError(
        "the record is no longer in quarantine", topic=topic.name, partition=letter.partition, offset=letter.offset
    )


def _rows(lake: Lake, topic: Topic, names: list[str]) -> Iterator[dict[str, Any]]:
    wanted = [*names, c.ERROR]
    for batch in Scan(lake, topic, raw=True).batches(wanted):
        yield from batch.select(wanted).filter(pc.is_valid(batch.column(c.ERROR))).to_pylist()
