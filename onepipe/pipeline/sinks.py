"""Feeding a sink from a pipeline: which sink, from which topic, and where its progress is kept.

`Pipeline.sink` says what the arguments mean.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onepipe.arguments import require_a, require_choice, require_count, require_name
from onepipe.consumer import Until
from onepipe.decoder import record_decoder
from onepipe.errors import ConfigurationError
from onepipe.sink import OnUndecodable, ProgressStore, Sink, TransactionalSink, feed

if TYPE_CHECKING:
    from onepipe.pipeline.parts import Parts
    from onepipe.topic import Topic


def feed_sink(
    parts: Parts,
    what: type | Topic | str,
    sink: Sink[Any] | str,
    *,
    name: str | None,
    settings: Mapping[str, Any] | None,
    until: Until,
    stop: threading.Event | None,
    max_batch: int,
    on_undecodable: OnUndecodable | None,
) -> dict[int, int]:
    """Bring a sink up to date with a topic; by partition, the offset after the last one stored."""
    require_choice("until", until, Until)
    require_count("max_batch", max_batch)
    require_a(threading.Event, "stop", stop, "a threading.Event")
    parts.require_open()
    target = _opened(parts, sink, settings)
    require_name("name", name)
    readable = parts.topics.open_to_read(what)
    own = isinstance(target, TransactionalSink)
    return feed(
        target,
        readable.topic,
        parts.transport,
        record_decoder(readable.schemas or parts.registry, readable),
        progress=None if own else _progress_in_lake(parts, target, name, readable.topic.name),
        max_batch=max_batch,
        on_undecodable=on_undecodable,
        follow=until == "stopped",
        stop=stop,
    )


def _opened(parts: Parts, sink: Sink[Any] | str, settings: Mapping[str, Any] | None) -> Sink[Any]:
    if isinstance(sink, str):
        sink = parts.plugins.sink(sink, settings)
    elif settings:
        raise ConfigurationError("settings are for a plugin's sink by its name, not for an instance")
    if isinstance(sink, type):
        raise ConfigurationError(f"{sink.__name__} is a class", remedy=f"give an instance: {sink.__name__}(…)")
    require_a(Sink, "sink", sink, "an object with a method 'write', or the name of a plugin's")
    return sink


def _progress_in_lake(parts: Parts, sink: Sink[Any], name: str | None, topic: str) -> ProgressStore:
    if name is None:
        raise ConfigurationError(
            f"{type(sink).__name__} has no method 'progress', and no name to keep its progress under",
            topic=topic,
            remedy="pipe.sink(…, name='…')",
        )
    lake = parts.lake
    from onepipe.lake.progress import LakeProgress

    return LakeProgress(lake.storage, name, topic)
