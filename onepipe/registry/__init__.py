"""The registry: topics and schemas by name, version and id."""

from __future__ import annotations

from typing import Final

from onepipe.errors import ConfigurationError, MissingDependency, nearest
from onepipe.registry.memory import MemoryStore
from onepipe.registry.port import Registered, Registry, Review
from onepipe.registry.stored import StoredRegistry
from onepipe.schema.compatibility import Level

__all__ = ["Level", "Registered", "Registry", "Review", "open_registry"]

_SCHEMES: Final = ("memory", "sqlite", "postgresql")


def open_registry(url: str) -> Registry:
    """Open a registry.

    Args:
        url: where it is kept: `memory://` (a new one each time, gone with it), `memory://name` (one by that name in
            this process), `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user@host/database`.

    Raises:
        ConfigurationError: not such a URL.
        MissingDependency: SQLAlchemy, or the database's driver, is not installed.
        RegistryUnavailable: the database cannot be reached.
    """
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme not in _SCHEMES or "://" not in url:
        raise ConfigurationError(f"no registry is opened by {scheme}://{nearest(scheme, _SCHEMES)}")
    if scheme == "memory":
        return StoredRegistry(MemoryStore(url.partition("://")[2]))
    try:
        from onepipe.registry.sql import SQLStore
    except ModuleNotFoundError as error:
        if error.name != "sqlalchemy":
            raise
        remedy = "pip install 'onepipe[sql]'"
        raise MissingDependency("a registry in a database needs SQLAlchemy", remedy=remedy) from error
    return StoredRegistry(SQLStore(url))
