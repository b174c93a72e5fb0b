"""confluent-kafka's consumer.

Positions are kept here: librdkafka tells that of the last message it handed out, which is not that of the next one
where control records follow; an event at the end of a partition tells that one. A seek is a new assignment of the
partition alone, as librdkafka's own is refused while a partition starts, and after its position was lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported all the same

from onepipe.transport import Bounds, Headers, Message, TopicPartition
from onepipe_kafka.client import Rebalance
from onepipe_kafka.confluent_setup import Setup
from onepipe_kafka.errors import TIMED_OUT, Failure

_LOST: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})  # noqa: SLF001 - so named
_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - as above
_REJOINS: Final = KafkaError._MAX_POLL_EXCEEDED  # noqa: SLF001 - as above
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the package's types end here
_RETRY_SECONDS: Final = 0.05
_AT_ONCE: Final = 250
"""Messages taken from librdkafka at once. More of them leave the processor's caches before they are translated, which
makes each one cost up to twice as much."""
_BACKOFF: Final = "fetch.queue.backoff.ms"
_BACKOFF_MS: Final = 10
"""How long librdkafka fetches no more for a full queue. By its own second a fast reader finds the queue empty."""

_new = tuple.__new__


class ConfluentConsumer:
    """See `onepipe_kafka.client.Consumer`."""

    def __init__(self, setup: Setup, admin: AdminClient, group: str | None) -> None:
        """Open a consumer; without a group it is never a member of one, though librdkafka wants a name."""
        self._setup = setup
        self._admin = admin
        self._timeout = setup.config.timeout
        given = setup.config.role("consumer")
        broker_assigns = str(given.get("group.protocol", "")).lower() == "consumer"  # KIP-848
        own: dict[str, Any] = {} if broker_assigns else {"partition_assignment_strategy": "cooperative-sticky"}
        if _BACKOFF not in given:
            own["fetch_queue_backoff_ms"] = _BACKOFF_MS
        self._consumer = setup.open(
            Consumer,
            "consumer",
            group_id=group or "onepipe-without-group",
            auto_offset_reset="error",
            enable_auto_commit=False,
            enable_partition_eof=True,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            **own,
        )
        self._positions: dict[TopicPartition, int] = {}
        self._starting: set[TopicPartition] = set()
        self._sought: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._lost: list[TopicPartition] = []
        self._failure: Failure | None = None
        self._raised: BaseException | None = None
        self._changed: set[TopicPartition] = set()
        self._member = ""
        self._closing = False
        self._give_up: Callable[[frozenset[TopicPartition]], None] = self._drop

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, from these offsets; nothing is fetched before the first `poll`."""
        self._positions.update(positions)
        self._starting.update(positions)

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Read what the group gives of these topics."""

        def on_assign(given: list[ck.TopicPartition]) -> None:
            if self._closing:
                return
            partitions = frozenset(TopicPartition(one.topic, one.partition) for one in given)
            self._member = self._consumer.memberid()
            self._positions.update(dict.fromkeys(partitions, ck.OFFSET_INVALID))
            self._starting.update(partitions)
            self._changed.update(partitions)
            try:
                rebalance.assigned(partitions)
            finally:
                self._start(partitions)

        def give_up(partitions: frozenset[TopicPartition]) -> None:
            try:
                if partitions:
                    rebalance.revoked(partitions)
            finally:
                self._drop(partitions)

        def on_revoke(taken: list[ck.TopicPartition]) -> None:
            give_up(self._held(taken))

        def on_lost(taken: list[ck.TopicPartition]) -> None:
            partitions = self._held(taken)
            self._drop(partitions)
            if partitions:
                rebalance.lost(partitions)

        self._give_up = give_up
        self._consumer.subscribe(
            list(topics),
            on_assign=self._kept(on_assign),
            on_revoke=self._kept(on_revoke),
            on_lost=self._kept(on_lost),
        )

    def assignment(self) -> frozenset[TopicPartition]:
        """What is read now."""
        return frozenset(self._positions)

    def poll(self, max_messages: int, timeout: float) -> list[Message]:
        """Messages that are there, else those that come first within `timeout` seconds.

        Positions move once all of them are there: a listener that is told meanwhile that a partition goes finds it
        where the poll before left it, and the messages of this one are thrown away.
        """
        self._go()
        messages: list[Message] = []
        reached: dict[TopicPartition, int] = {}
        self._read(messages, reached, max_messages)
        if not messages and timeout > 0 and not self._lost and self._failure is None:
            self._take(messages, reached, 1, timeout)
            if messages:
                self._read(messages, reached, max_messages)
        for partition, offset in reached.items():
            self._positions[partition] = max(self._positions[partition], offset)
        if self._failure is not None and not messages:
            failure, self._failure = self._failure, None
            raise failure
        return messages

    def take_lost(self) -> list[TopicPartition]:
        """Partitions whose position turned out to be outside of the log since this was asked last."""
        lost, self._lost = self._lost, []
        return lost

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next message."""
        return self._positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset, with the next `poll`."""
        self._positions[partition] = offset
        self._changed.add(partition)
        if partition not in self._starting:
            self._sought.add(partition)

    def pause(self, partition: TopicPartition) -> None:
        """Return nothing of a partition."""
        if partition not in self._paused:
            self._paused.add(partition)
            if partition not in self._starting:
                self._consumer.pause([ck.TopicPartition(*partition)])

    def resume(self, partition: TopicPartition) -> None:
        """Return messages of a partition again, from where it stands."""
        if partition in self._paused:
            self._paused.discard(partition)
            if partition not in self._starting:
                self._consumer.resume([ck.TopicPartition(*partition)])

    def starts(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """First offsets kept."""
        wanted = {ck.TopicPartition(*partition): _EARLIEST for partition in partitions}
        if not wanted:
            return {}
        asked = self._admin.list_offsets(wanted, request_timeout=self._timeout)
        try:
            return {TopicPartition(p.topic, p.partition): f.result(self._timeout).offset for p, f in asked.items()}
        except KafkaException as error:
            raise self._setup.failure(error) from error
        except TimeoutError as error:
            raise Failure(TIMED_OUT, f"no answer within {self._timeout:g} s") from error

    def bounds(self, partition: TopicPartition) -> Bounds:
        """First offset kept, and the end of what is committed."""
        try:
            start, end = self._consumer.get_watermark_offsets(ck.TopicPartition(*partition), self._timeout)
        except KafkaException as error:
            raise self._setup.failure(error) from error
        return Bounds(start, end)

    def offset_at(self, partition: TopicPartition, timestamp: int) -> int | None:
        """Offset of the first message stamped at or after `timestamp` (ms since 1970); None where there is none."""
        asked = ck.TopicPartition(*partition, max(0, timestamp))
        try:
            (found,) = self._consumer.offsets_for_times([asked], self._timeout)
        except KafkaException as error:
            raise self._setup.failure(error) from error
        if found.error is not None:
            raise self._setup.failure(found.error)
        return found.offset if found.offset >= 0 else None

    def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        """Store offsets, each with a note, for the group.

        A member that the group threw out would be refused, but in an empty group taken for a reader without group.
        """
        if not self._closing and self._consumer.memberid() != self._member:  # which closing consumers do not tell
            raise Failure(KafkaError.UNKNOWN_MEMBER_ID, "the group takes this member for dead")
        wanted = [ck.TopicPartition(*p, offset, note) for p, (offset, note) in offsets.items()]
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                stored = self._consumer.commit(offsets=wanted, asynchronous=False)
                failures = [self._setup.failure(one.error) for one in stored if one.error is not None]
            except KafkaException as error:
                failures = [self._setup.failure(error)]
            if not failures:
                return
            if failures[0].code != KafkaError.REBALANCE_IN_PROGRESS or time.monotonic() > deadline:
                raise failures[0]
            time.sleep(_RETRY_SECONDS)  # the others are still joining

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        """Stored offsets and notes of the group; without the partitions that have none."""
        try:
            found = self._consumer.committed([ck.TopicPartition(*p) for p in partitions], self._timeout)
        except KafkaException as error:
            raise self._setup.failure(error) from error
        for one in found:
            if one.error is not None:
                raise self._setup.failure(one.error)
        return {TopicPartition(o.topic, o.partition): (o.offset, o.metadata or "") for o in found if o.offset >= 0}

    def close(self) -> None:
        """Leave the group, which is told of what is revoked, and let go of every resource."""
        self._closing = True
        try:
            self._give_up(self.assignment())  # librdkafka tells it only as it leaves, when commits may be refused
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            self._consumer.close()
        except KafkaException as error:
            raise self._setup.failure(error) from error

    def _go(self) -> None:
        """Begin to fetch what was assigned, and go where `seek` said."""
        if self._starting:
            self._start(frozenset(self._starting))
        if self._sought:
            sought, self._sought = self._sought & self._positions.keys(), set()
            self._consumer.incremental_unassign([ck.TopicPartition(*p) for p in sought])
            self._start(sought)

    def _start(self, partitions: Iterable[TopicPartition]) -> None:
        places = [ck.TopicPartition(*p, self._positions[p]) for p in partitions if p in self._positions]
        self._consumer.incremental_assign(places)
        self._starting.difference_update(partitions)
        paused = [ck.TopicPartition(*p) for p in partitions if p in self._paused]
        if paused:
            self._consumer.pause(paused)

    def _kept(self, tell: Callable[[list[ck.TopicPartition]], None]) -> Callable[[Consumer, Any], None]:
        """What librdkafka calls to tell something; what that raises is kept for `_take`.

        An error that passed through librdkafka would make it wait for ever when it is closed.
        """

        def told(_: Consumer, partitions: list[ck.TopicPartition]) -> None:
            try:
                tell(partitions)
            except BaseException as error:
                self._raised = self._raised or error

        return told

    def _raise_kept(self) -> None:
        """Raise what was raised while librdkafka told something."""
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def _held(self, partitions: Iterable[ck.TopicPartition]) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition(p.topic, p.partition) for p in partitions) & self._positions.keys()

    def _drop(self, partitions: frozenset[TopicPartition]) -> None:
        self._changed.update(partitions)
        for partition in partitions:
            del self._positions[partition]
        self._starting -= partitions
        self._sought -= partitions
        self._paused -= partitions

    def _read(self, messages: list[Message], reached: dict[TopicPartition, int], most: int) -> None:
        """Add messages that are there, up to `most` altogether."""
        while (left := most - len(messages)) > 0:
            wanted = min(left, _AT_ONCE)
            if self._take(messages, reached, wanted, 0.0) < wanted:
                return

    def _take(self, messages: list[Message], reached: dict[TopicPartition, int], count: int, timeout: float) -> int:
        """Add what librdkafka hands out in one call, and how far it reaches; how much that was, events included.

        Where it fails, or a listener did, the messages of this poll are read again by the next, as nobody gets them.
        """
        self._changed.clear()
        raw: list[ck.Message] = []
        try:
            raw = self._consumer.consume(count, timeout)
            self._raise_kept()
        except BaseException as failed:
            self._sought.update(reached, map(_place, raw))
            if isinstance(failed, KafkaException):
                raise self._setup.failure(failed) from failed
            raise
        took = len(raw)
        if self._changed:
            raw = self._still_wanted(raw, messages, reached)
        good = [one for one in raw if one.error() is None]
        if len(good) < len(raw):
            self._note([one for one in raw if one.error() is not None], reached)
        fresh, last = _translated(good)
        messages += fresh
        for (topic, number), offset in last.items():
            partition = TopicPartition(topic, number)
            reached[partition] = max(offset + 1, reached.get(partition, 0))
        return took

    def _still_wanted(
        self, raw: list[ck.Message], messages: list[Message], reached: dict[TopicPartition, int]
    ) -> list[ck.Message]:
        """Throw away what was read of partitions that came, went or were sought elsewhere meanwhile.

        Of what came in the same call as a change, librdkafka itself keeps back what was fetched before it.
        """
        messages[:] = [m for m in messages if m[:2] not in self._changed]
        for partition in self._changed:
            reached.pop(partition, None)
        wanted = self._positions.keys() - self._sought
        return [one for one in raw if _place(one) in wanted or one.error() is not None]

    def _note(self, events: Iterable[ck.Message], reached: dict[TopicPartition, int]) -> None:
        """Note what came in place of messages."""
        for event in events:
            error, partition, offset = event.error(), _place(event), event.offset()
            code = error.code() if error is not None else None
            present = partition in self._positions and partition not in self._sought
            if code == _END:
                if present and offset is not None:
                    reached[partition] = max(offset, reached.get(partition, 0))
            elif code in _LOST:
                if present:
                    self._lost.append(partition)
            elif code != _REJOINS and error is not None and not error.retriable():
                failure = self._setup.failure(error)
                if failure.code != TIMED_OUT:  # librdkafka goes on by itself
                    self._failure = failure


def _place(message: ck.Message) -> TopicPartition:
    number = message.partition()
    return TopicPartition(message.topic() or "", -1 if number is None else number)


def _translated(raw: Sequence[ck.Message]) -> tuple[list[Message], dict[Any, int]]:
    """Messages of librdkafka as the log's, field by field; and the offset of the last one by topic and partition."""
    topics = [one.topic() for one in raw]
    numbers = [one.partition() for one in raw]
    offsets: list[Any] = [one.offset() for one in raw]
    headers = [one.headers() for one in raw]
    fields = zip(
        topics,
        numbers,
        offsets,
        [one.timestamp()[1] for one in raw],
        [one.key() for one in raw],
        [one.value() for one in raw],
        [_headers(some) if some else () for some in headers],
        strict=True,
    )
    last = dict(zip(zip(topics, numbers, strict=True), offsets, strict=True))
    return list(map(_new, repeat(Message), fields)), last


def _headers(raw: Any) -> Headers:
    """Headers in order; a value of null, which only others write, is read as one without bytes."""
    for _, value in raw:
        if value is None:
            return tuple((name, b"" if value is None else value) for name, value in raw)
    return tuple(raw)
