"""URLs that name a log: `scheme://host/path?setting=value`, for instance `kafka+confluent://broker:9092`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import attrs

from onepipe.errors import ConfigurationError

_SECRET: Final = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)
_HIDDEN: Final = "***"


@attrs.frozen(repr=False)
class Url:
    """A URL taken apart. Neither `str` nor `repr` shows a password, or a setting whose name speaks of a secret.

    Attributes:
        scheme: what the transport is, with the client where there are several: "memory", "kafka+confluent".
        host: host or hosts, with ports, as written; may be empty.
        path: what follows the host, percent-decoded: "" or "/…".
        query: settings by name.
        user: user name, percent-decoded, or None.
        password: password, percent-decoded, or None.
    """

    scheme: str
    host: str = ""
    path: str = ""
    query: Mapping[str, str] = attrs.field(factory=dict)
    user: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart.

        Raises:
            ConfigurationError: no scheme, a fragment, a host out of form, or a setting that stands more than once.
        """
        scheme, separator, _ = text.partition("://")
        if not separator or not scheme:
            raise ConfigurationError("the URL of a log begins with its scheme", remedy="for instance memory://")
        try:
            parts = urlsplit(text)
        except ValueError:  # its text may quote the URL, and so a password
            raise ConfigurationError("the host of the URL is out of form", remedy="brackets are for IPv6") from None
        if parts.fragment:
            raise ConfigurationError("the URL of a log has no fragment", remedy="write # as %23")
        login, _, host = parts.netloc.rpartition("@")
        user, colon, password = login.partition(":")
        query: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name in query:
                raise ConfigurationError(f"the URL sets {name!r} more than once")
            query[name] = value
        return cls(
            parts.scheme,
            host,
            unquote(parts.path),
            query,
            unquote(user) if login else None,
            unquote(password) if colon else None,
        )

    @property
    def system(self) -> str:
        """The scheme without the client: "kafka" of "kafka+confluent"."""
        return self.scheme.partition("+")[0]

    def __str__(self) -> str:
        login = "" if self.user is None else self.user + ("" if self.password is None else f":{_HIDDEN}") + "@"
        shown = {name: _HIDDEN if _SECRET.search(name) else value for name, value in self.query.items()}
        query = f"?{urlencode(shown, safe='*/:,')}" if shown else ""
        return f"{self.scheme}://{login}{self.host}{self.path}{query}"

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"
