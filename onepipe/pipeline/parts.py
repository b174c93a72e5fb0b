"""The parts of one pipeline, as everything that runs on it shares them."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from onepipe.arguments import checked_clock
from onepipe.errors import ClosedError, ConfigurationError
from onepipe.observe.events import Event, Observers
from onepipe.publishing.producer import wall_clock
from onepipe.topics import Topics

if TYPE_CHECKING:
    from onepipe.declaring.topic import Topic
    from onepipe.lake import Lake
    from onepipe.plugins import Plugins
    from onepipe.publishing.producer import Producer
    from onepipe.registry.port import Registry
    from onepipe.topics import Opened
    from onepipe.transport import Transport


class Parts:
    """What a pipeline is made of, and whether it is open. Thread-safe.

    Attributes:
        transport: the log.
        registry: declarations and schemas.
        topics: the topics that were named so far.
        plugins: where sinks by name and observers come from.
        clock: milliseconds since 1970, for messages and evidence.
        lake_url: folder or URL of the lake; None where none is used.
        producers: those still open; they are closed with the pipeline.
        closed: whether the pipeline is closed.
    """

    def __init__(
        self,
        transport: Transport,
        registry: Registry,
        *,
        lake: str | os.PathLike[str] | None,
        partitions: int,
        clock: Callable[[], int],
        plugins: Plugins,
    ) -> None:
        self.transport = transport
        self.registry = registry
        self.topics = Topics(registry, transport, partitions=partitions)
        self.plugins = plugins
        self.clock = clock if clock is wall_clock else checked_clock(clock)
        self.lake_url = lake
        self.producers: set[Producer] = set()
        self.closed = False

    @cached_property
    def lake(self) -> Lake:
        """The lake, opened at its first use.

        Raises:
            ConfigurationError: the pipeline has none.
            MissingDependency: the packages a lake needs are not installed.
        """
        if self.lake_url is None:
            raise ConfigurationError("the pipeline has no lake", remedy="connect(url, lake='./lake')")
        from onepipe.lake import open_lake

        return open_lake(self.lake_url)

    def require_open(self) -> None:
        """Require that the pipeline is open.

        Raises:
            ClosedError: it is closed.
        """
        if self.closed:
            raise ClosedError("the pipeline is closed", remedy="connect again")

    def open(self, what: type | Topic | str, **options: Any) -> Opened:
        """Register a declaration and create its topic, as `Topics.open` does.

        Raises:
            ClosedError: the pipeline is closed.
        """
        self.require_open()
        return self.topics.open(what, **options)

    def tell(self, event: Event) -> None:
        """Tell an event to the plugins' observers, which are loaded at the first one."""
        self._observers(event)

    def now(self) -> dt.datetime:
        """The clock's present moment, UTC."""
        return dt.datetime.fromtimestamp(self.clock() / 1000, dt.UTC)

    def close(self) -> None:
        """Close the producers that are still open, then transport and registry. May be called again.

        Raises:
            DeliveryError: a producer's records were not delivered; everything is closed nevertheless.
        """
        if self.closed:
            return
        self.closed = True
        with ExitStack() as resources:
            resources.callback(self.registry.close)
            resources.callback(self.topics.close)
            resources.callback(self.transport.close)
            for producer in list(self.producers):
                resources.callback(producer.close)

    @cached_property
    def _observers(self) -> Observers:
        return Observers.of(self.plugins.observers())
