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
        self._waiting: _Waiting = {}
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
            entries, entry = self._waiting.setdefault(partition, []), (message, on_outcome)
            entries += (entry,)  # no call from here to the count, so no interrupt comes between
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
            for partition in list(waiting):
                self._fail(waiting, partition, "the writer was closed before it was written", indeterminate=False)
        self._tell()
        self._on_close(self)

    def _write(self) -> None:
        """Write and sync a batch for each partition. One thread at a time, so that order is kept."""
        written: list[_Written] = []
        with self._writing:
            began = time.monotonic()
            waiting: _Waiting = {}
            try:
                with self._state:
                    waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
                self._append(waiting, written)
                self._sync(waiting, written)
            except BaseException:  # an interrupt: some of it may be in the log
                for partition in list(waiting):
                    self._fail(waiting, partition, "writing was interrupted", indeterminate=True)
                raise
            # On a slow disk batches grow, so that no more than half of the time is spent waiting for it.
            self._linger = max(self._config.linger_ms / 1000, time.monotonic() - began)
        if written:
            self._log.wake()

    def _append(self, waiting: _Waiting, written: list[_Written]) -> None:
        """Append a batch to each partition; what cannot be has its outcome, and waits no more."""
        for partition, entries in list(waiting.items()):
            try:
                written.append((partition, partition.append([message for message, _ in entries])))
            except TransportError as error:
                self._fail(waiting, partition, error.message, indeterminate=False)
            except (struct.error, TypeError, ValueError) as error:  # a message has not the port's form
                self._fail(waiting, partition, f"it cannot be written: {type(error).__name__}", indeterminate=False)

    def _sync(self, waiting: _Waiting, written: list[_Written]) -> None:
        """Sync each partition, after which its messages have their outcome."""
        for partition, first in written:
            try:
                if self._config.sync == "disk":
                    partition.sync()
            except TransportError as error:
                self._fail(waiting, partition, error.message, indeterminate=True)
            else:
                self._settle(waiting, partition, _Settled(waiting[partition], first))

    def _fail(self, waiting: _Waiting, partition: DiskPartition, why: str, *, indeterminate: bool) -> None:
        error = DeliveryError(why, topic=partition.topic, partition=partition.number, indeterminate=indeterminate)
        self._settle(waiting, partition, _Settled(waiting[partition], None, error))

    def _settle(self, waiting: _Waiting, partition: DiskPartition, settled: _Settled) -> None:
        """Have the outcome of a partition's messages told; they wait no more."""
        self._due += (settled,)  # without a call until they are deleted, so that no interrupt comes between
        del waiting[partition]

    def _tell(self) -> None:
        """Tell what is due; should a callback raise, the others are told next time, an interrupted one again."""
        while True:
            try:
                settled = self._due.popleft()
            except IndexError:
                return
            entries, told = settled.entries, 0
            try:
                for message, on_outcome in entries:
                    outcome = settled.outcome(told, message.timestamp)
                    try:
                        on_outcome(outcome)
                    except Exception:
                        told += 1
                        raise
                    told += 1
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
