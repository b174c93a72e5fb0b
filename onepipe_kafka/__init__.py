"""The Kafka transport: one adapter over two clients, which the URL names.

kafka://host:port[,host:port]            by kafka-python, which is pure Python (onepipe[kafka])
kafka+confluent://host:port[,host:port]  by confluent-kafka, over librdkafka (onepipe[kafka-confluent])

A forked child cannot use its parent's connections: it connects again.
"""

from onepipe_kafka.config import PlaintextWarning

__all__ = ["PlaintextWarning"]
