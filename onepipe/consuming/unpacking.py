"""Unpacking what a consumer took: from messages to records or columns, up to the first that cannot be decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from onepipe.consuming.received import Received, received_from
from onepipe.errors import ConfigurationError, OnepipeError

if TYPE_CHECKING:
    import pyarrow as pa

    from onepipe.bodies.arrow_decoder import ArrowDecoder
    from onepipe.bodies.decoder import MessageDecoder
    from onepipe.consuming.intake import Intake
    from onepipe.transport import Message

T = TypeVar("T")


class Unpacking(Generic[T]):
    """Makes records of the messages that an intake handed out last.

    Where one cannot be decoded, those before it are handed out alone, and the rest is given back to the intake. It is
    an error once it is the first of those handed out; it may then be skipped.
    """

    def __init__(self, intake: Intake, decoders: Mapping[str, MessageDecoder], *, keep_undecodable: bool) -> None:
        """Make it.

        Args:
            intake: takes messages back.
            decoders: by topic.
            keep_undecodable: whether a message that cannot be decoded is a record with its error.
        """
        self._intake = intake
        self._decoders = decoders
        self._keep_undecodable = keep_undecodable
        self._stopped_at: Message | None = None

    def begin(self) -> None:
        """Forget the message that the last messages stopped at."""
        self._stopped_at = None

    def records(self, messages: Sequence[Message]) -> list[Received[T]]:
        """The records of messages.

        Raises:
            DecodeError: the first message cannot be decoded.
        """
        received: list[Received[T]] = []
        try:
            for message in messages:
                received.append(self._decode(message))  # noqa: PERF401 - what came before a fault is kept
        except BaseException as error:
            handed_out = received if isinstance(error, OnepipeError) else []
            self._intake.give_back(len(messages) - len(handed_out))
            if not handed_out:
                self._stopped_at = messages[0] if isinstance(error, OnepipeError) else None
                raise
        return received

    def columns(self, decoder: ArrowDecoder, messages: Sequence[Message]) -> pa.RecordBatch:
        """The columns of messages.

        Raises:
            DecodeError: the first message cannot be decoded.
        """
        while True:
            try:
                return decoder.decode(messages)
            except BaseException as error:
                sound = _before(error, messages) if isinstance(error, OnepipeError) else 0
                self._intake.give_back(len(messages) - sound)
                if not sound:
                    self._stopped_at = messages[0] if _is_about(error, messages[0]) else None
                    raise
                messages = messages[:sound]

    def skip(self) -> None:
        """Leave out the message that the last messages stopped at.

        Raises:
            ConfigurationError: they stopped at none.
        """
        if self._stopped_at is None:
            raise ConfigurationError("there is no message to skip", remedy="skip() after a DecodeError")
        self._intake.skip(self._stopped_at)
        self._stopped_at = None

    def _decode(self, message: Message) -> Received[T]:
        value, deleted, schema_id, error = None, False, None, None
        try:
            value, deleted, schema_id = self._decoders[message.topic].decode(message)
        except OnepipeError as undecodable:
            if not self._keep_undecodable:
                raise
            error = undecodable
        return received_from(message, cast("T", value), deleted, schema_id, error)


def _before(error: OnepipeError, messages: Sequence[Message]) -> int:
    """How many messages stand before the one that an error is about; none where it is about no single one."""
    return next((number for number, message in enumerate(messages) if _is_about(error, message)), 0)


def _is_about(error: BaseException, message: Message) -> bool:
    place = message.topic, message.partition, message.offset
    return isinstance(error, OnepipeError) and (error.topic, error.partition, error.offset) == place
