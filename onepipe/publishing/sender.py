"""Sender: how a producer's messages get into the log within one writer epoch, numbered, vouched for and receipted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from xxhash import xxh3_128_digest

from onepipe.errors import BufferFull, ClosedError, ConfigurationError, DeliveryError
from onepipe.evidence.digest import deletion_body
from onepipe.evidence.epoch import WriterEpoch
from onepipe.evidence.header import AUDIT_HEADER, packer
from onepipe.publishing import backpressure
from onepipe.publishing.receipt import Receipt
from onepipe.publishing.stream import RUN, Stream, interrupted
from onepipe.publishing.undelivered import Undelivered
from onepipe.publishing.witness import Witness
from onepipe.transport import Capability, OnOutcome, Outgoing

if TYPE_CHECKING:
    from onepipe.observe.events import Event
    from onepipe.topics import Topics
    from onepipe.transport import Headers, TopicDescription, Transport, Writer

_MANIFEST_ENTRIES: Final = 4096
_COUNT_MASK: Final = RUN - 1
_FRAME_BYTES: Final = 5

_new = tuple.__new__


class Sender:
    """Sends one producer's messages within one writer epoch. Thread-safe.

    Ordering: messages to one partition are stored in the order of the calls of `send`, which their sequences follow.

    Args:
        topics: the pipeline's topics.
        transport: the log.
        audit: whether to vouch for what is sent.
        application: what the application calls itself.
        max_block: seconds a full buffer may hold up `send`.
        tally_every: seconds between tallies.
        clock: milliseconds since 1970, for messages without a timestamp.
        tell: told of the epoch's begin and end.
        check_open: raises ClosedError where the pipeline is closed.

    Attributes:
        callbacks: guards the callbacks of receipts.
        undelivered: messages that were not acknowledged, and that nobody asked for yet.
    """

    def __init__(
        self,
        topics: Topics,
        transport: Transport,
        *,
        audit: bool,
        application: str | None,
        max_block: float,
        tally_every: float,
        clock: Callable[[], int],
        tell: Callable[[Event], None],
        check_open: Callable[[], None],
    ) -> None:
        self.callbacks = threading.Lock()
        self.undelivered = Undelivered()
        self._transport = transport
        self._max_block = max_block
        self._clock = clock
        self._check_open = check_open
        self._order = threading.RLock()
        self._at_work = False  # whether the thread that holds the lock is amid numbering, sending or counting
        self._streams: dict[str, list[Stream]] = {}
        self._writer: Writer | None = None
        self._writers: dict[str, Writer] = {}  # the same, by topics that were opened; none once messages are refused
        self._closed = False
        self._witness = self._pack_header = None
        if audit:
            epoch = WriterEpoch(tally_every=tally_every)
            self._pack_header = packer(epoch.id)
            self._witness = Witness(epoch, topics, application=application, clock=clock, append=self._append, tell=tell)

    @property
    def epoch(self) -> bytes | None:
        """The writer epoch, 16 random bytes; None where nothing is vouched for."""
        return self._witness.epoch.id if self._witness is not None else None

    @property
    def closed(self) -> bool:
        """Whether it takes no more messages."""
        return self._closed

    def require_open(self) -> None:
        """Raise ClosedError where the producer or its pipeline is closed."""
        self._check_open()
        if self._closed:
            raise ClosedError("the producer is closed", remedy="make another: pipe.producer()")

    def streams(self, description: TopicDescription, *, named: bool) -> list[Stream]:
        """The streams of a topic, one a partition; the same ones at each call. Called by one thread at a time.

        Raises:
            ConfigurationError: the topic is audited by name, and the log does not tell where it stored a record.
        """
        streams = self._streams.get(description.name)
        if streams is None:
            if named and self._witness is not None:
                _require_offsets(description.name, self._transport)
            partitions = range(description.partitions)
            streams = [Stream(description, partition, named=named) for partition in partitions]
            self._streams[description.name] = streams
        return streams

    def send(
        self,
        stream: Stream,
        seed: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: int | None,
    ) -> Receipt:
        """Send a message to the topic and partition of a stream.

        Args:
            stream: where to.
            seed: of the record's digest.
            key: the message's key.
            value: its value, frame included; None for a delete.
            headers: its headers, without that of the audit.
            timestamp: milliseconds since 1970; the clock's where None.

        Raises:
            RecordTooLarge: larger than the transport takes. Nothing was sent.
            BufferFull: the transport took nothing for `max_block` seconds. Nothing was sent.
            ClosedError: the producer is closed.
            ConfigurationError: a signal handler calls this, amid the sending of another. Nothing was sent.
        """
        if timestamp is None:
            timestamp = self._clock()
        digest, sequence, pack_header = b"", 0, self._pack_header
        if pack_header is not None:
            body = value[_FRAME_BYTES:] if value is not None else deletion_body(key or b"", headers[0][1])
            digest = xxh3_128_digest(body, seed)
        receipt = Receipt(self, stream, timestamp, key, digest)
        with self._order:
            if self._at_work:
                raise _amid_work(stream.topic)
            try:
                self._at_work = True
                writer = self._writers.get(stream.topic) or self._open(stream.topic)
                if pack_header is not None:
                    tally, waiting = stream.account
                    sequence = tally.sequence_end + len(waiting)
                    header = (AUDIT_HEADER, pack_header(sequence, digest))
                    headers = (header, *headers) if headers else (header,)
                message = _new(Outgoing, (stream.topic, stream.partition, key, value, headers, timestamp))
                try:
                    if pack_header is not None:
                        stream.account[1].append(receipt)
                    writer.append(message, receipt._settle)  # noqa: SLF001 - a receipt is a part of its sender
                except BaseException as error:
                    self._append_again(error, message, stream, receipt)
            finally:
                self._at_work = False
        if pack_header is not None and not sequence & _COUNT_MASK:
            self._count(stream)
        return receipt

    @contextmanager
    def calling_back(self) -> Iterator[None]:
        """Let a receipt's callback publish, also where this thread calls it amid sending: no number is open then."""
        amid_work = False
        if self._order.acquire(blocking=False):  # else another thread is at work
            amid_work, self._at_work = self._at_work, False
            self._order.release()
        try:
            yield
        finally:
            if amid_work:
                self._at_work = True

    def flush(self, timeout: float | None) -> None:
        """Wait until every message has its outcome, and publish tallies that are due.

        Raises:
            DeliveryError: as `Producer.flush`.
        """
        writer, witness = self._writer, self._witness
        if writer is None or self._closed:
            return
        if not writer.flush(timeout):
            if timeout is None:
                message, remedy = "a receipt's callback cannot wait for outcomes", "flush where no callback is running"
                raise DeliveryError(message, indeterminate=True, remedy=remedy)
            raise DeliveryError(f"records are without outcome after {timeout} s", indeterminate=True)
        if witness is not None and witness.due and self._say_tallies(witness):
            writer.flush(timeout)
        self.undelivered.raise_all()

    def refuse(self) -> bool:
        """Take no more messages; whether this is the first call."""
        with self._order:
            if self._closed:
                return False
            self._closed = True
            self._writers = {}
            return True

    def close(self, timeout: float | None) -> None:
        """Wait for outcomes, publish the last tallies, close the epoch, and let go of the writer; after `refuse`.

        Raises:
            DeliveryError: as `Producer.close`.
        """
        writer, witness = self._writer, self._witness
        if writer is None:
            return
        try:
            complete = writer.flush(timeout)
            if witness is not None:
                complete = self._say_all(witness, writer, timeout, complete=complete)
        finally:
            writer.close()
        if witness is not None:
            witness.tell_closed([stream.tally for stream in self._all_streams()], complete=complete)
        self.undelivered.raise_all()

    def abandon(self) -> None:
        """Let go of the writer without a trace, in a forked child: it is the parent's."""
        self._writer, self._writers = None, {}

    def serve(self, timeout: float) -> None:
        """Serve outcomes that are due, waiting up to `timeout` seconds for the first."""
        if self._writer is not None:
            self._writer.poll(timeout)

    def _append(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        backpressure.append(cast("Writer", self._writer), message, on_outcome, self._max_block)

    def _append_again(self, error: BaseException, message: Outgoing, stream: Stream, receipt: Receipt) -> None:
        """Go on after an append that raised: wait for room, or take the message back."""
        settle = receipt._settle  # noqa: SLF001 - a receipt is a part of its sender
        try:
            if not isinstance(error, BufferFull):
                raise error
            self._append(message, settle)
        except Exception as refused:
            stream.withdraw(receipt, refused)
            raise
        except BaseException:  # an interrupt: it may have been taken, so its number is not used again
            settle(interrupted())
            raise

    def _open(self, topic: str) -> Writer:
        """Open the writer, and the epoch in a topic: durably before the topic's first record.

        A receipt's callback cannot wait. Where it sends the first record to a topic, the opening goes ahead of it all
        the same; should the log keep the record alone, its writer is unknown to the audit until the next tally.
        """
        self.require_open()
        writer = self._writer = self._writer or self._transport.writer()
        if self._witness is not None:
            self._witness.say_opened(topic)
            writer.flush()
            if not self._writers:
                self._witness.tell_opened()
        self._writers[topic] = writer
        return writer

    def _count(self, stream: Stream) -> None:
        """Count records of a stream whose outcome is known, and publish tallies that are due."""
        witness = cast("Witness", self._witness)
        with self._order:
            if self._at_work:
                raise _amid_work(stream.topic)
            try:
                self._at_work = True
                stream.count_runs()
                if stream.tally.manifest_length >= _MANIFEST_ENTRIES:
                    witness.say_tally(stream)
            finally:
                self._at_work = False
        if witness.due:
            self._say_tallies(witness)

    def _say_tallies(self, witness: Witness) -> bool:
        """Publish the tallies that have news; whether there were any."""
        with self._order:
            if self._at_work:
                raise _amid_work(None)
            try:
                self._at_work = True
                streams = self._all_streams()
                for stream in streams:
                    stream.count()
                said = witness.say_tallies(streams)
            finally:
                self._at_work = False
        return said

    def _say_all(self, witness: Witness, writer: Writer, timeout: float | None, *, complete: bool) -> bool:
        """Publish the last tallies, and, once the log has them, that the epoch ended; whether it has."""
        streams = self._all_streams()
        if complete:
            for stream in streams:
                stream.give_up()
        if self._say_tallies(witness):
            writer.flush(timeout)
        complete = complete and not any(stream.untold for stream in streams)
        if complete:
            witness.say_closed()
            writer.flush(timeout)
        return complete

    def _all_streams(self) -> list[Stream]:
        return [stream for streams in list(self._streams.values()) for stream in streams]


def _amid_work(topic: str | None) -> ConfigurationError:
    message = "a signal handler cannot publish here, as it interrupted the producer amid sending another record"
    return ConfigurationError(message, topic=topic, remedy="let the handler set a flag, and publish where it is read")


def _require_offsets(topic: str, transport: Transport) -> None:
    if Capability.ACKNOWLEDGED_OFFSETS not in transport.capabilities:
        message = "the log does not tell where it stored a record, so records cannot be audited by name"
        raise ConfigurationError(message, topic=topic, remedy='declare audit="counted"')
