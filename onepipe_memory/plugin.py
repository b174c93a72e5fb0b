"""The plugin: opens memory:// URLs. Logs with a name or a folder are shared by all transports of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.errors import ConfigurationError
from onepipe.hookspecs import hookimpl
from onepipe.url import Url

if TYPE_CHECKING:
    from onepipe_memory.config import MemoryConfig
    from onepipe_memory.log import Log
    from onepipe_memory.transport import MemoryTransport


@hookimpl
def onepipe_transport(url: Url, settings: Mapping[str, Any]) -> Callable[[], MemoryTransport] | None:
    """How to open a memory:// URL; None for any other."""
    if url.scheme != "memory":
        return None
    return lambda: open_transport(url, settings)


def open_transport(url: Url, settings: Mapping[str, Any]) -> MemoryTransport:
    """Open the log that a memory:// URL names.

    Raises:
        ConfigurationError: a setting is unknown, wrong, or another one than the log was opened with before.
    """
    from onepipe_memory.config import MemoryConfig, folder_of
    from onepipe_memory.transport import MemoryTransport

    config = MemoryConfig.of(url, settings)
    name = folder_of(url) or url.host
    if not name:
        return MemoryTransport(_new_log("", config), _do_nothing)
    with _LOCK:
        shared = _SHARED.get(name)
        if shared is None:
            shared = _SHARED[name] = _Shared(_new_log(name, config))
        _require_same(shared.log.config, config, {**url.query, **settings}, url)
        shared.users += 1
    return MemoryTransport(shared.log, lambda: _leave(name))


@attrs.define
class _Shared:
    log: Log
    users: int = 0


_SHARED: Final[dict[str | Path, _Shared]] = {}
_LOCK = threading.Lock()


def _new_log(place: str | Path, config: MemoryConfig) -> Log:
    """A log in a folder, or in memory under a name; without a name where that is empty."""
    from onepipe_memory.log import Log
    from onepipe_memory.store import MemoryStore

    if isinstance(place, str):
        return Log(MemoryStore(config, place), config)
    from onepipe_memory.disk import DiskStore

    return Log(DiskStore(place, config), config)


def _leave(name: str | Path) -> None:
    """A log in memory stays for those who name it later; one on disk is closed by its last user."""
    with _LOCK:
        shared = _SHARED[name]
        shared.users -= 1
        if shared.users == 0 and isinstance(name, Path):
            del _SHARED[name]
            shared.log.store.close()


def _require_same(opened: MemoryConfig, wanted: MemoryConfig, given: Iterable[str], url: Url) -> None:
    for name in given:
        if getattr(opened, name) != getattr(wanted, name):
            remedy = "use the same settings, or another name"
            raise ConfigurationError(f"{url} is open with another {name}", remedy=remedy)


def _do_nothing() -> None:
    """A log of one's own goes with its transport."""


def _forget_all() -> None:
    """After a fork: the parent's logs are not the child's."""
    global _LOCK  # the parent's may have been held by another thread
    _LOCK = threading.Lock()
    _SHARED.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
