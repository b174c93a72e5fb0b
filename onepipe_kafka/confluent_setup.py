"""What every part of confluent-kafka is opened with, and what its errors are in Kafka's own codes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from onepipe.errors import ConfigurationError
from onepipe_kafka.config import KafkaConfig, Role
from onepipe_kafka.errors import LOCAL, SASL_FAILED, TIMED_OUT, UNTRUSTED, Failure, translated

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
    KafkaError._SSL: UNTRUSTED,  # noqa: SLF001 - as above
    KafkaError._ASSIGNMENT_LOST: KafkaError.UNKNOWN_MEMBER_ID,  # noqa: SLF001 - as above
    KafkaError._FENCED: KafkaError.FENCED_INSTANCE_ID,  # noqa: SLF001 - as above
}
"""Kafka's codes for those that librdkafka has of its own, below zero."""

_DOWN: Final = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - as above
_REFUSED_BY_BROKER: Final = "SSL alert"
"""In the words of a broken connection: the broker sent an alert of TLS, as where it wants a client's certificate."""
_REFUSALS: Final = frozenset({SASL_FAILED, UNTRUSTED})
_FRESH_SECONDS: Final = 30.0
"""For how long trouble that was told of beside calls may be why a call had no answer."""

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
        self._trouble: tuple[float, KafkaError] | None = None

    def open(self, kind: Callable[[dict[str, Any]], T], role: Role, **own: Any) -> T:
        """Make a part of the client.

        Args:
            kind: its class.
            role: which settings it takes.
            **own: settings of onepipe's, with "_" for ".".

        Raises:
            ConfigurationError: librdkafka refuses a setting.
            NotAuthorized: no token came for the login.
        """
        given = self.config.role(role)
        told: Callable[[KafkaError], object] | None = given.pop("error_cb", None)

        def note(error: KafkaError) -> None:
            if error.code() != _DOWN:  # which says nothing of why
                self._trouble = time.monotonic(), error
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
            failure = self.failure(error)
            if failure.code == SASL_FAILED:
                raise translated(failure, "there is no login") from None
            raise ConfigurationError(f"librdkafka refuses the settings: {self._words(error)}") from None

    def failure(self, error: BaseException | KafkaError) -> Failure:
        """An error of the client with Kafka's code; one of silence says what the silence may be due to."""
        reported = error.args[0] if isinstance(error, KafkaException) else error
        if not isinstance(reported, KafkaError):
            return Failure(LOCAL, self._words(error))
        code, words = _code(reported), self._words(reported)
        trouble = self._present_trouble() if code == TIMED_OUT else None
        if trouble is not None and _code(trouble) in _REFUSALS:
            return Failure(_code(trouble), self._words(trouble))
        if trouble is not None:
            words = f"{words}; before that: {self._words(trouble)}"
        return Failure(code if code > 0 or code in (TIMED_OUT, UNTRUSTED) else LOCAL, words)

    def _present_trouble(self) -> KafkaError | None:
        """What was told of beside the calls, where it is not long ago."""
        if self._trouble is None:
            return None
        told, trouble = self._trouble
        return trouble if time.monotonic() - told < _FRESH_SECONDS else None

    def require(self, call: Callable[[], T], what: str) -> T:
        """Call, with failures in onepipe's terms."""
        try:
            return call()
        except Failure as failure:
            raise translated(failure, what) from failure

    def _words(self, error: object) -> str:
        text = f"{error.name()}: {error.str()}" if isinstance(error, KafkaError) else str(error)
        return self.config.scrub(text)


def _code(error: KafkaError) -> int:
    if _REFUSED_BY_BROKER in error.str():
        return UNTRUSTED
    return _CODES.get(error.code(), error.code())
