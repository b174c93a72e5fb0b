"""Quix Streams: a topic of Avro in Confluent's framing to Parquet files, in a process of its own."""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path
from typing import Any

from apart_loop import serve, settings
from quixstreams import Application
from quixstreams.models.serializers.avro import AvroDeserializer
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink

TOLD = settings()
FRAME_BYTES = 5


class Framed(AvroDeserializer):
    """Avro of one schema, behind the frame that names it."""

    def __call__(self, value: bytes, ctx: Any) -> Any:
        """The record of a message."""
        return super().__call__(value[FRAME_BYTES:], ctx)


def work(folder: str) -> int:
    """Read the topic to its end, by a group of its own, into files in a folder."""
    os.chdir(folder)
    app = Application(
        broker_address=TOLD["address"],
        consumer_group=f"quix-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel=logging.ERROR,
    )
    taken = app.dataframe(app.topic(TOLD["topic"], value_deserializer=Framed(TOLD["schema"])))
    taken.sink(LocalFileSink(directory="sink", format=ParquetFormat()))
    app.run(count=TOLD["length"])
    return TOLD["length"] if any(Path("sink").rglob("*.parquet")) else 0


serve(work, TOLD["length"])
