"""The writer of a log on disk: messages wait for a batch, which is written, synced, and then acknowledged."""

from __future__ import annotations

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


class _Settled(NamedTuple):
    """Messages of one batch whose outcome is known: stored from offset `first` on, or failed by `error`."""

    entries: list[_Entry]
    first: int | None
    error: DeliveryError | None = None

    def outcome(self, index: int, timestamp: int) -> Outcome:
        """The outcome of one of them."""
        return Outcome(None, None, self.error) if self.first is None else Outcome(self.first + index, timestamp)

    def after(self, count: int) -> _Settled:
        """The same without the first `count`."""
        return _Settled(self.entries[count:], None if self.first is None else self.first + count, self.error)


class DiskWriter:
    """Appends messages to a log on disk. Thread-safe.

    Waiting messages are written by the `append` that fills a batch, by the first `append` or `poll` once they waited
    for `linger_ms` (or as long as the last write took), by a `poll` with a timeout, and by `flush`; in the thread that
    calls. Outcomes are told by a thread that calls one of these, without a lock held.
    """

    def __init__(self, log: Log, on_close: Callable[[Closable], None]) -> None:
        self._log = log
        self._config = log.config
        self._on_close = on_close
        self._closed = False
        self._partitions: dict[tuple[str, int], DiskPartition] = {}
        self._writing = threading.Lock()
        self._state = threading.Condition()
        self._waiting: dict[DiskPartition, list[_Entry]] = {}
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._linger = self._config.linger_ms / 1000
        self._unsettled = 0
        self._due: deque[_Settled] = deque()

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
            self._waiting.setdefault(partition, []).append((message, on_outcome))
            self._waiting_bytes += size
            self._unsettled += 1
            due = self._waiting_bytes >= self._config.batch_bytes or self._lingered()
        if due:
            self._write()
            self._tell()

    def poll(self, timeout: float = 0.0) -> None:
        """Tell outcomes that are due; with a timeout, write what waits for that."""
        self._check_open()
        if self._waiting and (timeout > 0 or self._lingered()):
            self._write()
        self._tell()

    def flush(self, timeout: float | None = None) -> bool:
        """Write what waits, and wait until every message has its outcome."""
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._write()
            self._tell()
            with self._state:
                if self._unsettled == 0:
                    return True
                left = 0.05 if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return False
                self._state.wait(min(left, 0.05))

    def close(self) -> None:
        """Take no more messages; those not written yet fail. May be called again."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            waiting, self._waiting = self._waiting, {}
        with self._writing:
            for entries in waiting.values():
                self._fail(entries, "the writer was closed before it was written", indeterminate=False)
        self._tell()
        self._on_close(self)

    def _write(self) -> None:
        """Write and sync a batch for each partition. One thread at a time, so that order is kept."""
        with self._writing:
            began = time.monotonic()
            with self._state:
                waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
            written = []
            for partition, entries in waiting.items():
                try:
                    written.append((partition, entries, partition.append([message for message, _ in entries])))
                except TransportError as error:
                    self._fail(entries, error.message, indeterminate=False)
            for partition, entries, first in written:
                try:
                    if self._config.sync == "disk":
                        partition.sync()
                except TransportError as error:
                    self._fail(entries, error.message, indeterminate=True)
                else:
                    self._due.append(_Settled(entries, first))
            # On a slow disk batches grow, so that no more than half of the time is spent waiting for it.
            self._linger = max(self._config.linger_ms / 1000, time.monotonic() - began)
        if written:
            self._log.wake()

    def _fail(self, entries: list[_Entry], why: str, *, indeterminate: bool) -> None:
        message = entries[0][0]
        error = DeliveryError(why, topic=message.topic, partition=message.partition, indeterminate=indeterminate)
        self._due.append(_Settled(entries, None, error))

    def _tell(self) -> None:
        """Tell what is due; should a callback raise, the others are told next time."""
        while True:
            try:
                settled = self._due.popleft()
            except IndexError:
                return
            entries, told = settled.entries, 0
            try:
                for told, (message, on_outcome) in enumerate(entries, 1):
                    on_outcome(settled.outcome(told - 1, message.timestamp))
            finally:
                if told < len(entries):
                    self._due.appendleft(settled.after(told))
                with self._state:
                    self._unsettled -= told
                    if self._unsettled == 0:
                        self._state.notify_all()

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
