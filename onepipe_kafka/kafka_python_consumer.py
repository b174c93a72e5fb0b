"""kafka-python's consumer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from kafka import OffsetAndMetadata
from kafka import TopicPartition as Place
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
)

from onepipe.transport import Bounds, Headers, Message, TopicPartition
from onepipe_kafka.client import Rebalance
from onepipe_kafka.errors import TIMED_OUT
from onepipe_kafka.kafka_python_group import Membership
from onepipe_kafka.kafka_python_setup import Setup

_RETRY_SECONDS: Final = 0.05
_LEAST_MILLISECONDS: Final = 5
"""Shortest wait: with none at all, kafka-python neither joins a group nor fetches."""

_new = tuple.__new__


class KafkaPythonConsumer:
    """See `onepipe_kafka.client.Consumer`."""

    def __init__(self, setup: Setup, group: str | None) -> None:
        self._setup = setup
        self._milliseconds = round(setup.config.timeout * 1000)
        self._timeout = setup.config.timeout
        self._consumer = setup.open(
            "consumer",
            group_id=group,
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            metrics_enabled=False,
        )
        self._membership: Membership | None = None
        self._given: frozenset[TopicPartition] = frozenset()
        self._positions: dict[TopicPartition, int] = {}
        self._lost: list[TopicPartition] = []

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, from these offsets."""
        self._given = frozenset(positions)
        self._consumer.assign([Place(*partition) for partition in positions])
        for partition, offset in positions.items():
            self.seek(partition, offset)

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Read what the group gives of these topics."""
        self._membership = Membership(self._consumer, rebalance)
        for topic in topics:  # a leader that did not know them would give nobody anything, and try again
            self._setup.call(partial(self._consumer.partitions_for_topic, topic))
        self._setup.call(lambda: self._consumer.subscribe(list(topics), listener=self._membership))

    def assignment(self) -> frozenset[TopicPartition]:
        """What is read now."""
        return self._given if self._membership is None else self._membership.held

    def poll(self, max_messages: int, timeout: float) -> list[Message]:
        """Messages that are there, else those that come first within `timeout` seconds."""
        begun = time.monotonic()
        try:
            if self._membership is not None and not self._membership.join(timeout):
                return []
            left = round((begun + timeout - time.monotonic()) * 1000)
            records = self._served(lambda: self._consumer.poll(max(_LEAST_MILLISECONDS, left), max_messages))
        except OffsetOutOfRangeError as error:
            self._lost += [TopicPartition(*place) for place in error.args[0]]
            return []
        except LogTruncationError as error:
            self._lost += [TopicPartition(*place) for place in error.divergent_offsets]
            return []
        except NoOffsetForPartitionError as error:
            self._lost += [TopicPartition(*place) for place in error.args if isinstance(place, Place)]
            return []
        except KafkaError as error:
            failure = self._setup.failure(error)
            if failure.code != TIMED_OUT:
                raise failure from error
            time.sleep(min(_RETRY_SECONDS, timeout))  # it connects anew at the next call
            return []
        for place, some in records.items():
            self._positions[TopicPartition(*place)] = some[-1].offset + 1
        return [
            _new(Message, (r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, _headers(r.headers)))
            for some in records.values()
            for r in some
        ]

    def take_lost(self) -> list[TopicPartition]:
        """Partitions whose position turned out to be outside of the log since this was asked last."""
        lost, self._lost = self._lost, []
        return lost

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next message; of a partition that is being taken, where it stood."""
        state = self._consumer._subscription.assignment.get(Place(*partition))  # noqa: SLF001 - the public way asks the
        if state is not None and state.position is not None:  # cluster, and fails where another one has none yet
            self._positions[partition] = state.position.offset
        return self._positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset."""
        self._positions[partition] = offset
        self._consumer.seek(Place(*partition), offset)

    def pause(self, partition: TopicPartition) -> None:
        """Return nothing of a partition."""
        self._consumer.pause(Place(*partition))

    def resume(self, partition: TopicPartition) -> None:
        """Return messages of a partition again."""
        self._consumer.resume(Place(*partition))

    def starts(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """First offsets kept."""
        places = [Place(*partition) for partition in partitions]
        found = self._setup.call(lambda: self._consumer.beginning_offsets(places, timeout_ms=self._milliseconds))
        return {TopicPartition(*place): offset for place, offset in found.items()}

    def bounds(self, partition: TopicPartition) -> Bounds:
        """First offset kept, and the end of what is committed."""
        place = Place(*partition)
        ends = self._setup.call(lambda: self._consumer.end_offsets([place], timeout_ms=self._milliseconds))
        return Bounds(self.starts([partition])[partition], ends[place])

    def offset_at(self, partition: TopicPartition, timestamp: int) -> int | None:
        """Offset of the first message stamped at or after `timestamp` (ms since 1970); None where there is none."""
        moments = {Place(*partition): max(0, timestamp)}
        found = self._setup.call(lambda: self._consumer.offsets_for_times(moments, timeout_ms=self._milliseconds))
        (first,) = found.values()
        return None if first is None else int(first.offset)

    def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Store offsets, each with a note, for the group."""
        wanted = {Place(*p): OffsetAndMetadata(offset, note, -1) for p, (offset, note) in offsets.items()}
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self._consumer.commit(wanted, timeout_ms=self._milliseconds)
            except RebalanceInProgressError as error:  # the others are still joining
                if time.monotonic() > deadline:
                    raise self._setup.failure(error) from error
                time.sleep(_RETRY_SECONDS)
            except KafkaError as error:
                raise self._setup.failure(error) from error
            else:
                return

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        """Stored offsets and notes of the group; without the partitions that have none."""
        stored: dict[TopicPartition, tuple[int, str]] = {}
        for partition in partitions:
            place = Place(*partition)
            found = self._setup.call(lambda: self._ask_committed(place))  # noqa: B023 - called at once
            if found is not None and found.offset >= 0:
                stored[partition] = found.offset, found.metadata or ""
        return stored

    def close(self) -> None:
        """Leave the group, which is told of what is revoked, and let go of every resource."""
        try:
            if self._membership is None:
                self._consumer.close()
            else:
                self._membership.leave(self._consumer.close)
        except KafkaError as error:
            raise self._setup.failure(error) from error
        finally:
            if self._membership is not None:
                self._membership.end()

    def _ask_committed(self, place: Place) -> Any:
        return self._consumer.committed(place, metadata=True, timeout_ms=self._milliseconds)

    def _served(self, call: Callable[[], Any]) -> Any:
        return call() if self._membership is None else self._membership.run(call)


def _headers(raw: Iterable[tuple[str, bytes | None]]) -> Headers:
    """Headers in order; a value of null, which only others write, is read as one without bytes."""
    return tuple((name, b"" if value is None else value) for name, value in raw) if raw else ()
