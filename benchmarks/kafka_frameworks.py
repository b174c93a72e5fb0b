"""Frameworks that read a topic of Kafka, decode it, and write it as Parquet files, each in a process of its own."""

from __future__ import annotations

from typing import Any, Final

import attrs

from benchmarks.apart import Apart
from benchmarks.broker import of_tests

_QUIX: Final = ("quixstreams==3.28.1", "fastavro==1.13.1", "pyarrow==26.0.1")
_SPARK_VERSION: Final = "4.0.0"
_SPARK: Final = (f"pyspark=={_SPARK_VERSION}",)
_SPARK_JARS: Final = (
    f"org.apache.spark:spark-sql-kafka-0-10_2.13:{_SPARK_VERSION}",
    f"org.apache.spark:spark-avro_2.13:{_SPARK_VERSION}",
)
_OF_SPARK: Final = ("hadoop-client-", "scala-library")
"""Jars that come with Spark itself."""


@attrs.frozen
class ReadTopic:
    """A topic of Avro in Confluent's framing.

    Attributes:
        address: where clients of its Kafka bootstrap.
        topic: its name.
        schema: of its records, as a parsed document.
        length: how many records it holds.
    """

    address: str
    topic: str
    schema: Any
    length: int


def spark(topic: ReadTopic) -> Apart:
    """Spark's batch read, in a virtual machine that stays warm."""
    folder = of_tests("services.maven").jars(f"spark-kafka-{_SPARK_VERSION}", _SPARK_JARS)
    jars = [str(jar) for jar in folder.iterdir() if not jar.name.startswith(_OF_SPARK)]
    return Apart("apart_spark", _SPARK, {**attrs.asdict(topic), "jars": jars})


def quix(topic: ReadTopic) -> Apart:
    """Quix Streams with its sink of Parquet files."""
    return Apart("apart_quix", _QUIX, attrs.asdict(topic))
