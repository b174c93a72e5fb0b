"""The writer of a log in memory: a message is stored, and has its outcome, before `append` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from onepipe.transport import OnOutcome, Outcome, Outgoing, TopicPartition
from onepipe_memory.errors import closed

if TYPE_CHECKING:
    from onepipe_memory.faults import AppendFaults
    from onepipe_memory.log import Log
    from onepipe_memory.partition import MemoryPartition
    from onepipe_memory.store import Closable

_new = tuple.__new__


class MemoryWriter:
    """Appends messages to a log in memory. Thread-safe."""

    def __init__(self, log: Log, faults: AppendFaults, on_close: Callable[[Closable], None]) -> None:
        self._log = log
        self._faults = faults
        self._on_close = on_close
        self._closed = False
        self._partitions: dict[tuple[str, int], MemoryPartition] = {}

    def append(self, message: Outgoing, on_outcome: OnOutcome) -> None:
        """Store a message and call `on_outcome`, before this returns."""
        log = self._log
        if self._closed or log.unusable is not None:
            self._refuse()
        partition = self._partitions.get(message[:2])
        if partition is None or partition.deleted:
            partition = self._find(message)
        if self._faults.planned and (fault := self._faults.take(partition, message)) is not None:
            if fault.stored:
                partition.append(message)
            outcome = Outcome(None, None, fault.error(message))
        else:
            outcome = _new(Outcome, (partition.append(message), message[5], None))
        if log.waiting:
            log.wake()
        on_outcome(outcome)

    def poll(self, timeout: float = 0.0) -> None:  # noqa: ARG002 - nothing is ever due
        """Return at once: every message had its outcome."""
        self._check_open()

    def flush(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - nothing is ever due
        """Return True at once: every message had its outcome."""
        self._check_open()
        return True

    def close(self) -> None:
        """Take no more messages. May be called again."""
        if not self._closed:
            self._closed = True
            self._on_close(self)

    def _find(self, message: Outgoing) -> MemoryPartition:
        wanted = TopicPartition(message.topic, message.partition)
        partition = cast("MemoryPartition", self._log.partition(wanted))
        self._partitions[wanted] = partition
        return partition

    def _check_open(self) -> None:
        if self._closed or self._log.unusable is not None:
            self._refuse()

    def _refuse(self) -> None:
        self._log.check_usable()
        raise closed("writer")
