"""What is known of a region's streams: their identity, their shards, and the points of their partitions."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

import attrs

from onepipe.errors import TopicNotFound
from onepipe_kinesis.api import KinesisApi, Stream
from onepipe_kinesis.errors import PASSING, Failure, no_topic, replaced, translated
from onepipe_kinesis.points import Point, Shard, with_new
from onepipe_kinesis.store import Store, update

_POINTS: Final = "points"
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0

T = TypeVar("T")


class Closable(Protocol):
    """What a transport closes with itself."""

    def close(self) -> None:
        """Let go of every resource. May be called again."""


@attrs.frozen
class Layout:
    """The partitions of a stream, as they were seen last.

    Attributes:
        log: identity of this incarnation of the stream.
        retention_ms: how long it keeps records.
        mode: "PROVISIONED" or "ON_DEMAND".
        shards: those that hold records.
        points: of the partitions, by number.
        parents: of each shard that one was split into or two were merged into, by its number.
    """

    log: str
    retention_ms: int
    mode: str
    shards: tuple[Shard, ...]
    points: tuple[Point, ...]
    parents: Mapping[int, tuple[int, ...]]


def identity(stream: Stream) -> str:
    """The identity of a stream: its resource name and the time it was created, safe in paths."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", stream.arn.removeprefix("arn:"))
    return f"{name}-{stream.created}"


def backoff(attempt: int) -> float:
    """Seconds to wait before an attempt: more each time, and spread."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads the attempts, guards nothing


class Streams:
    """The streams of a region. Thread-safe.

    Attributes:
        api: Kinesis.
        store: what clients share.
        timeout: seconds for which calls are tried again.
    """

    def __init__(self, api: KinesisApi, store: Store, timeout: float) -> None:
        self.api = api
        self.store = store
        self.timeout = timeout
        self._layouts: dict[str, Layout] = {}
        self._lock = threading.Lock()

    def call(self, call: Callable[[], T], what: str, *, topic: str | None = None, partition: int | None = None) -> T:
        """Call Kinesis, again where a limit was reached or no answer came; a failure is raised in onepipe's terms.

        Args:
            call: what raises Failure, and may be done twice.
            what: what it means that this failed: "the topic cannot be described".
            topic: name of the topic it is about.
            partition: number of the partition it is about.
        """
        deadline = time.monotonic() + self.timeout
        attempt = 0
        while True:
            try:
                return call()
            except Failure as failure:
                if failure.code not in PASSING or time.monotonic() >= deadline:
                    raise translated(failure, what, topic=topic, partition=partition) from failure
            time.sleep(backoff(attempt))
            attempt += 1

    def look(self, name: str) -> Stream | None:
        """A stream as it is now, or None where there is none, or none any more."""
        try:
            stream = self.call(lambda: self.api.stream(name), "the topic cannot be described", topic=name)
        except TopicNotFound:
            return None
        return None if stream.deleting else stream

    def layout(self, name: str) -> Layout:
        """The partitions of a stream, as this client saw them last.

        Raises:
            TopicNotFound: there is none of that name.
        """
        known = self._layouts.get(name)
        return known if known is not None else self.refresh(name)

    def known(self, name: str) -> Layout | None:
        """The same where this client looked before; else None, and nothing is asked."""
        return self._layouts.get(name)

    def refresh(self, name: str) -> Layout:
        """The partitions of a stream as they are now; shards without a point get one.

        Raises:
            TopicNotFound: there is none of that name.
        """
        stream = self.look(name)
        if stream is None or not stream.active:
            self.forget(name)
            raise no_topic(name)
        log = identity(stream)
        shards = self.call(lambda: self.api.shards(name), "the topic's shards cannot be listed", topic=name)
        points = self._points(log, shards)
        parents = {shard.number: shard.parents for shard in shards if shard.parents}
        layout = Layout(log, stream.retention_ms, stream.mode, tuple(sorted(shards)), points, parents)
        with self._lock:
            self._layouts[name] = layout
        return layout

    def of_log(self, name: str, log: str, *, anew: bool = False) -> Layout:
        """The partitions of a log that is read, as this client saw them last, or as they are now.

        Raises:
            TopicNotFound: the stream was deleted.
            PositionLost: it was deleted and created again.
        """
        layout = self.layout(name)
        if anew or layout.log != log:
            layout = self.refresh(name)
        if layout.log != log:
            raise replaced(name)
        return layout

    def confirm(self, name: str, log: str) -> None:
        """Look whether a stream is still this log. Errors as `of_log`."""
        stream = self.look(name)
        if stream is None:
            self.forget(name)
            raise no_topic(name)
        if identity(stream) != log:
            self.forget(name)
            raise replaced(name)

    def forget(self, name: str) -> None:
        """A stream was deleted."""
        with self._lock:
            self._layouts.pop(name, None)

    def _points(self, log: str, shards: list[Shard]) -> tuple[Point, ...]:
        def grow(text: str | None) -> tuple[str | None, tuple[Point, ...]]:
            present = tuple(Point(int(key), born) for key, born in json.loads(text)) if text is not None else ()
            points = with_new(present, shards)
            document = json.dumps([[str(point.key), point.born] for point in points]) if points != present else None
            return document, points

        return update(self.store, log, _POINTS, grow)
