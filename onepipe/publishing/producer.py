"""Producer: publishes records, each validated, encoded, framed, counted and receipted."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from onepipe.arguments import UserHeaders, message_headers, milliseconds, require_a, require_choice, require_seconds
from onepipe.bodies.deletion import compile_deletion, deletion_fields
from onepipe.dead_letters.topic import dead_letter_topic, rejected_letter
from onepipe.errors import ConfigurationError, DeliveryError, InvalidRecord
from onepipe.evidence.digest import DELETE_SEED
from onepipe.evidence.header import DELETE_HEADER
from onepipe.observe.rejections import Rejections
from onepipe.publishing.route import Route
from onepipe.publishing.sender import Sender
from onepipe.publishing.witness import moment

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.observe.events import Event
    from onepipe.publishing.receipt import Receipt
    from onepipe.topics import Topics
    from onepipe.transport import Headers, Transport

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
    every outcome and raises what was not delivered. A signal handler may publish, unless it interrupted the producer
    amid sending: that is a ConfigurationError, and nothing is published.

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
        self._on_invalid = on_invalid
        self._tally_every = tally_every
        self._clock = clock
        self._observer = observer
        self._on_close = on_close
        self._new_sender = partial(
            Sender,
            topics,
            transport,
            audit=audit,
            application=application,
            max_block=max_block,
            tally_every=tally_every,
            clock=clock,
            tell=self._tell,
            check_open=check_open,
        )
        self._begin()
        _PRODUCERS.add(self)

    def _begin(self) -> None:
        """Start with nothing published: a new epoch, new locks, no writer yet."""
        self._sender = self._new_sender()
        self._routes: dict[Any, Route] = {}
        self._compiling = threading.Lock()
        self._rejections = Rejections(self._tell, self._tally_every)

    def _begin_again(self) -> None:
        """Begin in a forked child."""
        self._sender.abandon()
        self._begin()

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
        return self._sender.send(route.streams[partition], route.seed, key, value, headers, timestamp)

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
        return self._sender.send(route.streams[partition], DELETE_SEED, key, None, headers, timestamp)

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
        self._sender.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush, publish the last tallies, close the epoch, and let go of every resource. May be called again.

        Args:
            timeout: seconds to wait at most for outcomes; None waits as long as the transport takes.

        Raises:
            DeliveryError: as `flush`.
        """
        require_seconds("timeout", timeout, optional=True)
        if not self._sender.refuse():
            return
        _PRODUCERS.discard(self)
        if self._on_close is not None:
            self._on_close(self)
        self._rejections.tell()
        self._sender.close(timeout)

    def __repr__(self) -> str:
        epoch = self._sender.epoch
        writer = "without evidence" if epoch is None else f"writer {epoch.hex()[:8]}"
        return f"<Producer {writer}{' closed' if self._sender.closed else ''}>"

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
        self._sender.require_open()
        what = self._topics.of_value(record, topic)
        with self._compiling:
            route = self._routes.get(what)
            if route is None:
                opened = self._topics.open(what)
                streams = self._sender.streams(opened.description, named=opened.topic.audit == "named")
                route = self._routes[what] = Route.compile(opened, streams)
            if topic is not None:
                self._routes[type(record), topic] = route
            return route

    def _reject(self, route: Route, record: Any, invalid: InvalidRecord) -> Receipt:
        letter = rejected_letter(route.opened.schema_id, record, invalid.faults, moment(self._clock()))
        receipt = self.publish(letter, topic=dead_letter_topic(route.opened.topic.name))
        receipt.rejected = invalid.faults
        return receipt

    def _tell(self, event: Event) -> None:
        if self._observer is not None:
            self._observer(event)


def _checked(route: Route, headers: UserHeaders, timestamp: int | dt.datetime | None) -> tuple[Headers, int | None]:
    """A caller's headers and timestamp, as messages have them; an error names the topic."""
    try:
        return message_headers(headers), None if timestamp is None else milliseconds(timestamp)
    except ConfigurationError as error:
        error.topic = route.opened.topic.name
        raise


_PRODUCERS: Final[weakref.WeakSet[Producer]] = weakref.WeakSet()


def _begin_in_child() -> None:
    """After a fork: no epoch, socket or lock of the parent's is used by the child."""
    for producer in list(_PRODUCERS):
        producer._begin_again()  # noqa: SLF001 - the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
