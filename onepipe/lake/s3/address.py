"""The URL of a lake on S3: `s3://bucket/prefix?endpoint=https://…&region=…`."""

from __future__ import annotations

import ipaddress
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import attrs

from onepipe.errors import ConfigurationError, LakeError, nearest
from onepipe.lake.storage import path_parts
from onepipe.url import Url

T = TypeVar("T")

CACHE_BYTES: Final = 10 << 30
"""Bytes of copies that are kept unless told otherwise."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_SIZE: Final = re.compile(r"([0-9]{1,18})(B|kB|MB|GB|TB)?\Z")
_UNITS: Final = {None: 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_ADDRESSING: Final = ("path", "virtual")
_FLAGS: Final = {"true": True, "false": False}


@attrs.frozen
class S3Address:
    """Where a lake is, and how to get there. Holds no credentials: those come from AWS's own chain.

    Attributes:
        bucket: name of the bucket.
        prefix: what the keys of the lake's files begin with, without "/" at its ends; may be empty.
        endpoint: URL of the service; what AWS's variables or configuration say, else AWS's own, where None.
        region: name of the region; likewise.
        profile: profile of AWS's configuration files; likewise.
        addressing: whether a bucket's name stands in the "path" of a request's URL or in its host ("virtual"); virtual
            at AWS and path elsewhere where None.
        allow_http: whether requests to another machine may go unencrypted.
        cache: folder of local copies.
        cache_bytes: most bytes of copies to keep.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: str | None = None
    allow_http: bool = False
    cache: Path = attrs.field(factory=lambda: _default_cache())
    cache_bytes: int = CACHE_BYTES

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".removesuffix("/")


def parse_address(text: str) -> S3Address:
    """Take the URL of a lake apart.

    Raises:
        ConfigurationError: no bucket, a prefix that a lake cannot have, a setting that there is not or of a wrong
            value, or credentials.
    """
    url = Url.parse(text)
    if url.user is not None or url.password is not None:
        raise _credentials()
    if not _BUCKET.match(url.host):
        raise ConfigurationError(f"{url.host!r} is not the name of a bucket", remedy="s3://bucket/prefix")
    prefix = url.path.strip("/")
    try:
        path_parts(prefix) if prefix else []
    except LakeError:
        remedy = "names of letters, digits, '.', '_', '=' and '-', joined by '/'"
        raise ConfigurationError(f"{prefix!r} cannot be the prefix of a lake", remedy=remedy) from None
    return S3Address(url.host, prefix, **_settings(url.query))


def require_encrypted(endpoint: str, *, allow_http: bool) -> None:
    """Refuse an endpoint of another machine that is not encrypted, unless that is allowed.

    Raises:
        ConfigurationError: it is refused, or no URL of http or https.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{endpoint!r} is not the URL of a service", remedy="endpoint=https://host:port")
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname):
        remedy = "use https://, or allow_http=true in a network where nobody listens"
        raise ConfigurationError(f"{endpoint} is not encrypted", remedy=remedy)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _settings(query: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, value in query.items():
        if name not in _READERS:
            if re.search(r"key|secret|token|password|credential", name, re.IGNORECASE):
                raise _credentials()
            raise ConfigurationError(f"a lake on S3 has no setting {name!r}{nearest(name, _READERS)}")
        settings[name] = _READERS[name](name, value)
    return settings


def _credentials() -> ConfigurationError:
    remedy = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile of AWS's configuration, or a role"
    return ConfigurationError("credentials do not stand in a lake's URL", remedy=remedy)


def _endpoint(name: str, value: str) -> str:
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise _credentials()
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name} is the URL of a service", remedy="endpoint=https://host:port")
    return value.rstrip("/")


def _text(name: str, value: str) -> str:
    if not value:
        raise ConfigurationError(f"{name} is empty")
    return value


def _one_of(values: Mapping[str, T]) -> Callable[[str, str], T]:
    def read(name: str, value: str) -> T:
        if value not in values:
            raise ConfigurationError(f"{name} is one of {', '.join(values)}, not {value!r}")
        return values[value]

    return read


def _folder(name: str, value: str) -> Path:
    return Path(_text(name, value)).expanduser().absolute()


def _bytes(name: str, value: str) -> int:
    found = _SIZE.match(value)
    if not found:
        raise ConfigurationError(f"{name} is a number of bytes", remedy="for instance 20GB")
    return int(found[1]) * _UNITS[found[2]]


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "endpoint": _endpoint,
    "region": _text,
    "profile": _text,
    "addressing": _one_of({name: name for name in _ADDRESSING}),
    "allow_http": _one_of(_FLAGS),
    "cache": _folder,
    "cache_bytes": _bytes,
}


def _default_cache() -> Path:
    """The user's cache folder; the system's temporary one where the user has none."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "onepipe" / "lake"
    except RuntimeError:  # no home folder
        return Path(tempfile.gettempdir()) / "onepipe-lake"
