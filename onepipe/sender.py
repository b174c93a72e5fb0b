"""Sender: how a producer's messages get into the log within one writer epoch, numbered, vouched for and receipted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from onepipe import backpressure
from onepipe.arguments import milliseconds
from onepipe.audit.epoch import WriterEpoch
from onepipe.audit.header import AUDIT_HEADER, pack
from onepipe.audit.tally import Settled, Tally
from onepipe.errors import ClosedError, DeliveryError
from onepipe.receipt import Receipt
from onepipe.transport import OnOutcome, Outcome, Outgoing
from onepipe.undelivered import Undelivered
from onepipe.witness import Witness

if TYPE_CHECKING:
    from onepipe.audit.digest import Digest
    from onepipe.observe.events import Event
    from onepipe.topics import Topics
    from onepipe.transport import Headers, TopicDescription, Transport, Writer

_MANIFEST_ENTRIES: Final = 4096
_DUE_MASK: Final = 0xFF


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
        self.epoch = WriterEpoch(tally_every=tally_every)
        self._transport = transport
        self._audit = audit
        self._max_block = max_block
        self._clock = clock
        self._check_open = check_open
        self._witness = Witness(
            self.epoch, topics, application=application, clock=clock, append=self._append, tell=tell
        )
        self._writer: Writer | None = None
        self._open_writer: Writer | None = None  # the same, until messages are refused as the producer closes
        self._order = threading.RLock()
        self._receipts = threading.Lock()
        self._undelivered = Undelivered()
        self._closed = False

    def require_open(self) -> None:
        """Raise ClosedError where the producer or its pipeline is closed."""
        self._check_open()
        if self._closed:
            raise ClosedError("the producer is closed", remedy="make another: pipe.producer()")

    def tallies(self, description: TopicDescription, *, named: bool) -> list[Tally]:
        """The tallies of a topic, one a partition."""
        return self.epoch.tallies(description, named=named)

    def send(
        self,
        tally: Tally,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: int | None,
        digest: Digest,
    ) -> Receipt:
        """Send a message to the partition of a tally.

        Args:
            tally: of the topic and partition.
            key: the message's key.
            value: its value, frame included; None for a delete.
            headers: its headers, without that of the audit.
            timestamp: milliseconds since 1970; the clock's where None.
            digest: of the record.

        Raises:
            RecordTooLarge: larger than the transport takes. Nothing was sent.
            BufferFull: the transport took nothing for `max_block` seconds. Nothing was sent.
            ClosedError: the producer is closed.
        """
        if timestamp is None:
            timestamp = self._clock()
        receipt = Receipt(self, self._receipts, tally.topic, tally.partition, timestamp)
        with self._order:
            if self._open_writer is None:
                self._open()
            sequence = tally.next_sequence
            if self._audit:
                headers = ((AUDIT_HEADER, pack(self.epoch.id, sequence, digest[0])), *headers)

            def settle(outcome: Outcome) -> None:
                self._settle(receipt, tally, sequence, digest, key, outcome)

            try:
                self._append(Outgoing(tally.topic, tally.partition, key, value, headers, timestamp), settle)
                tally.next_sequence = sequence + 1
            except Exception:
                raise  # nothing was taken
            except BaseException:  # an interrupt: it may have been taken, so its number is not used again
                tally.next_sequence = sequence + 1
                settle(Outcome(None, None, DeliveryError("publishing was interrupted", indeterminate=True)))
                raise
        if self._audit:
            self._say_what_is_due(tally, sequence)
        return receipt

    def flush(self, timeout: float | None) -> None:
        """Wait until every message has its outcome, and publish tallies that are due.

        Raises:
            DeliveryError: as `Producer.flush`.
        """
        writer = self._writer
        if writer is None or self._closed:
            return
        if not writer.flush(timeout):
            raise DeliveryError(f"records are without outcome after {timeout} s", indeterminate=True)
        if self._audit and self.epoch.due and self._say_tallies():
            writer.flush(timeout)
        self._undelivered.raise_all()

    def refuse(self) -> bool:
        """Take no more messages; whether this is the first call."""
        with self._order:
            if self._closed:
                return False
            self._closed = True
            self._open_writer = None
            return True

    def close(self, timeout: float | None) -> None:
        """Wait for outcomes, publish the last tallies, close the epoch, and let go of the writer; after `refuse`.

        Raises:
            DeliveryError: as `Producer.close`.
        """
        if self._writer is None:
            return
        try:
            complete = self._writer.flush(timeout)
            if self._audit:
                self._say_tallies()
                if complete:
                    with self._order:
                        self._witness.say_closed()
                self._writer.flush(timeout)
        finally:
            self._writer.close()
        if self._audit:
            self._witness.tell_closed(complete=complete)
        self._undelivered.raise_all()

    def abandon(self) -> None:
        """Let go of the writer without a trace, in a forked child: it is the parent's."""
        self._writer = self._open_writer = None

    def serve(self, timeout: float) -> None:
        """Serve outcomes that are due, waiting up to `timeout` seconds for the first."""
        if self._writer is not None:
            self._writer.poll(timeout)

    def observed(self, receipt: Receipt) -> None:
        """Somebody asked a receipt for its outcome."""
        self._undelivered.observed(receipt)

    def _append(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        backpressure.append(cast("Writer", self._writer), message, on_outcome, self._max_block)

    def _open(self) -> None:
        """Open the writer, and the epoch: durably, before the first record."""
        self.require_open()
        milliseconds(self._clock())
        writer = self._writer = self._writer or self._transport.writer()
        if self._audit:
            self._witness.say_opened()
            writer.flush()
            self._witness.tell_opened()
        self._open_writer = writer

    def _settle(
        self, receipt: Receipt, tally: Tally, sequence: int, digest: Digest, key: bytes | None, outcome: Outcome
    ) -> None:
        if receipt.done:  # it was settled as interrupted before
            return
        offset, timestamp, error = outcome
        if error is not None:
            self._undelivered.add(receipt)
        if self._audit:
            indeterminate = isinstance(error, DeliveryError) and error.indeterminate
            stamped = receipt.timestamp if timestamp is None else timestamp
            self.epoch.settle(tally, sequence, Settled(offset, stamped, digest, key or b"", indeterminate))
        receipt._settle(outcome)  # noqa: SLF001 - a receipt is a part of its sender

    def _say_what_is_due(self, tally: Tally, sequence: int) -> None:
        if tally.manifest_length >= _MANIFEST_ENTRIES:
            with self._order:
                self._witness.say_tally(tally)
        if not sequence & _DUE_MASK and self.epoch.due:
            self._say_tallies()

    def _say_tallies(self) -> bool:
        with self._order:
            return self._witness.say_tallies()
