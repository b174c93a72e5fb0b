"""Partitions over shards: which shards a partition lies in, one after the other, and which partition a record is of.

Shards are split and merged, partitions must stay. So a partition is a *point*: a hash key, fixed for ever, at which
every message of the partition is put (ExplicitHashKey). At any time exactly one open shard holds the point; the shards
that held it one after the other are the partition's *lineage*, read in that order: parents before children, whatever is
split or merged. A key keeps its partition, and so its order, throughout.

A shard in which no point lies gets one of its own, its first hash key: so the shards of a new stream have one partition
each, and of the two that a split makes one goes on with its parent's points while the other, if no point lies in it,
is a new partition. A merged shard holds the points of both. Points are numbered as they appear and never given up.

Records that others put have no point. Those of a shard all belong to the shard's first point. That is a function of
the shard alone which later points do not change: a point is in no shard older than the one it appeared with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from onepipe.errors import TransportError

_SHARD_ID: Final = re.compile(r"shardId-(\d{12})\Z")
"""Kinesis numbers a stream's shards in the order in which they come to be; children have greater numbers."""


class Shard(NamedTuple):
    """A shard of a stream.

    Attributes:
        number: its number among the stream's shards; greater than those of its parents.
        first: first hash key of its range.
        last: last hash key of its range.
        parents: numbers of the shards that were split or merged into it.
    """

    number: int
    first: int
    last: int
    parents: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """Its name."""
        return f"shardId-{self.number:012d}"


class Point(NamedTuple):
    """Where a partition lies.

    Attributes:
        key: the hash key.
        born: number of the shard it appeared with; no older shard holds it.
    """

    key: int
    born: int


def shard_number(shard_id: str) -> int:
    """The number of a shard.

    Raises:
        TransportError: the name is not of Kinesis's form, so that the shards' order is not known.
    """
    match = _SHARD_ID.match(shard_id)
    if match is None:
        raise TransportError(f"{shard_id!r} is not the name of a shard: the order of shards is unknown")
    return int(match[1])


def holds(shard: Shard, point: Point) -> bool:
    """Whether a point lies in a shard."""
    return shard.number >= point.born and shard.first <= point.key <= shard.last


def with_new(points: Sequence[Point], shards: Iterable[Shard]) -> tuple[Point, ...]:
    """The points once each shard has one; those that were there keep their numbers."""
    grown = list(points)
    for shard in sorted(shards):
        if not any(holds(shard, point) for point in grown):
            grown.append(Point(shard.first, shard.number))
    return tuple(grown)


def lineage(point: Point, shards: Iterable[Shard]) -> list[Shard]:
    """The shards that a point lay in, oldest first, as far as the stream still has them."""
    return sorted(shard for shard in shards if holds(shard, point))


def partition_of(points: Sequence[Point], shard: Shard, claimed: int | None) -> int:
    """The partition of a record.

    Args:
        points: all points of the stream.
        shard: where the record is.
        claimed: the partition its envelope says; None for a record of others.

    Returns:
        The claimed one where that lies in the shard, else the shard's first one.
    """
    if claimed is not None and claimed < len(points) and holds(shard, points[claimed]):
        return claimed
    return min((point.key, number) for number, point in enumerate(points) if holds(shard, point))[1]
