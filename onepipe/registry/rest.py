"""Requests to a Confluent-compatible schema registry: addresses, credentials, attempts, and what an answer means.

The standard library's client does: a registry is asked seldom, as schemas never change and are kept, and publishing to
a company's registry then needs no more than the light core. Proxies are those of the environment. A redirect is not
followed, as it would carry the credentials elsewhere.

Source: Confluent's "Schema Registry API Reference".
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import attrs
from typing_extensions import override

from onepipe.errors import ConfigurationError, RegistryError, RegistryUnavailable, nearest
from onepipe.url import Url

MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
MAX_ANSWER_BYTES: Final = 16 << 20
"""Bytes of an answer that are read; a longer one is refused."""

_ACCEPT: Final = f"{MEDIA_TYPE}, application/vnd.schemaregistry+json, application/json"
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 5.0
_SETTINGS: Final = ("user", "password_env", "token", "token_env", "ca", "certificate", "timeout", "attempts")


@attrs.frozen
class Address:
    """Where a registry is, and how to ask it. Its repr shows no secret.

    Attributes:
        base: URL without user, settings or final slash.
        authorization: value of the header Authorization, or None.
        ca: file with the certificates that vouch for the registry's; those of the system where None.
        certificate: file with this client's certificate and key, or None.
        timeout: seconds an attempt may take to connect, and between bytes of its answer.
        attempts: how often a request is tried.
    """

    base: str
    authorization: str | None = attrs.field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None
    timeout: float = 10.0
    attempts: int = 5

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take the URL of a registry apart: `https://[user:password@]host[:port][/path][?setting=value]`.

        Settings: `user` with `password_env`, or `token_env`, name the variables of the environment that hold the
        secrets; `token` is one itself. `ca` and `certificate` are files in PEM form; `timeout` is in seconds;
        `attempts` from 1.

        Raises:
            ConfigurationError: not such a URL, an unknown setting, or a variable that is not set.
        """
        url = Url.parse(text)
        for name in url.query:
            if name not in _SETTINGS:
                raise ConfigurationError(f"a registry has no setting {name!r}{nearest(name, _SETTINGS)}")
        if not urlsplit(f"//{url.host}").hostname:
            raise ConfigurationError("the URL of a registry names its host", remedy="https://registry.example:8081")
        query = url.query
        return cls(
            f"{url.scheme}://{url.host}{url.path.rstrip('/')}",
            _authorization(url),
            query.get("ca"),
            query.get("certificate"),
            _number("timeout", query.get("timeout", "10"), float),
            _number("attempts", query.get("attempts", "5"), int),
        )


def _number(name: str, text: str, kind: Callable[[str], Any]) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"the registry's setting {name!r} is a number above 0")
    return number


def _authorization(url: Url) -> str | None:
    token = _secret(url, "token")
    user = url.user if url.user is not None else url.query.get("user")
    if token is not None:
        if user is not None:
            raise ConfigurationError("a registry is asked with a user or with a token, not with both")
        return f"Bearer {token}"
    if user is None:
        return None
    password = url.password if url.password is not None else _secret(url, "password") or ""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _secret(url: Url, name: str) -> str | None:
    """A secret given by the name of the variable that holds it, or itself."""
    variable = url.query.get(f"{name}_env")
    if variable is None:
        return url.query.get(name)
    value = os.environ.get(variable)
    if value is None:
        raise ConfigurationError(f"the registry's {name} is to be in the variable {variable}, which is not set")
    return value.strip()


class Refused(RegistryError):
    """The registry answered, and the answer is no.

    Attributes:
        status: HTTP status.
        code: the registry's error code; the status where the answer says none.
    """

    def __init__(self, message: str, status: int, code: int, *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.code = code


class Requester(Protocol):
    """Sends one request."""

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON value of the answer; as `Rest.__call__`."""


class Rest:
    """Sends requests to one registry. Thread-safe and safe to use after a fork: it holds no connection."""

    def __init__(self, address: Address, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Prepare requests; connects at the first one.

        Args:
            address: where the registry is.
            sleep: waits between attempts.

        Raises:
            ConfigurationError: a certificate's file cannot be read.
        """
        self.base = address.base
        self._address = address
        self._sleep = sleep
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if address.base.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=_context(address)))
        self._opener = urllib.request.build_opener(*handlers)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON value of the answer to a request; None where the answer is empty.

        Tried again, after a growing and random wait, where the registry cannot be reached or says that it failed.

        Args:
            method: GET, POST, PUT or DELETE.
            path: below the registry's base, its parts percent-encoded.
            body: JSON value to send, or None.

        Raises:
            Refused: the registry says no (status 3xx or 4xx).
            RegistryUnavailable: it cannot be reached, or keeps failing.
            RegistryError: the answer is not JSON, or longer than MAX_ANSWER_BYTES.
        """
        failure = ""
        cause: Exception | None = None
        for attempt in range(self._address.attempts):
            if attempt:
                longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1))
                self._sleep(random.uniform(longest / 2, longest))  # noqa: S311 (spreads the attempts, guards nothing)
            try:
                status, data = self._send(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                failure, cause = _reason(error), error
                continue
            if status < 300:
                return self._parse(data) if data.strip() else None
            if status not in _AGAIN:
                raise self._refusal(status, data)
            failure, cause = f"it answers with status {status}", None
        message = f"the registry at {self.base} cannot be asked: {failure}"
        raise RegistryUnavailable(message, remedy="try again; what is known already is used on") from cause

    def _send(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        headers = {"Accept": _ACCEPT}
        if body is not None:
            headers["Content-Type"] = MEDIA_TYPE
        if self._address.authorization is not None:
            headers["Authorization"] = self._address.authorization
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)  # noqa: S310 (http or https)
        try:
            with self._opener.open(request, timeout=self._address.timeout) as answer:
                return answer.status, self._read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, self._read(error)

    def _read(self, answer: Any) -> bytes:
        data: bytes = answer.read(MAX_ANSWER_BYTES + 1)
        if len(data) > MAX_ANSWER_BYTES:
            raise RegistryError(f"the registry at {self.base} answers with more than {MAX_ANSWER_BYTES} bytes")
        return data

    def _parse(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            remedy = "does the URL name a schema registry?"
            raise RegistryError(f"the registry at {self.base} does not answer in JSON", remedy=remedy) from error

    def _refusal(self, status: int, data: bytes) -> Refused:
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            said = None
        said = said if isinstance(said, Mapping) else {}
        code, text = said.get("error_code"), said.get("message")
        code = code if type(code) is int else status
        reason = str(text).splitlines()[0][:500] if text else f"status {status}"
        remedy = None
        if status in (401, 403):
            reason, remedy = f"status {status}", "give it a user, or a token: https://host?user=…&password_env=…"
        return Refused(f"the registry at {self.base} refuses: {reason}", status, code, remedy=remedy)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to whoever gave the URL."""

    @override
    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


def _context(address: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.certificate is not None:
            context.load_cert_chain(address.certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("a certificate of the registry's settings cannot be read") from error
    return context


def _reason(error: Exception) -> str:
    """What kept a request from being answered; never the request itself."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__
