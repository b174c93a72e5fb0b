"""Feeding a sink from a pipeline: which sink, from which topic, and where its progress is kept.

`Pipeline.sink` says what the arguments mean.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from onepipe.arguments import require_a, require_choice, require_count, require_name
from onepipe.bodies.decoder import record_decoder
from onepipe.consuming.backoff import NEVER, Backoff, Failure
from onepipe.consuming.delivery import OnFailure
from onepipe.dead_letters.sender import LetterSender
from onepipe.dead_letters.topic import Stage, State
from onepipe.errors import ConfigurationError
from onepipe.sink import ProgressStore, PutAside, Sink, TransactionalSink, feed
from onepipe.transport import Until

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.pipeline.parts import Parts
    from onepipe.transport import Message


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
    on_undecodable: PutAside | None,
    retry: Backoff | None,
    on_failure: OnFailure,
    letters: LetterSender,
) -> dict[int, int]:
    """Bring a sink up to date with a topic; by partition, the offset after the last one stored."""
    require_choice("until", until, Until)
    require_choice("on_failure", on_failure, OnFailure)
    require_a(Backoff, "retry", retry, "an op.backoff(…)")
    require_count("max_batch", max_batch)
    require_a(threading.Event, "stop", stop, "a threading.Event")
    parts.require_open()
    target = opened_sink(parts, sink, settings)
    require_name("name", name)
    readable = parts.topics.open_to_read(what)
    own = isinstance(target, TransactionalSink)
    aside = None
    if on_failure == "dead_letter":
        if name is None:
            raise ConfigurationError("dead letters are kept under the sink's name", remedy="pipe.sink(…, name='…')")
        aside = _Letters(letters, name, in_doubt=own)
    return feed(
        target,
        readable.topic,
        parts.transport,
        record_decoder(readable.schemas or parts.registry, readable),
        progress=None if own else _progress_in_lake(parts, target, name, readable.topic.name),
        max_batch=max_batch,
        on_undecodable=on_undecodable,
        until=until,
        stop=stop,
        retry=retry or NEVER,
        set_aside=aside,
    )


@attrs.frozen
class _Letters:
    """Keeps what a sink fails on as dead letters.

    Of a transactional sink a letter is unconfirmed until its progress has passed the record: before that, another
    process may still store it.
    """

    sender: LetterSender
    name: str
    in_doubt: bool
    failures: dict[tuple[int, int], Failure] = attrs.field(factory=dict)

    def failed(self, message: Message, log: str, failure: Failure) -> None:
        self.failures[message.partition, message.offset] = failure
        self._keep(message, log, failure, State.UNCONFIRMED if self.in_doubt else State.OPEN)

    def passed(self, message: Message, log: str) -> None:
        failure = self.failures.pop((message.partition, message.offset))
        if self.in_doubt:
            self._keep(message, log, failure, State.OPEN)

    def _keep(self, message: Message, log: str, failure: Failure, state: State) -> None:
        self.sender.set_aside(
            message,
            log,
            failure.error,
            stage=Stage.SINK,
            consumer=self.name,
            attempts=failure.attempts,
            state=state,
        )


def opened_sink(parts: Parts, sink: Sink[Any] | str, settings: Mapping[str, Any] | None) -> Sink[Any]:
    """The sink that was given, or made by a plugin.

    Raises:
        PluginError: no plugin has such a sink.
        ConfigurationError: it is no sink.
    """
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
