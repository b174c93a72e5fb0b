"""The plugin: opens kafka:// and kafka+confluent:// URLs; the client is what the URL names, not what is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from onepipe.errors import MissingDependency
from onepipe.hookspecs import hookimpl
from onepipe.url import Url

if TYPE_CHECKING:
    from onepipe_kafka.transport import KafkaTransport

_CLIENTS: Final = {
    "kafka": ("onepipe_kafka.kafka_python", "kafka", "kafka-python", "kafka"),
    "kafka+confluent": ("onepipe_kafka.confluent", "confluent_kafka", "confluent-kafka", "kafka-confluent"),
}
"""By scheme: the adapter, the module and the package of its client, and the extra that brings it."""


@hookimpl
def onepipe_transport(url: Url, settings: Mapping[str, Any]) -> Callable[[], KafkaTransport] | None:
    """How to open a Kafka's URL; None for any other."""
    if url.scheme not in _CLIENTS:
        return None
    return lambda: open_transport(url, settings)


def open_transport(url: Url, settings: Mapping[str, Any]) -> KafkaTransport:
    """Connect to the Kafka that a URL names.

    Raises:
        ConfigurationError: a setting is unknown or wrong.
        MissingDependency: the client that the URL names is not installed.
        TransportError: no broker answered; NotAuthorized where it refused the login.
    """
    from onepipe_kafka.config import KafkaConfig
    from onepipe_kafka.transport import KafkaTransport

    config = KafkaConfig.of(url, settings)
    adapter, module, package, extra = _CLIENTS[url.scheme]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a client about itself: no user can mend it
            connect = import_module(adapter).connect
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != module:
            raise
        remedy = f"pip install 'onepipe[{extra}]'"
        raise MissingDependency(f"{url.scheme}:// needs {package}", remedy=remedy) from missing
    return KafkaTransport(connect(config), config)
