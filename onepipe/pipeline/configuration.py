"""Connecting: from arguments, and the environment where they say nothing, to a pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from onepipe.arguments import require_a, require_callable
from onepipe.errors import ConfigurationError
from onepipe.pipeline.pipeline import Pipeline
from onepipe.plugins import Plugins, default_plugins
from onepipe.publishing.producer import wall_clock
from onepipe.registry import open_registry
from onepipe.topics import DEFAULT_PARTITIONS
from onepipe.url import Url

if TYPE_CHECKING:
    from onepipe.transport import Transport

URL_VARIABLE: Final = "ONEPIPE_URL"
LAKE_VARIABLE: Final = "ONEPIPE_LAKE"
REGISTRY_VARIABLE: Final = "ONEPIPE_REGISTRY"


def connect(
    url: str | None = None,
    *,
    lake: str | os.PathLike[str] | None = None,
    registry: str | None = None,
    partitions: int = DEFAULT_PARTITIONS,
    application: str | None = None,
    clock: Callable[[], int] = wall_clock,
    settings: Mapping[str, Any] | None = None,
    plugins: Iterable[object] = (),
) -> Pipeline:
    """Connect to a pipeline.

    Args:
        url: the transport: "memory://" (a new log), "memory://name" (shared within the process), "memory:///folder"
            (kept on disk), or another plugin's. The variable ONEPIPE_URL where None.
        lake: folder of the lake. The variable ONEPIPE_LAKE where None; none is needed to publish and consume.
        registry: URL of the registry. The variable ONEPIPE_REGISTRY where None, else the one that goes with the
            transport.
        partitions: how many partitions a new topic gets.
        application: what the application calls itself, kept in the audit.
        clock: milliseconds since 1970, for messages and evidence.
        settings: handed to the transport unchanged.
        plugins: modules or objects with hooks (docs/reference/hooks.md), beside the installed plugins, over which they
            win. Their merge policies and codecs are then known to the whole process.

    Raises:
        ConfigurationError: no URL, no registry, or a setting the transport does not know.
        PluginError: no installed plugin knows the URL's scheme; says which there are. Or a given plugin has an unknown
            hook.
        MissingDependency: a package that the log or its registry needs is not installed; says which extra brings it.
    """
    for name, text in (("url", url), ("registry", registry)):
        require_a(str, name, text, "the text of a URL")
    require_a(str | os.PathLike, "lake", lake, "a folder or URL")
    require_a(Mapping, "settings", settings, "a dict")
    require_a(Iterable, "plugins", plugins, "a sequence of modules or objects")
    require_callable("clock", clock)
    named = _named(url)
    given = tuple(plugins)
    known = Plugins.of(given) if given else default_plugins()
    opened_by = Url.parse(named)
    with ExitStack() as until_connected:
        transport = known.open_transport(opened_by, settings)
        until_connected.callback(transport.close)
        declarations = open_registry(_registry_url(registry, transport))
        until_connected.callback(declarations.close)
        pipeline = Pipeline(
            transport,
            declarations,
            lake=lake or os.environ.get(LAKE_VARIABLE),
            partitions=partitions,
            application=application,
            clock=clock,
            plugins=known,
            url=opened_by,
        )
        until_connected.pop_all()
    return pipeline


def _named(url: str | None) -> str:
    found = url or os.environ.get(URL_VARIABLE)
    if not found:
        raise ConfigurationError("no transport is named", remedy=f"connect('memory://'), or set {URL_VARIABLE}")
    return found


def _registry_url(registry: str | None, transport: Transport) -> str:
    found = registry or os.environ.get(REGISTRY_VARIABLE) or transport.default_registry
    if found is None:
        remedy = f"connect(url, registry='sqlite:///…'), or set {REGISTRY_VARIABLE}"
        raise ConfigurationError("the transport has no registry of its own", remedy=remedy)
    return found
