"""A log: topics, the groups that read them, and the condition that wakes waiting readers. Thread-safe."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from onepipe.transport import Message, TopicPartition
from onepipe_memory.config import MemoryConfig
from onepipe_memory.errors import FORKED, closed, no_partition, no_topic
from onepipe_memory.groups import Group
from onepipe_memory.partition import Partition
from onepipe_memory.store import Store, TopicLog


class Log:
    """A log that several transports, writers and readers of this process share."""

    def __init__(self, store: Store, config: MemoryConfig) -> None:
        self.store = store
        self.config = config
        self.waiting = 0
        self._arrival = threading.Condition()
        self._arrivals = 0
        self.unusable: str | None = None
        self._groups: dict[str, Group] = {}
        _LOGS.add(self)

    def check_usable(self) -> None:
        """Refuse a log that was left behind by a fork.

        Raises:
            ClosedError: it was.
        """
        if self.unusable is not None:
            raise closed("log", self.unusable)

    def topic(self, name: str) -> TopicLog[Partition]:
        """The topic of that name.

        Raises:
            TopicNotFound: there is none.
        """
        self.check_usable()
        topic = self.store.get(name)
        if topic is None:
            raise no_topic(name)
        return topic

    def partition(self, wanted: TopicPartition) -> Partition:
        """One partition.

        Raises:
            TopicNotFound: there is no such topic or partition.
        """
        held = self.topic(wanted.topic).partitions
        if not 0 <= wanted.partition < len(held):
            raise no_partition(*wanted, len(held))
        return held[wanted.partition]

    def group(self, name: str) -> Group:
        """The group of that name, which comes to be when it is named."""
        with self._arrival:
            if name not in self._groups:
                self._groups[name] = Group(name, self)
            return self._groups[name]

    def wake(self) -> None:
        """Wake the readers that wait, as there may be something for them; called after it was stored."""
        if self.waiting:
            with self._arrival:
                self._arrivals += 1
                self._arrival.notify_all()

    def wait(self, look: Callable[[], list[Message]], timeout: float) -> list[Message]:
        """What `look` finds, looking again whenever something may have come, for up to `timeout` seconds.

        `look` is called without a lock held. Nothing is missed: what is stored after it looked finds `waiting` counted
        and moves the number of arrivals on.
        """
        deadline = time.monotonic() + timeout
        with self._arrival:
            self.waiting += 1
        try:
            while True:
                seen = self._arrivals
                found = look()
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                with self._arrival:
                    if self._arrivals == seen:
                        self._arrival.wait(min(left, self.store.watch_seconds or left))
        finally:
            with self._arrival:
                self.waiting -= 1

    def abandon(self) -> None:
        """Become unusable in a forked child."""
        self.unusable = FORKED
        self.store.abandon()


_LOGS: Final[weakref.WeakSet[Log]] = weakref.WeakSet()


def _abandon_all() -> None:
    for log in list(_LOGS):
        log.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
