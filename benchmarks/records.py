"""The synthetic record: nine fields, about 130 bytes, four checks.

Record number n of a stream is a function of n and the stream's length alone. Events are spread over 100 days; one in
ten repeats an earlier one of the last three days: every other of these is a copy, the rest a later version.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from xxhash import xxh3_64_intdigest, xxh3_128_hexdigest

import onepipe as op

DAYS: Final = 100
REPEAT_EVERY: Final = 10

_START: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_SPAN: Final = dt.timedelta(days=DAYS)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)
_RECENT: Final = 0.03
_STATUSES: Final = ("queued", "sending", "sent", "failed")
_ACCOUNTS: Final = tuple(f"AC{xxh3_128_hexdigest(b'%d' % number)}" for number in range(1000))
_TAGS: Final = ("eu-west", "promo", "api-v2", "retry", "priority")


def _declare(audit: Any) -> Any:
    @op.record(
        topic="Jobs",
        merge=op.latest("updated"),
        event_time="created",
        checks={
            "updated after created": "updated >= created",
            "a failure has a note": "status <> 'failed' OR note IS NOT NULL",
        },
        audit=audit,
    )
    class Job:
        """A job of one of many accounts, as known at one moment."""

        sid: str = op.field(identity=True, min_length=34, max_length=34)
        account: str
        status: str
        attempts: int = op.field(ge=0)
        price: float | None = op.field(default=None, ge=0.0)
        created: dt.datetime
        updated: dt.datetime
        tags: list[str]
        note: str | None = None

    return Job


Job: Final = _declare("counted")
NamedJob: Final = _declare("named")


def jobs(record: Any, first: int, count: int, length: int) -> Iterator[tuple[Any, int]]:
    """Jobs from number `first` on, each with the milliseconds since 1970 at which it is published.

    Args:
        record: the class, Job or NamedJob.
        first: number of the first.
        count: how many.
        length: of the stream, by which its events are spread; numbers beyond it follow its last day.
    """
    step = _SPAN / length
    recent = max(1, int(length * _RECENT))
    for number in range(first, first + count):
        chance = xxh3_64_intdigest(number.to_bytes(8, "big"))
        original = _original(number, chance, recent)
        later = original != number and number // REPEAT_EVERY % 2
        job = _job(record, original, original * step, number * step if later else None)
        yield job, (_START + number * step - _EPOCH) // _MILLISECOND


def _original(number: int, chance: int, recent: int) -> int:
    """The number of the job that this one repeats; its own where it is new."""
    if (number + 1) % REPEAT_EVERY:
        return number
    earlier = number - 1 - chance % min(recent, number)
    return earlier if (earlier + 1) % REPEAT_EVERY else earlier - 1


def _job(record: Any, number: int, created: dt.timedelta, updated: dt.timedelta | None) -> Any:
    key = xxh3_128_hexdigest(number.to_bytes(8, "big"))
    chance = int(key[:8], 16)
    return record(
        sid=f"SM{key}",
        account=_ACCOUNTS[chance % 1000],
        status="delivered" if updated is not None else _STATUSES[chance % 4],
        attempts=chance % 7,
        price=None if chance % 3 else (chance % 10_000) / 100,
        created=_START + created,
        updated=_START + (created if updated is None else updated),
        tags=[_TAGS[chance % 5], _TAGS[(chance >> 8) % 5]],
        note="carrier refused" if chance % 4 == 3 else None,
    )
