"""Joins a group, and tells its decisions in the thread that polls.

kafka-python tells them on its network thread, which must not wait for a commit that it would itself carry out; and it
forgets a join that is completed while nobody polls, and joins again. So what may join runs in a thread of its own, for
as long as it takes, while the calling thread carries out what the listener is told and otherwise comes and goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

from kafka import AsyncConsumerRebalanceListener
from kafka.future import Future as KafkaFuture

from onepipe.transport import TopicPartition
from onepipe_kafka.client import Rebalance

_JOIN_MILLISECONDS: Final = 60_000
_COORDINATOR: Final = "coordinator-"
"""What kafka-python puts before a broker's number to name the connection to it as coordinator."""

_Tell: TypeAlias = Callable[[frozenset[TopicPartition]], None]
_Telling: TypeAlias = tuple[_Tell, frozenset[TopicPartition], KafkaFuture]


class Membership(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """A consumer's membership in its group.

    Attributes:
        held: the partitions that were told to be given, and not yet to be taken.
    """

    def __init__(self, consumer: Any, rebalance: Rebalance) -> None:
        self.held: frozenset[TopicPartition] = frozenset()
        self._coordinator = consumer._coordinator  # noqa: SLF001 - joining without reading is not public
        self._network = consumer._net  # noqa: SLF001 - nor is what lets another thread resume a listener
        self._rebalance = rebalance
        self._threads = ThreadPoolExecutor(2, "onepipe-kafka-group")
        self._tellings: SimpleQueue[_Telling | None] = SimpleQueue()
        self._joining: Future[Any] | None = None
        self._raised: BaseException | None = None
        self._leaving = False

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until this member has joined; the join goes on where it takes longer."""
        if self._joining is None:
            if not self._must_join():
                return True
            self._joining = self._submit(lambda: self._coordinator.poll(timeout_ms=_JOIN_MILLISECONDS))
        if not self._serve(self._joining, timeout):
            return False
        joining, self._joining = self._joining, None
        joining.result()
        return not self._must_join()

    def run(self, call: Callable[[], Any]) -> Any:
        """Run a call that may rebalance."""
        done = self._submit(call)
        self._serve(done, None)
        return done.result()

    def leave(self, close: Callable[[], Any]) -> None:
        """Leave the group by `close`; what the group gives meanwhile is not taken.

        A broker hears nothing else on a connection before it has answered a join there, for which it waits for the
        other members: so who joins says on another connection that it leaves, and does not try again.
        """
        self._leaving = True
        self._coordinator.need_rejoin = lambda: False
        coordinator, known = self._coordinator, str(self._coordinator.coordinator_id)
        if coordinator._join_task is not None and known.startswith(_COORDINATOR):  # noqa: SLF001 - as above
            coordinator.coordinator_id = int(known.removeprefix(_COORDINATOR))
        self.run(close)

    def end(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)

    async def on_partitions_assigned(self, assigned: Iterable[tuple[str, int]]) -> None:
        """Given."""
        await self._tell(self._assigned, assigned)

    async def on_partitions_revoked(self, revoked: Iterable[tuple[str, int]]) -> None:
        """About to be taken."""
        await self._tell(self._revoked, revoked)

    async def on_partitions_lost(self, lost: Iterable[tuple[str, int]]) -> None:
        """Taken before."""
        await self._tell(self._lost, lost)

    def _assigned(self, partitions: frozenset[TopicPartition]) -> None:
        if self._leaving:
            return
        self.held |= partitions
        self._rebalance.assigned(partitions)

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        taken = partitions & self.held
        try:
            if taken:
                self._rebalance.revoked(taken)
        finally:
            self.held -= taken

    def _lost(self, partitions: frozenset[TopicPartition]) -> None:
        taken = partitions & self.held
        self.held -= taken
        if taken:
            self._rebalance.lost(taken)

    def _must_join(self) -> bool:
        """Whether this member is to join, or to wait for a join that began while it asked for messages.

        Of the latter kafka-python would never take the result where it joined because a topic changed: the change is
        known by then, so that it sees no reason to join, and it sends no heartbeats until it has joined.
        """
        if self._coordinator._join_task is not None:  # noqa: SLF001 - as above
            self._coordinator.request_rejoin()
        return bool(self._coordinator.need_rejoin())

    def _submit(self, call: Callable[[], Any]) -> Future[Any]:
        done = self._threads.submit(call)
        done.add_done_callback(lambda _: self._tellings.put(None))
        return done

    def _serve(self, done: Future[Any], timeout: float | None) -> bool:
        """Tell what is to be told until `done`, or `timeout` seconds passed; raise then what a listener raised."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done.done() or not self._tellings.empty():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                telling = self._tellings.get(timeout=left)
            except Empty:
                break
            if telling is not None:
                self._carry_out(*telling)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        return done.done()

    def _carry_out(self, tell: _Tell, partitions: frozenset[TopicPartition], told: KafkaFuture) -> None:
        try:
            tell(partitions)
        except BaseException as error:
            self._raised = self._raised or error
        finally:
            self._network.call_soon_threadsafe(lambda: told.success(None))

    async def _tell(self, tell: _Tell, places: Iterable[tuple[str, int]]) -> None:
        partitions = frozenset(TopicPartition(*place) for place in places)
        if partitions:
            told = KafkaFuture()
            self._tellings.put((tell, partitions, told))
            await told
