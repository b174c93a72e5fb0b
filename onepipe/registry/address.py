"""URLs of registries as declarations hold them: without secrets, which stand in the environment."""

from __future__ import annotations

from typing import overload

from onepipe.errors import ConfigurationError
from onepipe.url import Url

_REMEDY = "name the variable that holds it: …?user=…&password_env=NAME, or …?token_env=NAME"


@overload
def shown_url(url: str) -> str: ...
@overload
def shown_url(url: None) -> None: ...
@overload
def shown_url(url: object) -> str | None: ...
def shown_url(url: object) -> str | None:
    """The URL of a registry, if it holds no secret: it then may travel in a declaration.

    Raises:
        ConfigurationError: it holds a password or token.
    """
    if url is None or not isinstance(url, str):
        return None
    parsed = Url.parse(url)
    if parsed.password is not None or "token" in parsed.query:
        raise ConfigurationError("the URL of a registry in a declaration holds no secret", remedy=_REMEDY)
    return url


def same_registry(one: str | None, other: str | None) -> bool:
    """Whether two URLs name one registry, whoever asks it and how."""
    if one is None or other is None:
        return one is other
    left, right = Url.parse(one), Url.parse(other)
    return (left.scheme, left.host, left.path.rstrip("/")) == (right.scheme, right.host, right.path.rstrip("/"))
