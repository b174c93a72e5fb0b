"""kafka-python as a client: connecting, and the calls about topics."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import for_code

from onepipe_kafka.client import TopicState
from onepipe_kafka.config import KafkaConfig
from onepipe_kafka.errors import UNKNOWN_TOPIC, Failure, translated
from onepipe_kafka.kafka_python_consumer import KafkaPythonConsumer
from onepipe_kafka.kafka_python_producer import KafkaPythonProducer
from onepipe_kafka.kafka_python_setup import Setup

T = TypeVar("T")


def connect(config: KafkaConfig) -> KafkaPythonClient:
    """Connect to a cluster.

    Raises:
        ConfigurationError: kafka-python knows no such setting, or refuses one.
        NotAuthorized: the broker refused the login.
        TransportError: no broker answered, or its certificate is not trusted.
    """
    setup = Setup(config)
    try:
        return KafkaPythonClient(setup, setup.open("admin"))
    except Failure as failure:
        raise translated(failure, "no broker can be reached") from failure


class KafkaPythonClient:
    """See `onepipe_kafka.client.Client`."""

    def __init__(self, setup: Setup, admin: Any) -> None:
        self._setup = setup
        self._admin = admin
        self._milliseconds = round(setup.config.timeout * 1000)

    def cluster(self) -> str:
        """The cluster's id."""
        return str(self._call(self._admin.describe_cluster)["cluster_id"])

    def topics(self) -> list[str]:
        """Names of the topics, Kafka's own included."""
        return list(self._call(self._admin.list_topics))

    def topic(self, name: str) -> TopicState | None:
        """A topic; None where there is none of that name."""
        (found,) = self._call(lambda: self._admin.describe_topics([name]))
        code = found["error_code"]
        if code in UNKNOWN_TOPIC:
            return None
        if code:
            raise self._setup.failure(for_code(code)())
        rights = found.get("authorized_operations")
        return TopicState(
            _base64(found["topic_id"]),
            len(found["partitions"]),
            len(found["partitions"][0]["replica_nodes"]),
            frozenset(rights) if rights else None,
        )

    def topic_settings(self, name: str) -> dict[str, str]:
        """The settings in force for a topic."""
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        described = self._call(lambda: self._admin.describe_configs([resource], config_filter="all"))
        entries = described["topic"][name]
        return {setting: entry["value"] for setting, entry in entries.items() if entry["value"] is not None}

    def create_topic(self, name: str, partitions: int, replicas: int, settings: Mapping[str, str]) -> None:
        """Create a topic; -1 replicas are as many as the cluster's default says."""
        topic = {"num_partitions": partitions, "replication_factor": replicas, "configs": dict(settings)}
        self._call(lambda: self._admin.create_topics({name: topic}, timeout_ms=self._milliseconds))

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self._call(lambda: self._admin.delete_topics([name], timeout_ms=self._milliseconds))

    def producer(self) -> KafkaPythonProducer:
        """Open a producer."""
        return KafkaPythonProducer(self._setup)

    def consumer(self, group: str | None) -> KafkaPythonConsumer:
        """Open a consumer, which may be a group's member."""
        return KafkaPythonConsumer(self._setup, group)

    def close(self) -> None:
        """Close the connections about topics."""
        self._call(self._admin.close)

    def _call(self, call: Callable[[], T]) -> T:
        return self._setup.call(call)


def _base64(identity: Any) -> str:
    """A topic's UUID as Kafka's own tools show it."""
    return urlsafe_b64encode(uuid.UUID(str(identity)).bytes).decode().rstrip("=")
