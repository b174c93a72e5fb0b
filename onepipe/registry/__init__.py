"""The registry: topics and schemas by name, version and id."""

from __future__ import annotations

from typing import Final

from onepipe.errors import ConfigurationError, MissingDependency, nearest
from onepipe.registry.memory import MemoryStore
from onepipe.registry.port import Registered, Registry, Review
from onepipe.registry.stored import StoredRegistry
from onepipe.schema.compatibility import Level
from onepipe.url import Url

__all__ = ["Level", "Registered", "Registry", "Review", "open_registry"]

_SCHEMES: Final = ("memory", "sqlite", "postgresql", "http", "https")


def open_registry(url: str) -> Registry:
    """Open a registry.

    Args:
        url: where it is kept: `memory://` (a new one each time, gone with it), `memory://name` (one by that name in
            this process), `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/database`, or
            `http://host` or `https://host` of a registry that speaks Confluent's protocol, with the settings of
            `onepipe.registry.rest.Address.parse`.

    Raises:
        ConfigurationError: not such a URL.
        MissingDependency: SQLAlchemy, or the database's driver, is not installed.
        RegistryUnavailable: the database cannot be reached. A registry over HTTP is first asked when it is used.
    """
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme not in _SCHEMES or "://" not in url:
        raise ConfigurationError(f"no registry is opened by {scheme}://{nearest(scheme, _SCHEMES)}")
    if scheme == "memory":
        return StoredRegistry(MemoryStore(url.partition("://")[2]), url=url if len(url) > len("memory://") else None)
    if scheme in ("http", "https"):
        from onepipe.registry.http import HTTPStore
        from onepipe.registry.rest import Address, Rest

        address = Address.parse(url)
        return StoredRegistry(HTTPStore(Rest(address)), url=address.base)
    try:
        from onepipe.registry.sql import SQLStore
    except ModuleNotFoundError as error:
        if error.name != "sqlalchemy":
            raise
        remedy = "pip install 'onepipe[sql]'"
        raise MissingDependency("a registry in a database needs SQLAlchemy", remedy=remedy) from error
    return StoredRegistry(SQLStore(url), url=str(Url.parse(url)))
