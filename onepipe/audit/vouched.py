"""Reading the evidence of producing from the lake: what each writer vouches for, by partition."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import attrs

from onepipe.evidence.digest import Digest
from onepipe.evidence.records import Kind

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
        heard: whether any writer said anything, be it of another topic.
        opened: epochs that said that they began in this topic.
        closed: epochs that said that they ended.
        last: by epoch, when it said something last.
        unsound: how many tallies contradict themselves or each other, as no writer's do; the former are left out.
    """

    streams: Mapping[Stream, Vouched]
    heard: bool
    opened: frozenset[bytes]
    closed: frozenset[bytes]
    last: Mapping[bytes, dt.datetime]
    unsound: int = 0


def read_testimony(
    topic: str, rows: Iterable[Mapping[str, Any]], hours: Iterable[tuple[Stream, int, int]]
) -> Testimony:
    """Put records of evidence together, in any order, repeated ones counting once.

    Of tallies that contradict each other, the one of the greatest number counts, and that of most sequences.

    Args:
        topic: name of the topic.
        rows: records of the audit topic, as dicts without hours and manifest: those of the topic, those of no topic,
            and the openings of all topics. An opening that names no topic speaks of all.
        hours: what the hours of each stream's tallies add up to, as HOURS_SQL says it.
    """
    by_hour: dict[Stream, dict[int, int]] = {}
    for stream, hour, count in hours:
        by_hour.setdefault(stream, {})[hour] = count
    tallies: dict[Stream, dict[int, Mapping[str, Any]]] = {}
    spoken: dict[str, set[bytes]] = {kind.value: set() for kind in Kind}
    last: dict[bytes, dt.datetime] = {}
    unsound, heard = 0, False
    for row in rows:
        heard = True
        if row["topic"] not in (None, topic):
            continue
        epoch = row["epoch"]
        spoken[row["kind"]].add(epoch)
        last[epoch] = max(row["at"], last.get(epoch, row["at"]))
        if row["kind"] != Kind.TALLY.value:
            continue
        if not _is_sound(row):
            unsound += 1
            continue
        by_number = tallies.setdefault(Stream(epoch, row["log"], row["partition"]), {})
        other = by_number.setdefault(row["number"], row)
        unsound += other != row
        by_number[row["number"]] = max(row, other, key=_sums)
    unsound += sum(not _is_growing(by_number) for by_number in tallies.values())
    streams = {stream: _vouched(by_number, by_hour.get(stream, {})) for stream, by_number in tallies.items()}
    opened, closed = spoken[Kind.OPENED.value], spoken[Kind.CLOSED.value]
    return Testimony(streams, heard, frozenset(opened), frozenset(closed), last, unsound)


def _is_sound(tally: Mapping[str, Any]) -> bool:
    """Whether a tally says of each sequence below its end once what became of it, as sums of offsets allow."""
    if tally["log"] is None or tally["partition"] is None or tally["number"] < 0 or tally["acknowledged"] < 0:
        return False
    covered = last = 0
    for interval in sorted((*tally["failed"], *tally["indeterminate"]), key=lambda interval: interval["first"]):
        if not last <= interval["first"] < interval["end"]:
            return False
        covered, last = covered + interval["end"] - interval["first"], interval["end"]
    acknowledged, greatest = tally["acknowledged"], tally["last_offset"]
    whole = last <= tally["sequence_end"] == covered + acknowledged
    return whole and (greatest is None or greatest >= max(0, acknowledged - 1))


def _sums(tally: Mapping[str, Any]) -> tuple[int, ...]:
    return tally["sequence_end"], tally["acknowledged"], tally["digest_hi"], tally["digest_lo"]


def _is_growing(tallies: Mapping[int, Mapping[str, Any]]) -> bool:
    """Whether tallies of greater numbers cover no less."""
    ends = [tallies[number]["sequence_end"] for number in sorted(tallies)]
    return ends == sorted(ends)


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
    SELECT epoch, log, partition AS part, h.hour AS hour, least(sum(h.rows), 9223372036854775807)::BIGINT AS rows FROM (
        SELECT epoch, log, partition, acknowledged, unnest(hours) AS h
        FROM {evidence} WHERE kind = 'tally'
        QUALIFY row_number() OVER (
            PARTITION BY epoch, log, partition, number ORDER BY sequence_end DESC, acknowledged DESC
        ) = 1
    ) WHERE h.rows BETWEEN 0 AND acknowledged GROUP BY ALL
"""
"""By stream and hour, what tallies say was acknowledged, from a relation of the audit topic's rows."""

MANIFEST_SQL = """
    SELECT epoch, log, partition AS part, e.sequence AS seq, e.offset AS pos, e.key AS key,
           e.digest_hi AS hi, e.digest_lo AS lo
    FROM (SELECT epoch, log, partition, unnest(manifest) AS e FROM {evidence})
"""
"""Every record that manifests name, from a relation of the audit topic's rows; repeated tallies repeat theirs."""
