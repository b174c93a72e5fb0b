"""Reading the evidence of producing from the lake: what each writer vouches for, by partition."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import attrs

from onepipe.audit.digest import Digest
from onepipe.audit.evidence import Kind

Interval = tuple[int, int]


class Stream(NamedTuple):
    """The records of one writer epoch in one partition of one log."""

    epoch: bytes
    log: str
    partition: int


@attrs.frozen
class Vouched:
    """What a writer vouches for in one stream.

    Attributes:
        sequence_end: outcomes of all sequences below this one are known.
        acknowledged: how many of these the log acknowledged.
        digest: sum of their digests.
        last_offset: greatest acknowledged offset.
        failed: intervals of sequences that are surely not in the log.
        indeterminate: intervals of sequences that may be in the log.
        hours: by hours since 1970, acknowledged records.
        complete: whether no tally is missing, so that `hours` and the manifest cover everything.
        at: when the last tally was said.
    """

    sequence_end: int
    acknowledged: int
    digest: Digest
    last_offset: int | None
    failed: tuple[Interval, ...]
    indeterminate: tuple[Interval, ...]
    hours: Mapping[int, int]
    complete: bool
    at: dt.datetime


@attrs.frozen
class Testimony:
    """All that writers said of one topic.

    Attributes:
        streams: what is vouched for, by stream.
        opened: epochs that said that they began.
        closed: epochs that said that they ended.
        last: by epoch, when it said something last.
    """

    streams: Mapping[Stream, Vouched]
    opened: frozenset[bytes]
    closed: frozenset[bytes]
    last: Mapping[bytes, dt.datetime]


def read_testimony(rows: Iterable[Mapping[str, Any]], hours: Iterable[tuple[Stream, int, int]]) -> Testimony:
    """Put records of evidence together, in any order, repeated ones counting once.

    Args:
        rows: records of the audit topic, of one topic and of no topic, as dicts without hours and manifest.
        hours: what the hours of each stream's tallies add up to, as HOURS_SQL says it.
    """
    by_hour: dict[Stream, dict[int, int]] = {}
    for stream, hour, count in hours:
        by_hour.setdefault(stream, {})[hour] = count
    tallies: dict[Stream, dict[int, Mapping[str, Any]]] = {}
    spoken: dict[str, set[bytes]] = {kind.value: set() for kind in Kind}
    last: dict[bytes, dt.datetime] = {}
    for row in rows:
        epoch = row["epoch"]
        spoken[row["kind"]].add(epoch)
        last[epoch] = max(row["at"], last.get(epoch, row["at"]))
        if row["kind"] == Kind.TALLY.value:
            stream = Stream(epoch, row["log"], row["partition"])
            tallies.setdefault(stream, {})[row["number"]] = row
    streams = {stream: _vouched(by_number, by_hour.get(stream, {})) for stream, by_number in tallies.items()}
    opened, closed = spoken[Kind.OPENED.value], spoken[Kind.CLOSED.value]
    return Testimony(streams, frozenset(opened), frozenset(closed), last)


def _vouched(tallies: Mapping[int, Mapping[str, Any]], hours: Mapping[int, int]) -> Vouched:
    newest = tallies[max(tallies)]
    return Vouched(
        newest["sequence_end"],
        newest["acknowledged"],
        Digest(newest["digest_hi"], newest["digest_lo"]),
        newest["last_offset"],
        tuple((i["first"], i["end"]) for i in newest["failed"]),
        tuple((i["first"], i["end"]) for i in newest["indeterminate"]),
        hours,
        len(tallies) == max(tallies) + 1,
        newest["at"],
    )


HOURS_SQL = """
    SELECT epoch, log, partition AS part, h.hour AS hour, sum(h.rows)::BIGINT AS rows FROM (
        SELECT epoch, log, partition, unnest(any_value(hours)) AS h
        FROM {evidence} WHERE kind = 'tally' GROUP BY epoch, log, partition, number
    ) GROUP BY ALL
"""
"""By stream and hour, what tallies say was acknowledged, from a relation of the audit topic's rows."""

MANIFEST_SQL = """
    SELECT epoch, log, partition AS part, e.sequence AS seq, e.offset AS pos, e.key AS key,
           e.digest_hi AS hi, e.digest_lo AS lo
    FROM (SELECT epoch, log, partition, unnest(manifest) AS e FROM {evidence})
"""
"""Every record that manifests name, from a relation of the audit topic's rows; repeated tallies repeat theirs."""
