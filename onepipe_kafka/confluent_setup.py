"""What every part of confluent-kafka is opened with, and what its errors are in Kafka's own codes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from onepipe.errors import ConfigurationError
from onepipe_kafka.config import KafkaConfig, Role
from onepipe_kafka.errors import LOCAL, SASL_FAILED, TIMED_OUT, Failure, translated

_CODES: Final = {
    KafkaError._TIMED_OUT: TIMED_OUT,  # noqa: SLF001 - librdkafka's own codes are named so
    KafkaError._MSG_TIMED_OUT: TIMED_OUT,  # noqa: SLF001 - as above
    KafkaError._TIMED_OUT_QUEUE: TIMED_OUT,  # noqa: SLF001 - as above
    KafkaError._ALL_BROKERS_DOWN: TIMED_OUT,  # noqa: SLF001 - as above
    KafkaError._TRANSPORT: TIMED_OUT,  # noqa: SLF001 - as above
    KafkaError._DESTROY_BROKER: TIMED_OUT,  # noqa: SLF001 - as above
    KafkaError._WAIT_COORD: TIMED_OUT,  # noqa: SLF001 - as above
    KafkaError._NOENT: TIMED_OUT,  # noqa: SLF001 - as above; a partition has no leader known
    KafkaError._UNKNOWN_TOPIC: KafkaError.UNKNOWN_TOPIC_OR_PART,  # noqa: SLF001 - as above
    KafkaError._UNKNOWN_PARTITION: KafkaError.UNKNOWN_TOPIC_OR_PART,  # noqa: SLF001 - as above
    KafkaError._AUTHENTICATION: SASL_FAILED,  # noqa: SLF001 - as above
    KafkaError._ASSIGNMENT_LOST: KafkaError.UNKNOWN_MEMBER_ID,  # noqa: SLF001 - as above
    KafkaError._FENCED: KafkaError.FENCED_INSTANCE_ID,  # noqa: SLF001 - as above
}
"""Kafka's codes for those that librdkafka has of its own, below zero."""

_LOG: Final = logging.getLogger("onepipe_kafka.librdkafka")

T = TypeVar("T")


def _concerns_users(record: logging.LogRecord) -> bool:
    """Whether a line is news: that a producer has no use for a consumer's setting is none."""
    return "CONFWARN" not in record.getMessage()


_LOG.addFilter(_concerns_users)


class Setup:
    """Settings in librdkafka's form, and the last trouble it told of beside its calls.

    Attributes:
        config: the settings.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self.config = config
        self._trouble: KafkaError | None = None

    def open(self, kind: Callable[[dict[str, Any]], T], role: Role, **own: Any) -> T:
        """Make a part of the client.

        Args:
            kind: its class.
            role: which settings it takes.
            **own: settings of onepipe's, with "_" for ".".

        Raises:
            ConfigurationError: librdkafka refuses a setting.
        """
        given = self.config.role(role)
        told: Callable[[KafkaError], object] | None = given.pop("error_cb", None)

        def note(error: KafkaError) -> None:
            self._trouble = error
            if told is not None:
                told(error)

        settings = {
            "client.id": "onepipe",
            "logger": _LOG,
            **{name.replace("_", "."): value for name, value in own.items()},
            **given,
            "bootstrap.servers": ",".join(self.config.servers),
            "error_cb": note,
        }
        try:
            return kind(settings)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigurationError(f"librdkafka refuses the settings: {self._words(error)}") from None

    def failure(self, error: KafkaException | KafkaError) -> Failure:
        """An error of the client with Kafka's code; one of silence says what the silence may be due to."""
        reported = error.args[0] if isinstance(error, KafkaException) else error
        if not isinstance(reported, KafkaError):
            return Failure(LOCAL, self._words(error))
        code = _CODES.get(reported.code(), reported.code())
        words = self._words(reported)
        if code == TIMED_OUT and self._trouble is not None:
            code = SASL_FAILED if _CODES.get(self._trouble.code()) == SASL_FAILED else code
            words = f"{words}; before that: {self._words(self._trouble)}"
        return Failure(code if code > 0 or code == TIMED_OUT else LOCAL, words)

    def require(self, call: Callable[[], T], what: str) -> T:
        """Call, with failures in onepipe's terms."""
        try:
            return call()
        except Failure as failure:
            raise translated(failure, what) from failure

    def _words(self, error: object) -> str:
        text = f"{error.name()}: {error.str()}" if isinstance(error, KafkaError) else str(error)
        return self.config.scrub(text)
