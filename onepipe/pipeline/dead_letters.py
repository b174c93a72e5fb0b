"""The dead letters of a topic, to be looked at, replayed and dropped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import attrs

from onepipe.arguments import require_callable, require_name
from onepipe.bodies.decoder import Decoded, MessageDecoder
from onepipe.bodies.deletion import Deletion
from onepipe.consuming.backoff import may_be_of_the_record
from onepipe.dead_letters.letter import DeadLetter, joined, reasons
from onepipe.dead_letters.read import copied, read_letters, set_aside_message
from onepipe.dead_letters.topic import Stage, State
from onepipe.errors import ConfigurationError
from onepipe.pipeline.replay import Delivery, Handler, Handling, Mend, Publication, Sinking
from onepipe.pipeline.sinks import opened_sink
from onepipe.sink import Sink, TransactionalSink

if TYPE_CHECKING:
    from onepipe.dead_letters.sender import LetterSender
    from onepipe.declaring.topic import Topic
    from onepipe.pipeline.parts import Parts
    from onepipe.publishing.producer import Producer
    from onepipe.transport import Message


@attrs.frozen
class ReplayReport:
    """What became of a replay.

    Attributes:
        topic: name of the topic.
        replayed: letters whose records were handed over, or published again.
        failed: letters that failed once more; they are open, with the new reason.
    """

    topic: str
    replayed: int
    failed: int


class DeadLetters:
    """The dead letters of a topic: of its dead-letter topic and, where the pipeline has a lake, of the quarantine.

    Each iteration reads them anew, in order of consumer and position. Made by `Pipeline.dead_letters`.
    """

    def __init__(
        self,
        parts: Parts,
        what: type | Topic | str,
        sender: Callable[[], LetterSender],
        producer: Callable[[], Producer],
        *,
        consumer: str | None,
        state: str | None,
    ) -> None:
        require_name("consumer", consumer)
        if state is not None and state not in list(State):
            known = ", ".join(map(repr, map(str, State)))
            raise ConfigurationError(f"there is no state {state!r}", remedy=f"one of {known}, or None for all")
        self._parts = parts
        self._what = what
        self._topic = parts.topics.resolve(what)
        self._new_sender = sender
        self._new_producer = producer
        self._consumer = consumer
        self._state = state

    def __iter__(self) -> Iterator[DeadLetter]:
        """Yield the letters.

        Raises:
            DecodeError: a message of the dead-letter topic cannot be read.
            CorruptFile: a raw file cannot.
        """
        self._parts.require_open()
        letters = read_letters(self._parts.transport, self._parts.registry, self._topic.name)
        for letter in self._quarantined():
            said = letters.get(letter.name)
            letters[letter.name] = letter if said is None else joined(letter, said)
        chosen = (letter for letter in letters.values() if self._chooses(letter))
        yield from sorted(
            chosen, key=lambda each: (each.consumer or "", each.partition or 0, each.offset or 0, each.name)
        )

    def record(self, letter: DeadLetter) -> Any:
        """The record of a letter: an instance of the class, or a dict; a `Deletion` where it is a delete.

        Raises:
            DecodeError: it cannot be decoded.
            PositionLost: nothing holds it any longer.
        """
        if letter.stage is Stage.PUBLISH:
            return self.refused(letter)
        decoded = self.decode(self.message(letter))
        return Deletion(decoded.schema_id, decoded.value) if decoded.deleted else decoded.value

    def drop(self, letters: DeadLetter | Iterable[DeadLetter]) -> int:
        """Note durably that records are not needed; how many letters were open, and are dropped now."""
        with closing(self._new_sender()) as sender:
            waiting = [letter for letter in _several(letters) if letter.state in (State.OPEN, State.UNCONFIRMED)]
            for letter in waiting:
                sender.move(letter, state=State.DROPPED)
        return len(waiting)

    def replay(
        self,
        to: Sink[Any] | Handler | str | None = None,
        *,
        letters: DeadLetter | Iterable[DeadLetter] | None = None,
        mend: Mend | None = None,
    ) -> ReplayReport:
        """Hand records to the consumer that failed on them, or publish them again; one by one, each noted durably.

        A record of a sink or consumer goes to that one alone, by its position. A transactional sink stores it at most
        once, however often it is replayed, and by however many processes: its progress remembers the letter. An
        idempotent sink, and a handler, may get it again after a kill. Records arrive late, out of order with others.

        A record that was refused when it was published, or is in quarantine, is published again with its identity:
        where that happens twice, the copies merge. So it needs a topic with identity and merge policy.

        Args:
            to: the sink (or the name of a plugin's), or the function that takes what a consumer received; needs
                `consumer` to be named. None publishes what is in quarantine.
            letters: which ones; where None, all that are open, and of those that are unconfirmed none.
            mend: makes, of a refused record as dict (as far as JSON could write it), the record to publish; None leaves
                such letters as they are.

        Raises:
            ConfigurationError: `to` without a named consumer, or a topic whose records cannot be published again.
        """
        require_callable("mend", mend)
        if to is not None and self._consumer is None:
            raise ConfigurationError("a replay is for one consumer", remedy="pipe.dead_letters(…, consumer='…')")
        if isinstance(to, str):
            to = opened_sink(self._parts, to, None)
        with closing(self._new_sender()) as sender, ExitStack() as until_replayed:
            readable = self._parts.topics.open_to_read(self._what)
            if to is None:
                producer = until_replayed.enter_context(closing(self._new_producer()))
                delivery: Delivery = Publication(readable, self, producer, mend)
            else:
                delivery = Sinking(readable, self, to) if isinstance(to, Sink) else Handling(readable, self, to)
            chosen = [letter for letter in self._replayable(letters, to) if delivery.takes(letter)]
            replayed = sum(_replayed(letter, delivery, sender) for letter in chosen)
        return ReplayReport(self._topic.name, replayed, len(chosen) - replayed)

    def message(self, letter: DeadLetter) -> Message:
        """The message that a letter is about, which was published once.

        Raises:
            PositionLost: neither the letter nor the log holds it any longer.
            LakeError: it is in quarantine no longer.
        """
        if letter.stage is Stage.ARCHIVE:
            from onepipe.lake.quarantine import quarantined_message

            return quarantined_message(self._parts.lake, self._topic, letter)
        return set_aside_message(self._parts.transport, self._parts.registry, letter)

    def refused(self, letter: DeadLetter) -> dict[str, Any]:
        """The record that was refused when it was published, as far as JSON could write it."""
        body: dict[str, Any] = json.loads(copied(self._parts.transport, self._parts.registry, letter)["body"])
        return body

    def decode(self, message: Message) -> Decoded:
        """What a message of the topic says, as its reader sees it."""
        readable = self._parts.topics.open_to_read(self._what)
        schemas = readable.schemas or self._parts.registry
        topic = readable.topic
        return MessageDecoder(schemas, topic, reader=topic.schema, classes=readable.classes).decode(message)

    def _replayable(
        self, letters: DeadLetter | Iterable[DeadLetter] | None, to: Sink[Any] | Handler | None
    ) -> list[DeadLetter]:
        """What is open; of what was named, also what is unconfirmed, unless the sink would store it a second time."""
        if letters is None:
            return [letter for letter in self if letter.state is State.OPEN]
        doubtful = () if isinstance(to, TransactionalSink) else (State.UNCONFIRMED,)
        return [
            letter for letter in _several(letters) if letter.state in (State.OPEN, *doubtful) and self._is_of(letter)
        ]

    def _quarantined(self) -> Iterator[DeadLetter]:
        if self._parts.lake_url is not None:
            from onepipe.lake.quarantine import quarantined

            yield from quarantined(self._parts.lake, self._topic)

    def _is_of(self, letter: DeadLetter) -> bool:
        return self._consumer is None or letter.consumer == self._consumer

    def _chooses(self, letter: DeadLetter) -> bool:
        return self._is_of(letter) and self._state in (None, letter.state)


def _several(letters: DeadLetter | Iterable[DeadLetter]) -> list[DeadLetter]:
    return [letters] if isinstance(letters, DeadLetter) else list(letters)


def _replayed(letter: DeadLetter, delivery: Delivery, sender: LetterSender) -> bool:
    """Replay one letter, and note durably what came of it; whether it succeeded."""
    try:
        delivery.deliver(letter)
    except Exception as error:
        if not may_be_of_the_record(error):
            raise
        again = {"attempts": letter.attempts + 1, "replays": letter.replays + 1, "state": State.OPEN}
        sender.move(letter, **again, **reasons(error))
        return False
    sender.move(letter, state=State.REPLAYED)
    return True
