"""What every part of kafka-python is opened with, and what its errors are in Kafka's own codes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    BrokerResponseError,
    CommitFailedError,
    KafkaError,
    RetriableError,
)

from onepipe.arguments import number_of
from onepipe.errors import ConfigurationError, MissingDependency, nearest
from onepipe_kafka.config import KafkaConfig, Role
from onepipe_kafka.errors import LOCAL, SASL_FAILED, TIMED_OUT, Failure
from onepipe_kafka.kafka_python_attempts import Attempts

_UNKNOWN_MEMBER: Final = 25
_BOOTSTRAP_SECONDS: Final = 5.0
"""How long to try at a time, where there is no answer."""
_PARTS: Final[Mapping[Role, Any]] = {"admin": KafkaAdminClient, "producer": KafkaProducer, "consumer": KafkaConsumer}
_KNOWN: Final = {role: part.DEFAULT_CONFIG for role, part in _PARTS.items()}
_ALIASES: Final = {
    "fetch_message_max_bytes": "max_partition_fetch_bytes",
    "fetch_wait_max_ms": "fetch_max_wait_ms",
    "message_max_bytes": "max_request_size",
    "sasl_mechanisms": "sasl_mechanism",
    "sasl_password": "sasl_plain_password",
    "sasl_username": "sasl_plain_username",
    "ssl_ca_location": "ssl_cafile",
    "ssl_certificate_location": "ssl_certfile",
    "ssl_crl_location": "ssl_crlfile",
    "ssl_key_location": "ssl_keyfile",
    "ssl_key_password": "ssl_password",
}
"""kafka-python's names of settings by librdkafka's, where they differ in more than dots."""
_WORDS: Final = {"true": True, "false": False}
_COMPRESSION: Final = "compression_type"
_FILES: Final = frozenset({"ssl_cafile", "ssl_certfile", "ssl_crlfile", "ssl_keyfile"})

T = TypeVar("T")


_TELLING: Final = ("kafka.admin", "kafka.net", "kafka.producer", "kafka.protocol")
"""Loggers that show at DEBUG what crosses the wire, records and passwords too."""

for _name in _TELLING:
    if logging.getLogger(_name).level == logging.NOTSET:  # one who wants to see all that sets a level
        logging.getLogger(_name).setLevel(logging.INFO)


class Setup:
    """Settings in kafka-python's form.

    Attributes:
        config: the settings.
    """

    def __init__(self, config: KafkaConfig) -> None:
        """Take settings.

        Raises:
            ConfigurationError: a setting is unknown to kafka-python.
        """
        self.config = config
        for role in _PARTS:
            for name in config.role(role):
                if _own_name(name) not in {*_KNOWN["admin"], *_KNOWN["producer"], *_KNOWN["consumer"]}:
                    known = sorted({known.replace("_", ".") for settings in _KNOWN.values() for known in settings})
                    raise ConfigurationError(f"kafka-python has no setting {name!r}{nearest(name, known)}")

    def open(self, role: Role, **own: Any) -> Any:
        """Make a part of the client.

        Args:
            role: which one.
            **own: settings of onepipe's.

        Raises:
            ConfigurationError: kafka-python refuses a setting, or a file that one names is not there.
            MissingDependency: a package for the wanted compression is not installed.
            Failure: no broker can be reached.
        """
        given = {_own_name(name): value for name, value in self.config.role(role).items()}
        known = _KNOWN[role]
        taken = {name: _typed(name, value, known[name]) for name, value in given.items() if name in known}
        settings = {"client_id": "onepipe", **own, **taken, "bootstrap_servers": list(self.config.servers)}
        deadline = time.monotonic() + self.config.timeout
        attempts = Attempts(self.failure)
        while True:
            left = max(0.0, min(_BOOTSTRAP_SECONDS, deadline - time.monotonic()))
            try:
                return self._try(role, {"bootstrap_timeout_ms": round(left * 1000), **settings}, attempts)
            except Failure as failure:
                if failure.code != TIMED_OUT or time.monotonic() >= deadline:
                    raise

    def _try(self, role: Role, settings: Mapping[str, Any], attempts: Attempts) -> Any:
        """Make a part of the client; where no broker answers, the failure says what became of the connections."""
        try:
            made = _PARTS[role](kafka_client=attempts.client, **settings)
        except (Failure, KafkaError) as error:
            attempts.close()
            _require_files(self.config.role(role))
            raise attempts.refusal() or attempts.explained(error) from attempts.cause
        except RuntimeError as error:
            attempts.close()
            remedy = "install the package that compresses so: lz4, python-snappy or zstandard"
            raise MissingDependency(self.config.scrub(str(error)), remedy=remedy) from None
        except (ValueError, TypeError, AssertionError, OSError) as error:
            attempts.close()
            raise ConfigurationError(f"kafka-python refuses the settings: {self.config.scrub(str(error))}") from None
        attempts.end()
        return made

    def call(self, call: Callable[[], T]) -> T:
        """Call the client.

        Raises:
            Failure: it failed.
        """
        try:
            return call()
        except KafkaError as error:
            raise self.failure(error) from error

    def failure(self, error: BaseException) -> Failure:
        """An error of the client with Kafka's code."""
        words = self.config.scrub(str(error) or type(error).__name__)
        if isinstance(error, BrokerResponseError) and error.errno > 0:
            return Failure(error.errno, words)
        if isinstance(error, CommitFailedError):
            return Failure(_UNKNOWN_MEMBER, words)
        if "Authentication" in type(error).__name__:
            return Failure(SASL_FAILED, words)
        return Failure(TIMED_OUT if isinstance(error, RetriableError) else LOCAL, words)


def _require_files(settings: Mapping[str, Any]) -> None:
    """Refuse a file of certificates or keys that is not there, which kafka-python says without its name."""
    for name, path in settings.items():
        if _own_name(name) in _FILES and not Path(path).is_file():
            raise ConfigurationError(f"{name} names a file that is not there", remedy=f"mend the path {str(path)!r}")


def _own_name(name: str) -> str:
    """kafka-python's name of a setting."""
    plain = name.replace(".", "_")
    return _ALIASES.get(plain, plain)


def _typed(name: str, value: Any, default: Any) -> Any:
    """A text of a URL as what kafka-python expects: by the default's type, else by the name."""
    if not isinstance(value, str) or isinstance(default, str):
        return value
    if name == _COMPRESSION and value == "none":  # as Kafka calls it, and librdkafka
        return None
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if isinstance(default, int | float) or name.endswith(("_ms", "_bytes")):
        return number_of(value)
    return value
