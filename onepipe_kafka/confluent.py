"""confluent-kafka as a client: connecting, and the calls about topics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported all the same
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from onepipe_kafka.client import TopicState
from onepipe_kafka.config import KafkaConfig
from onepipe_kafka.confluent_consumer import ConfluentConsumer
from onepipe_kafka.confluent_producer import ConfluentProducer
from onepipe_kafka.confluent_setup import Setup
from onepipe_kafka.errors import TIMED_OUT, UNKNOWN_TOPIC, Failure

_CONNECT_SECONDS: Final = 1.0
_URL_SAFE: Final = str.maketrans("+/", "-_", "=")
"""From librdkafka's base64 to that which Kafka's own tools show."""


def connect(config: KafkaConfig) -> ConfluentClient:
    """Connect to a cluster.

    Raises:
        ConfigurationError: librdkafka refuses a setting.
        NotAuthorized: the broker refused the login.
        TransportError: no broker answered, or its certificate is not trusted.
    """
    setup = Setup(config)
    client = ConfluentClient(setup, setup.open(AdminClient, "admin"))
    setup.require(client.greet, "no broker can be reached")
    return client


class ConfluentClient:
    """See `onepipe_kafka.client.Client`."""

    def __init__(self, setup: Setup, admin: AdminClient) -> None:
        self._setup = setup
        self._admin = admin
        self._timeout = setup.config.timeout

    def greet(self) -> None:
        """Wait until a broker answers; a refused login or certificate is known before the time is over."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self._admin.cluster_id(timeout=min(_CONNECT_SECONDS, self._timeout))
            except KafkaException as error:
                self._admin.poll(0)
                failure = self._setup.failure(error)
                if failure.code != TIMED_OUT or time.monotonic() >= deadline:
                    raise failure from None
            else:
                return

    def cluster(self) -> str:
        """The cluster's id."""
        try:
            return self._admin.cluster_id(timeout=self._timeout)
        except KafkaException as error:
            raise self._setup.failure(error) from error

    def topics(self) -> list[str]:
        """Names of the topics, Kafka's own included."""
        try:
            return list(self._admin.list_topics(timeout=self._timeout).topics)
        except KafkaException as error:
            raise self._setup.failure(error) from error

    def topic(self, name: str) -> TopicState | None:
        """A topic; None where there is none of that name."""
        asked = self._admin.describe_topics(
            TopicCollection([name]), include_authorized_operations=True, request_timeout=self._timeout
        )
        try:
            found = self._result(asked[name])
        except Failure as failure:
            if failure.code in UNKNOWN_TOPIC:
                return None
            raise
        rights = found.authorized_operations
        return TopicState(
            str(found.topic_id).translate(_URL_SAFE),
            len(found.partitions),
            len(found.partitions[0].replicas),
            None if rights is None else frozenset(right.name for right in rights),
        )

    def topic_settings(self, name: str) -> dict[str, str]:
        """The settings in force for a topic."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        (asked,) = self._admin.describe_configs([resource], request_timeout=self._timeout).values()
        return {entry.name: entry.value for entry in self._result(asked).values() if entry.value is not None}

    def create_topic(self, name: str, partitions: int, replicas: int, settings: Mapping[str, str]) -> None:
        """Create a topic; -1 replicas are as many as the cluster's default says."""
        topic = NewTopic(name, partitions, replicas, config=dict(settings))
        self._result(self._admin.create_topics([topic], operation_timeout=self._timeout)[name])

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self._result(self._admin.delete_topics([name], operation_timeout=self._timeout)[name])

    def producer(self) -> ConfluentProducer:
        """Open a producer."""
        return ConfluentProducer(self._setup)

    def consumer(self, group: str | None) -> ConfluentConsumer:
        """Open a consumer, which may be a group's member."""
        return ConfluentConsumer(self._setup, self._admin, group)

    def close(self) -> None:
        """Nothing: the connections go with this object."""

    def _result(self, asked: Future[Any]) -> Any:
        try:
            return asked.result(self._timeout)
        except KafkaException as error:
            self._admin.poll(0)
            raise self._setup.failure(error) from error
        except TimeoutError as error:
            raise Failure(TIMED_OUT, f"no answer within {self._timeout:g} s") from error
