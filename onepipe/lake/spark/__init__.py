"""Dedup on Spark: `pipe.dedup(topic, engine="spark")`, or an engine of a session of one's own.

Spark cuts the work into ranges of the identity hash, moves rows to their range, schedules and tries again. Within a
range, each task folds by the very SQL of `onepipe.lake.plan`, in the engine that the embedded dedup uses, so the rows
are the same to the bit, of every type and with every merge policy. The driver sees paths, counts and, where the clean
table has rows already, the identity hashes of the arrivals; it sees no rows.
"""

from onepipe.lake.spark.engine import SparkEngine

__all__ = ["SparkEngine"]
