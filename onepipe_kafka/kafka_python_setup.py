"""What every part of kafka-python is opened with, and what its errors are in Kafka's own codes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import BrokerResponseError, CommitFailedError, KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient

from onepipe.errors import ConfigurationError, MissingDependency, nearest
from onepipe_kafka.config import KafkaConfig, Role
from onepipe_kafka.errors import LOCAL, SASL_FAILED, TIMED_OUT, Failure

_UNKNOWN_MEMBER: Final = 25
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

T = TypeVar("T")


class _WithoutValues(logging.Filter):
    """Keeps kafka-python's line about each record it sends, which shows key and value, out of logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "key=%r" not in str(record.msg)


logging.getLogger("kafka.producer.kafka").addFilter(_WithoutValues())


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
            ConfigurationError: kafka-python refuses a setting.
            MissingDependency: a package for the wanted compression is not installed.
            Failure: no broker can be reached.
        """
        given = {_own_name(name): value for name, value in self.config.role(role).items()}
        known = _KNOWN[role]
        taken = {name: _typed(name, value, known[name]) for name, value in given.items() if name in known}
        settings = {
            "client_id": "onepipe",
            "kafka_client": _client,
            "bootstrap_timeout_ms": round(self.config.timeout * 1000),
            **own,
            **taken,
            "bootstrap_servers": list(self.config.servers),
        }
        try:
            return _PARTS[role](**settings)
        except KafkaError as error:
            raise self.failure(error) from None
        except RuntimeError as error:
            remedy = "install the package that compresses so: lz4, python-snappy or zstandard"
            raise MissingDependency(self.config.scrub(str(error)), remedy=remedy) from None
        except (ValueError, TypeError, AssertionError, OSError) as error:
            raise ConfigurationError(f"kafka-python refuses the settings: {self.config.scrub(str(error))}") from None

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
        return Failure(TIMED_OUT if isinstance(error, KafkaTimeoutError) else LOCAL, words)


def _client(**configs: Any) -> Any:
    """A network client that creates no topic by asking for it; kafka-python 3.0 does not pass that setting on."""
    client = KafkaNetClient(**configs)
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def _own_name(name: str) -> str:
    """kafka-python's name of a setting."""
    plain = name.replace(".", "_")
    return _ALIASES.get(plain, plain)


def _typed(name: str, value: Any, default: Any) -> Any:
    """A text of a URL as what kafka-python expects: by the default's type, else by the name."""
    if not isinstance(value, str) or isinstance(default, str):
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if isinstance(default, int | float) or name.endswith(("_ms", "_bytes")):
        return int(value) if value.lstrip("-").isdecimal() else value
    return value
