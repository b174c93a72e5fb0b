"""The writer of a log on disk: messages wait for a batch, which is written, synced, and then acknowledged."""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from onepipe.errors import DeliveryError, TransportError
from onepipe.transport import OnOutcome, Outcome, Outgoing, TopicPartition
from onepipe_memory.disk_partition import DiskPartition
from onepipe_memory.errors import closed, too_large
from onepipe_memory.partition import payload_bytes

if TYPE_CHECKING:
    from onepipe_memory.log import Log
    from onepipe_memory.store import Closable


_Entry: TypeAlias = tuple[Outgoing, OnOutcome]
_Waiting: TypeAlias = dict[DiskPartition, list[_Entry]]
_Written: TypeAlias = tuple[DiskPartition, int]


class _Settled(NamedTuple):
    """Messages of one batch whose outcome is known: stored from offset `first` on, or failed by `error`."""

    entries: list[_Entry]
    first: int | None
    error: DeliveryError | None = None

    def outcome(self, index: int, timestamp: int) -> Outcome:
        """The outcome of one of them."""
        return Outcome(None, None, self.error) if self.first is None else Outcome(self.first + index, timestamp)


class DiskWriter:
    """Appends messages to a log on disk. Thread-safe.

    Waiting messages are written by the `append` that fills a batch, by the first `append` or `poll` once they waited
    for `linger_ms` (or as long as the last write took), by a `poll` with a timeout, and by `flush`; in the thread that
    calls. Outcomes are told by one thread at a time that calls one of these, without a lock held.

    An interrupt may come at any call. So a message is always in one of `_waiting`, `_taken` and `_due`, and goes from
    one into the next without a call between.
    """

    def __init__(self, log: Log, on_close: Callable[[Closable], None]) -> None:
        self._log = log
        self._config = log.config
        self._on_close = on_close
        self._closed = False
        self._partitions: dict[tuple[str, int], DiskPartition] = {}
        self._writing = threading.Lock()
        self._state = threading.Condition()
        self._waiting: _Waiting = {}
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._linger = self._config.linger_ms / 1000
        self._taken: _Waiting = {}  # what is being written, or was when an interrupt came
        self._due: deque[_Settled] = deque()
        self._told = 0  # so many messages of the first batch that is due
        self._teller: int | None = None  # the thread that tells

    def append(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Take a message into the next batch."""
        self._check_open()
        partition = self._partitions.get(message[:2])
        if partition is None or partition.deleted:
            partition = self._find(message)
        size = payload_bytes(message.key, message.value, message.headers)
        if size > self._config.max_message_bytes:
            raise too_large(message.topic, message.partition, size, self._config.max_message_bytes)
        with self._state:
            self._check_open()
            if not self._waiting:
                self._waiting_since = time.monotonic()
            entries = self._waiting.get(partition)
            if entries is None:
                self._waiting[partition] = [(message, on_outcome)]
            else:
                entries += ((message, on_outcome),)
            self._waiting_bytes += size
            due = self._waiting_bytes >= self._config.batch_bytes or self._lingered()
        if due:
            self._write()
            self._tell()

    def poll(self, timeout: float = 0.0) -> None:
        """Tell outcomes that are due; with a timeout, write what waits for that."""
        self._check_open()
        if self._taken or (self._waiting and (timeout > 0 or self._lingered())):
            self._write()
        self._tell()

    def flush(self, timeout: float | None = None) -> bool:
        """Write what waits, and wait until every message has its outcome; False at once in an outcome's callback."""
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        self._write()
        while True:
            self._tell()
            with self._state:
                if not self._due:
                    return True
                left = 0.05 if deadline is None else deadline - time.monotonic()
                if left <= 0 or self._teller == threading.get_ident():
                    return False
                self._state.wait(min(left, 0.05))

    def close(self) -> None:
        """Take no more messages; those not written yet fail. May be called again."""
        with self._writing:
            if self._closed:
                return
            self._fail_interrupted()
            with self._state:
                self._closed = True
                self._take()
            for partition in list(self._taken):
                self._fail(partition, "the writer was closed before it was written", indeterminate=False)
        self._tell()
        self._on_close(self)

    def _write(self) -> None:
        """Write and sync a batch for each partition. One thread at a time, so that order is kept."""
        written: list[_Written] = []
        with self._writing:
            began = time.monotonic()
            self._fail_interrupted()
            with self._state:
                self._take()
            self._append(written)
            self._sync(written)
            # On a slow disk batches grow, so that no more than half of the time is spent waiting for it.
            self._linger = max(self._config.linger_ms / 1000, time.monotonic() - began)
        if written:
            self._log.wake()

    def _take(self) -> None:
        """Take what waits, to be written."""
        self._taken, self._waiting, self._waiting_bytes = self._waiting, {}, 0

    def _fail_interrupted(self) -> None:
        """Have the outcome told of what was taken by a write that an interrupt ended: it may be in the log."""
        for partition in list(self._taken):
            self._fail(partition, "writing was interrupted", indeterminate=True)

    def _append(self, written: list[_Written]) -> None:
        """Append a batch to each partition; what cannot be has its outcome, and is taken no more."""
        for partition, entries in list(self._taken.items()):
            try:
                written.append((partition, partition.append([message for message, _ in entries])))
            except TransportError as error:
                self._fail(partition, error.message, indeterminate=False)
            except (struct.error, TypeError, ValueError) as error:  # a message has not the port's form
                self._fail(partition, f"it cannot be written: {type(error).__name__}", indeterminate=False)

    def _sync(self, written: list[_Written]) -> None:
        """Sync each partition, after which its messages have their outcome."""
        for partition, first in written:
            try:
                if self._config.sync == "disk":
                    partition.sync()
            except TransportError as error:
                self._fail(partition, error.message, indeterminate=True)
            else:
                self._settle(partition, _Settled(self._taken[partition], first))

    def _fail(self, partition: DiskPartition, why: str, *, indeterminate: bool) -> None:
        error = DeliveryError(why, topic=partition.topic, partition=partition.number, indeterminate=indeterminate)
        self._settle(partition, _Settled(self._taken[partition], None, error))

    def _settle(self, partition: DiskPartition, settled: _Settled) -> None:
        """Have the outcome of a partition's messages told; they are taken no more."""
        self._due += (settled,)
        del self._taken[partition]

    def _tell(self) -> None:
        """Tell what is due, unless a thread is at it: another one, or this one, which a callback called.

        Should a callback raise, the others are told next time, an interrupted one again.
        """
        me = threading.get_ident()
        if self._teller == me:
            return
        try:
            with self._state:
                if self._teller is not None:
                    return
                self._teller = me
            while self._due:
                self._tell_batch(self._due[0])
                del self._due[0]
                self._told = 0
        finally:
            if self._teller == me:
                self._teller = None
        with self._state:
            self._state.notify_all()

    def _tell_batch(self, settled: _Settled) -> None:
        """Tell the outcomes of a batch that were not told before."""
        told = self._told
        try:
            for message, on_outcome in settled.entries[told:]:
                outcome = settled.outcome(told, message.timestamp)
                try:
                    on_outcome(outcome)
                except Exception:
                    told += 1
                    raise
                told += 1
        finally:
            self._told = told

    def _lingered(self) -> bool:
        return time.monotonic() - self._waiting_since >= self._linger

    def _find(self, message: Outgoing) -> DiskPartition:
        wanted = TopicPartition(message.topic, message.partition)
        partition = cast("DiskPartition", self._log.partition(wanted))
        partition.open_for_append()
        self._partitions[wanted] = partition
        return partition

    def _check_open(self) -> None:
        self._log.check_usable()
        if self._closed:
            raise closed("writer")
