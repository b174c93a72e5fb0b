"""Spark: a batch read of a topic of Avro in Confluent's framing to Parquet files, in a process of its own."""

from __future__ import annotations

import json

from apart_loop import serve, settings
from pyspark.sql import SparkSession
from pyspark.sql.avro.functions import from_avro
from pyspark.sql.functions import expr

TOLD = settings()
FIRST_BYTE = 6

spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.jars", ",".join(TOLD["jars"]))
    .config("spark.driver.memory", "4g")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")


def work(folder: str) -> int:
    """Read the topic to its end, decoded, with each message's place."""
    raw = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", TOLD["address"])
        .option("subscribe", TOLD["topic"])
        .option("startingOffsets", "earliest")
        .load()
    )
    body = from_avro(expr(f"substring(value, {FIRST_BYTE})"), json.dumps(TOLD["schema"]), {"mode": "FAILFAST"})
    decoded = raw.select("partition", "offset", "timestamp", "key", body.alias("record"))
    decoded.select("partition", "offset", "timestamp", "key", "record.*").write.parquet(f"{folder}/rows")
    return spark.read.parquet(f"{folder}/rows").count()


serve(work, TOLD["length"])
