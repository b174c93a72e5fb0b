"""Every hook of a plugin. A plugin is a module or object with functions of these names, marked `@hookimpl`.

A plugin is found by an entry point of the group `onepipe`, or registered with `Plugins.register`. Hooks register
things once; none is called per record. A plugin implements the hooks it has something for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pluggy

if TYPE_CHECKING:
    from onepipe.codec import Codec
    from onepipe.merge import FieldMerge
    from onepipe.observe.events import Observer
    from onepipe.sink import Sink
    from onepipe.transport import Transport
    from onepipe.url import Url

_Hook = TypeVar("_Hook", bound=Callable[..., Any])

PROJECT: Final = "onepipe"
"""Name under which pluggy knows the hooks, and the group of entry points in which plugins are found."""

hookimpl = cast("Callable[[_Hook], _Hook]", pluggy.HookimplMarker(PROJECT))
"""Marks a plugin's function as the implementation of the hook of its name."""

_first_result = pluggy.HookspecMarker(PROJECT)(firstresult=True)
_all_results = pluggy.HookspecMarker(PROJECT)()


@_first_result
def onepipe_transport(url: Url, settings: Mapping[str, Any]) -> Callable[[], Transport] | None:
    """How to open the log that `url` names, or None where its scheme is not this plugin's.

    The entry point of a plugin is best named after its scheme without the client ("kafka" for `kafka+confluent://`):
    it is then loaded without the others. Nothing is opened before the returned function is called.

    Args:
        url: the URL, taken apart.
        settings: settings given beside the URL, which win over those in its query.
    """


@_all_results
def onepipe_sinks() -> Mapping[str, Callable[..., Sink[Any]]]:  # type: ignore[empty-body]  # a specification
    """Sinks by the name under which `Pipeline.sink` finds them: a function that makes one.

    It is called with the sink's settings as keyword arguments.
    """


@_all_results
def onepipe_field_merges() -> Sequence[FieldMerge]:  # type: ignore[empty-body]  # a specification
    """Merge policies for single fields, beside the built-in ones.

    Each is associative, commutative and idempotent: the result may not depend on order, batching or redelivery.
    """


@_all_results
def onepipe_codecs() -> Mapping[str, Codec]:  # type: ignore[empty-body]  # a specification
    """Codecs by the name under which topics ask for one."""


@_all_results
def onepipe_observers() -> Sequence[Observer]:  # type: ignore[empty-body]  # a specification
    """Observers, each called with the frozen data of every event."""
