"""Producer: publishes records, each validated, encoded, framed, counted and receipted."""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from onepipe.arguments import UserHeaders, message_headers, milliseconds, require_a, require_choice, require_seconds
from onepipe.audit.digest import Digest, delete_digest, digest
from onepipe.audit.epoch import WriterEpoch
from onepipe.audit.evidence import EVIDENCE
from onepipe.audit.header import AUDIT_HEADER, DELETE_HEADER, pack
from onepipe.audit.tally import Settled, Tally
from onepipe.dead_letters import dead_letter_topic, rejected_letter
from onepipe.deletion import compile_deletion, deletion_fields
from onepipe.errors import BufferFull, ClosedError, ConfigurationError, DeliveryError, InvalidRecord
from onepipe.observe.events import EpochClosed, EpochOpened, Event
from onepipe.observe.rejections import Rejections
from onepipe.receipt import Receipt
from onepipe.route import Route
from onepipe.transport import Headers, Outcome, Outgoing

if TYPE_CHECKING:
    from onepipe.topic import Topic
    from onepipe.topics import Topics
    from onepipe.transport import Transport, Writer

_LOG = logging.getLogger(__name__)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FRAME_BYTES: Final = 5
_MANIFEST_ENTRIES: Final = 4096
_BLOCK_SECONDS: Final = 0.05
_DUE_MASK: Final = 0xFF
_NO_HEADERS: Final = ()
_TIMESTAMP: Final = "timestamp"

OnInvalid = Literal["raise", "dead_letter"]


def wall_clock() -> int:
    """Milliseconds since 1970-01-01T00:00Z."""
    return time.time_ns() // 1_000_000


def _always_open() -> None:
    """A producer without pipeline is closed by itself alone."""


class Producer:
    """Publishes records. Thread-safe; a forked child starts a writer epoch of its own.

    Delivery: a record counts as published when the transport acknowledged it, which its receipt tells. Ordering:
    records of one identity keep the order of their `publish` calls, as they share a partition. Leaving `with` waits for
    every outcome and raises what was not delivered.

    Made by `Pipeline.producer`.
    """

    def __init__(
        self,
        topics: Topics,
        transport: Transport,
        *,
        application: str | None = None,
        audit: bool = True,
        on_invalid: OnInvalid = "raise",
        max_block: float = 60.0,
        tally_every: float = 10.0,
        clock: Callable[[], int] = wall_clock,
        observer: Callable[[Event], None] | None = None,
        check_open: Callable[[], None] = _always_open,
        on_close: Callable[[Producer], None] | None = None,
    ) -> None:
        """Make a producer.

        Args:
            topics: the pipeline's topics.
            transport: where to publish.
            application: what the application calls itself, kept in the audit.
            audit: whether to vouch for what is published; without it the producer's hop is not covered.
            on_invalid: "raise" refuses an invalid record at the call; "dead_letter" publishes it with its faults to
                the topic's dead letters, and its receipt says so.
            max_block: seconds a full buffer may hold up `publish` before it raises BufferFull.
            tally_every: seconds between tallies while records are published.
            clock: milliseconds since 1970 for records published without a timestamp.
            observer: told of the epoch's begin and end, and of refused records.
            check_open: raises ClosedError where the pipeline is closed.
            on_close: told when the producer is closed.

        Raises:
            ConfigurationError: an argument has another form; says which values there are.
        """
        require_choice("on_invalid", on_invalid, OnInvalid)
        require_seconds("max_block", max_block)
        require_seconds("tally_every", tally_every)
        self._topics = topics
        self._transport = transport
        self._application = application
        self._audit = audit
        self._on_invalid = on_invalid
        self._max_block = max_block
        self._tally_every = tally_every
        self._clock = clock
        self._observer = observer
        self._check_open = check_open
        self._on_close = on_close
        self._closed = False
        self._begin()
        _PRODUCERS.add(self)

    def _begin(self) -> None:
        """Start with nothing published: a new epoch, new locks, no writer yet."""
        self._epoch = WriterEpoch(tally_every=self._tally_every)
        self._writer: Writer | None = None
        self._open_writer: Writer | None = None  # the same, until records are refused as the producer closes
        self._routes: dict[Any, Route] = {}
        self._undelivered: dict[int, Receipt] = {}
        self._order = threading.RLock()
        self._receipts = threading.Lock()
        self._rejections = Rejections(self._tell, self._tally_every)
        self._opened = 0.0

    def publish(
        self,
        record: Any,
        *,
        topic: type | Topic | str | None = None,
        headers: UserHeaders = _NO_HEADERS,
        timestamp: int | dt.datetime | None = None,
    ) -> Receipt:
        """Publish one record.

        Args:
            record: an instance of a record class, or a dict of the topic's fields.
            topic: where to publish; needed for a dict.
            headers: headers of your own to send along, as pairs of name and bytes or as a mapping.
            timestamp: of the message, as milliseconds since 1970-01-01T00:00Z or an aware datetime (cut to whole
                milliseconds); the producer's clock where None.

        Returns:
            A receipt; the record is on its way, and acknowledged once the receipt says so.

        Raises:
            InvalidRecord: the record breaks its declaration; lists every fault. Nothing was published.
            RecordTooLarge: larger than the transport takes. Nothing was published.
            BufferFull: the transport took nothing for `max_block` seconds. Nothing was published.
            DeclarationError: a dict without topic, or a record of another topic than the one named.
            ConfigurationError: headers or timestamp have another form, or a header's name is reserved.
            ClosedError: the producer or its pipeline is closed.
        """
        route = self._routes.get(type(record)) if topic is None else self._named(record, topic)
        if route is None:
            route = self._route(record, topic)
        if headers is not _NO_HEADERS or timestamp is not None:
            headers, timestamp = _checked(route, headers, timestamp)
        try:
            value = route.encode(record)
        except InvalidRecord as invalid:
            self._rejections.count(route.opened.topic.name)
            if self._on_invalid == "raise":
                raise
            return self._reject(route, record, invalid)
        key = route.key(record) if route.key is not None else None
        partition = route.partition(record, key)
        digest_ = digest(route.seed, value[_FRAME_BYTES:])
        return self._send(route, partition, key, value, headers, timestamp, digest_)

    def publish_many(self, records: Iterable[Any], *, topic: type | Topic | str | None = None) -> list[Receipt]:
        """Publish records in order; a receipt for each. Stops at the first that raises, as `publish` would.

        What came before that one is published all the same; `flush` tells whether it was delivered.
        """
        if isinstance(records, Mapping | str | bytes) or not isinstance(records, Iterable):
            raise ConfigurationError("records are published from a list or iterator", remedy="publish(record) for one")
        return [self.publish(record, topic=topic) for record in records]

    def delete(
        self,
        topic: type | Topic | str,
        identity: Mapping[str, Any] | None = None,
        /,
        *,
        timestamp: int | dt.datetime | None = None,
        **fields: Any,
    ) -> Receipt:
        """Delete by identity: publish a tombstone that competes by version like any record.

        Args:
            topic: a record class, a topic, or the name of a registered one.
            identity: fields as a dict; needed for one that is named `timestamp`, as the argument is.
            timestamp: of the message, as milliseconds since 1970-01-01T00:00Z or an aware datetime; the producer's
                clock where None.
            **fields: every field of the identity and of the version (the merge policy's `by`), those of the partition
                key if it has one, and perhaps the event time.

        Raises:
            InvalidRecord: a field is missing, not one of these, or of the wrong type; lists every fault.
            DeclarationError: the topic has no identity or no merge policy.
            ConfigurationError: the timestamp has another form, or might be the field of that name.
            ClosedError: the producer or its pipeline is closed.
        """
        route = self._named(None, topic) or self._route(None, topic)
        declared = route.opened.topic
        require_a(Mapping, "identity", identity, "a dict of fields")
        given = fields if identity is None else {**{str(name): value for name, value in identity.items()}, **fields}
        if timestamp is not None:
            if _TIMESTAMP in deletion_fields(declared) and _TIMESTAMP not in given:
                message = "timestamp= is the message's, and the topic has a field of that name"
                remedy = "give the field in a dict: delete(topic, {'timestamp': …}, …)"
                raise ConfigurationError(message, topic=declared.name, remedy=remedy)
            _, timestamp = _checked(route, _NO_HEADERS, timestamp)
        key, header = compile_deletion(declared)(given, route.opened.schema_id)
        partition = route.partition(given, key)
        headers = ((DELETE_HEADER, header),)
        return self._send(route, partition, key, None, headers, timestamp, delete_digest(key, header))

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every record published so far has its outcome.

        Args:
            timeout: seconds to wait at most; None waits as long as the transport takes.

        Raises:
            DeliveryError: records were not acknowledged (those whose receipt was not asked yet), or have no outcome
                after `timeout`.
        """
        require_seconds("timeout", timeout, optional=True)
        self._rejections.tell()
        writer = self._writer
        if writer is None or self._closed:
            return
        if not writer.flush(timeout):
            raise DeliveryError(f"records are without outcome after {timeout} s", indeterminate=True)
        if self._audit and self._epoch.due and self._publish_tallies():
            writer.flush(timeout)
        self._raise_undelivered()

    def close(self, timeout: float | None = None) -> None:
        """Flush, publish the last tallies, close the epoch, and let go of every resource. May be called again.

        Args:
            timeout: seconds to wait at most for outcomes; None waits as long as the transport takes.

        Raises:
            DeliveryError: as `flush`.
        """
        require_seconds("timeout", timeout, optional=True)
        with self._order:
            if self._closed:
                return
            self._closed = True
            self._open_writer = None
        _PRODUCERS.discard(self)
        if self._on_close is not None:
            self._on_close(self)
        self._rejections.tell()
        if self._writer is None:
            return
        try:
            complete = self._writer.flush(timeout)
            if self._audit:
                self._publish_tallies()
                if complete:
                    self._say(self._epoch.closing())
                self._writer.flush(timeout)
        finally:
            self._writer.close()
        if self._audit:
            self._tell_closed(complete=complete)
        self._raise_undelivered()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except DeliveryError as undelivered:
            if error is None:
                raise
            error.add_note(f"and leaving the producer: {undelivered}")

    def _named(self, record: Any, topic: type | Topic | str) -> Route | None:
        """The known route of a value to the topic that was named; None also for what names none."""
        try:
            return self._routes.get((type(record), topic))
        except TypeError:  # not hashable, so no name of a topic; `_route` says so
            return None

    def _route(self, record: Any, topic: type | Topic | str | None) -> Route:
        """Find, or compile, the route of a value that is published for the first time."""
        self._require_open()
        what = self._topics.of_value(record, topic)
        with self._order:
            route = self._routes.get(what)
            if route is None:
                opened = self._topics.open(what)
                tallies = self._epoch.tallies(opened.description, named=opened.topic.audit == "named")
                route = self._routes[what] = Route.compile(opened, tallies)
            if topic is not None:
                self._routes[type(record), topic] = route
            return route

    def _require_open(self) -> None:
        self._check_open()
        if self._closed:
            raise ClosedError("the producer is closed", remedy="make another: pipe.producer()")

    def _send(
        self,
        route: Route,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: int | None,
        digest_: Digest,
    ) -> Receipt:
        tally = route.tallies[partition]
        if timestamp is None:
            timestamp = self._clock()
        receipt = Receipt(self, self._receipts, tally.topic, partition, timestamp)
        with self._order:
            writer = self._open_writer or self._open()
            sequence = tally.next_sequence
            if self._audit:
                headers = ((AUDIT_HEADER, pack(self._epoch.id, sequence, digest_[0])), *headers)

            def settle(outcome: Outcome) -> None:
                self._settle(receipt, tally, sequence, digest_, key, outcome)

            try:
                self._append(writer, Outgoing(tally.topic, partition, key, value, headers, timestamp), settle)
                tally.next_sequence = sequence + 1
            except Exception:
                raise  # nothing was taken
            except BaseException:  # an interrupt: it may have been taken, so its number is not used again
                tally.next_sequence = sequence + 1
                settle(Outcome(None, None, DeliveryError("publishing was interrupted", indeterminate=True)))
                raise
        if self._audit:
            if tally.manifest_length >= _MANIFEST_ENTRIES:
                self._publish_tally(tally)
            if not sequence & _DUE_MASK and self._epoch.due:
                self._publish_tallies()
        return receipt

    def _settle(
        self, receipt: Receipt, tally: Tally, sequence: int, digest_: Digest, key: bytes | None, outcome: Outcome
    ) -> None:
        if receipt._outcome is not None:  # noqa: SLF001 - a part of its producer; it was settled as interrupted before
            return
        offset, timestamp, error = outcome
        if error is not None:
            self._undelivered[id(receipt)] = receipt
        if self._audit:
            indeterminate = isinstance(error, DeliveryError) and error.indeterminate
            stamped = receipt.timestamp if timestamp is None else timestamp
            self._epoch.settle(tally, sequence, Settled(offset, stamped, digest_, key or b"", indeterminate))
        receipt._settle(outcome)  # noqa: SLF001 - a receipt is a part of its producer

    def _append(self, writer: Writer, message: Outgoing, settle: Callable[[Outcome], None]) -> None:
        """Append, waiting for room for up to `max_block` seconds."""
        try:
            writer.append(message, settle)
            return
        except BufferFull:
            deadline = time.monotonic() + self._max_block
        while True:
            writer.poll(_BLOCK_SECONDS)
            try:
                writer.append(message, settle)
                return
            except BufferFull:
                if time.monotonic() >= deadline:
                    raise

    def _open(self) -> Writer:
        """Open the writer, and the epoch: durably, before the first record."""
        self._require_open()
        milliseconds(self._clock())
        writer = self._writer = self._writer or self._transport.writer()
        if self._audit:
            self._say(self._epoch.opening(self._application))
            writer.flush()
            self._opened = time.monotonic()
            self._tell(EpochOpened(epoch=self._epoch.id.hex(), application=self._application))
        self._open_writer = writer
        return writer

    def _publish_tally(self, tally: Tally) -> None:
        with self._order:
            evidence = self._epoch.next_tally(tally)
            if evidence is not None:
                self._say(evidence)

    def _publish_tallies(self) -> bool:
        """Publish the tallies that have news; whether there were any."""
        with self._order:
            tallies = self._epoch.next_tallies()
            for evidence in tallies:
                self._say(evidence)
        return bool(tallies)

    def _say(self, evidence: Mapping[str, Any]) -> None:
        """Publish a record of evidence; called between opening and closing the writer."""
        route = self._evidence_route()
        now = self._clock()
        value = route.encode({"at": _moment(now), **evidence})
        partition = self._epoch.id[0] % len(route.tallies)
        writer = cast("Writer", self._writer)
        self._append(writer, Outgoing(EVIDENCE.name, partition, self._epoch.id, value, (), now), _note_evidence)

    def _evidence_route(self) -> Route:
        """The route of evidence, which is still open while the producer closes."""
        route = self._routes.get(EVIDENCE)
        if route is None:
            opened = self._topics.open(EVIDENCE)
            tallies = self._epoch.tallies(opened.description, named=False)
            route = self._routes[EVIDENCE] = Route.compile(opened, tallies)
        return route

    def _reject(self, route: Route, record: Any, invalid: InvalidRecord) -> Receipt:
        letter = rejected_letter(route.opened.schema_id, record, invalid.faults, _moment(self._clock()))
        receipt = self.publish(letter, topic=dead_letter_topic(route.opened.topic.name))
        receipt.rejected = invalid.faults
        return receipt

    def _tell_closed(self, *, complete: bool) -> None:
        acknowledged, failed, indeterminate = self._epoch.outcomes()
        self._tell(
            EpochClosed(
                epoch=self._epoch.id.hex(),
                acknowledged=acknowledged,
                failed=failed,
                indeterminate=indeterminate,
                complete=complete,
                seconds=time.monotonic() - self._opened,
            )
        )

    def _tell(self, event: Event) -> None:
        if self._observer is not None:
            self._observer(event)

    def _serve(self, timeout: float) -> None:
        if self._writer is not None:
            self._writer.poll(timeout)

    def _observed(self, receipt: Receipt) -> None:
        self._undelivered.pop(id(receipt), None)

    def _raise_undelivered(self) -> None:
        failed = list(self._undelivered.values())
        self._undelivered.clear()
        if not failed:
            return
        first = failed[0]
        raise DeliveryError(
            f"{len(failed)} records were not delivered, the first because: {first.error}",
            topic=first.topic,
            partition=first.partition,
            indeterminate=any(isinstance(r.error, DeliveryError) and r.error.indeterminate for r in failed),
            remedy="their receipts tell each one's reason; publish them again",
        ) from first.error


def _checked(route: Route, headers: UserHeaders, timestamp: int | dt.datetime | None) -> tuple[Headers, int | None]:
    """A caller's headers and timestamp, as messages have them; an error names the topic."""
    try:
        return message_headers(headers), None if timestamp is None else milliseconds(timestamp)
    except ConfigurationError as error:
        error.topic = route.opened.topic.name
        raise


def _moment(timestamp: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(milliseconds=timestamp)


def _note_evidence(outcome: Outcome) -> None:
    if outcome.error is not None:
        _LOG.warning("evidence of published records was not delivered, the next tally covers it: %s", outcome.error)


_PRODUCERS: Final[weakref.WeakSet[Producer]] = weakref.WeakSet()


def _begin_in_child() -> None:
    """After a fork: no epoch, socket or lock of the parent's is used by the child."""
    for producer in list(_PRODUCERS):
        producer._begin()  # noqa: SLF001 - the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
