"""Settings of the memory transport, from a URL's query and from arguments beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import attrs

from onepipe.errors import ConfigurationError, nearest
from onepipe.url import Url


def wall_clock() -> int:
    """Milliseconds since 1970-01-01T00:00Z."""
    return time.time_ns() // 1_000_000


def _at_least(limit: int) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and (not isinstance(value, int) or value < limit):
            raise ConfigurationError(f"{attribute.name} is an integer of at least {limit}, not {value!r}")

    return check


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _one_of(*allowed: str) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            raise ConfigurationError(f"{attribute.name} is one of {', '.join(allowed)}, not {value!r}")

    return check


@attrs.frozen
class MemoryConfig:
    """Settings of a memory log.

    Attributes:
        max_message_bytes: most bytes of a message's key, value and headers together.
        capacity_bytes: most bytes a partition holds, None for no bound; appending beyond it raises BufferFull until
            retention makes room. In memory only.
        max_poll_interval_ms: a member of a group that does not poll for this long is taken for dead.
        clock: milliseconds since 1970, for retention and groups.
        batch_bytes: on disk, messages are written once this many bytes wait.
        linger_ms: on disk, messages are written by the next `append` or `poll` once one has waited for this long.
        segment_bytes: on disk, a partition's file is followed by a new one beyond this size.
        sync: on disk, when a message is acknowledged: "disk" once it is on the disk (survives a power failure), "os"
            once the operating system has it (survives the death of the process).
    """

    max_message_bytes: int = attrs.field(default=1 << 20, converter=_number, validator=_at_least(1))
    capacity_bytes: int | None = attrs.field(default=None, converter=_number, validator=_at_least(1))
    max_poll_interval_ms: int = attrs.field(default=300_000, converter=_number, validator=_at_least(1))
    clock: Callable[[], int] = wall_clock
    batch_bytes: int = attrs.field(default=1 << 20, converter=_number, validator=_at_least(1))
    linger_ms: int = attrs.field(default=5, converter=_number, validator=_at_least(0))
    segment_bytes: int = attrs.field(default=64 << 20, converter=_number, validator=_at_least(1))
    sync: Literal["disk", "os"] = attrs.field(default="disk", validator=_one_of("disk", "os"))

    @classmethod
    def of(cls, url: Url, settings: Mapping[str, Any]) -> Self:
        """The settings a URL's query and `settings` say; the latter win.

        Raises:
            ConfigurationError: a setting is unknown, or its value is wrong.
        """
        given = {**url.query, **settings}
        for name in given:
            if not isinstance(name, str):
                raise ConfigurationError(f"a setting's name is text, not {type(name).__name__}")
            if name not in _NAMES:
                raise ConfigurationError(f"the memory transport has no setting {name!r}{nearest(name, _NAMES)}")
        if "clock" in url.query:
            raise ConfigurationError("clock is a function, and cannot stand in a URL")
        return cls(**given)


_NAMES: Final = [field.name for field in attrs.fields(MemoryConfig)]


def folder_of(url: Url) -> Path | None:
    """The folder a URL names, or None where the log is in memory.

    Raises:
        ConfigurationError: the URL has both a name and a path, a user, or a path that cannot be a folder's.
    """
    if url.user is not None:
        raise ConfigurationError("a memory log has no users")
    if url.path in ("", "/"):
        return None
    if url.host == ".":
        return _resolved(url.path.lstrip("/"))
    if url.host:
        remedy = f"memory://{url.host} is in memory, memory://{url.path} on disk, memory://.{url.path} relative"
        raise ConfigurationError("a memory log has a name or a folder, not both", remedy=remedy)
    return _resolved(url.path)


def _resolved(path: str) -> Path:
    try:
        return Path(path).resolve()
    except (ValueError, RuntimeError) as error:  # a null byte, a lone surrogate; a circle of symbolic links
        raise ConfigurationError(f"the path of the log's folder cannot be followed: {error}") from error
