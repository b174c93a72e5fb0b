"""A program for spark-submit that dedups a topic in small tasks; run as a script by tests.

spark_program.py LAKE TOPIC ROWS    with tasks of about ROWS rows, and files of half of that
"""

from __future__ import annotations

import sys

from onepipe.lake import open_lake
from onepipe.lake.dedup import dedup
from onepipe.lake.spark import SparkEngine

if __name__ == "__main__":
    url, topic, rows = sys.argv[1:]
    lake = open_lake(url)
    engine = SparkEngine(task_rows=int(rows))
    report = dedup(lake, lake.topic(topic), target_rows=int(rows) // 2, memory="256MB", engine=engine)
    print(f"{report.arrivals} arrivals, {report.added} files")  # noqa: T201  (the parent reads it)
