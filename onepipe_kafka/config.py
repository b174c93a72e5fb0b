"""Settings of the Kafka transport: from a URL's query, and from arguments beside it.

Settings stand under the names of the client that the URL names, in Kafka's dotted form, and are passed on to it as they
are: `security.protocol`, `ssl.ca.location`, `oauth_cb`. A name that begins with `producer.`, `consumer.` or `admin.` is
for that part of the client alone. `topic.creation.default.` begins what new topics get (the names of KIP-158).
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self, TypeAlias

import attrs

from onepipe.arguments import number_of
from onepipe.errors import ConfigurationError
from onepipe.url import Url

_OWN: Final = frozenset(
    {"auto.offset.reset", "bootstrap.servers", "enable.auto.commit", "enable.partition.eof", "group.id"}
    | {"isolation.level"}
)
"""Settings that onepipe makes itself, from the URL and from what it guarantees."""

Role: TypeAlias = Literal["producer", "consumer", "admin"]

PORT: Final = 9092
TIMEOUT: Final = "default.api.timeout.ms"
"""Name, as in KIP-266, of how long a call may take altogether."""
BUFFER: Final = "buffer.memory"
"""Name, as in Kafka's own clients, of how many bytes may wait for their outcome."""

_TOPIC: Final = "topic.creation.default."
_SECRET: Final = re.compile(r"pass|secret|token|key|credential|sasl\.jaas", re.IGNORECASE)
_PLAIN: Final = frozenset({"PLAINTEXT", "SASL_PLAINTEXT"})
_ALL: Final = frozenset({"all", "-1"})


class PlaintextWarning(UserWarning):
    """Records, and perhaps a password, cross a network unencrypted."""


class Secret(str):
    """A text that its `repr` does not show, so that no log of a client's settings does."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@attrs.frozen(repr=False)
class KafkaConfig:
    """Settings of the transport. Its `repr` shows names alone.

    Attributes:
        servers: where to bootstrap: `host:port` each.
        settings: settings for every part of the client, by name.
        of_role: settings for one part of it alone, by name.
        topic: what new topics get, by Kafka's names of topic settings, and `replication.factor`.
        timeout: seconds that a call may take, until it raises TransportError.
        buffer_bytes: most bytes of messages without outcome; for kafka-python, which has no bound of its own.
    """

    servers: tuple[str, ...]
    settings: Mapping[str, Any]
    of_role: Mapping[Role, Mapping[str, Any]]
    topic: Mapping[str, str]
    timeout: float
    buffer_bytes: int

    @classmethod
    def of(cls, url: Url, settings: Mapping[str, Any]) -> Self:
        """The settings that a URL and `settings` say; the latter win.

        A user in the URL means SASL over TLS with the mechanism PLAIN, where no setting says otherwise.

        Raises:
            ConfigurationError: the URL names no broker, or a path; or a setting contradicts what onepipe guarantees.
        """
        given: dict[str, Any] = {**_login(url), **url.query, **settings}
        topic = {name[len(_TOPIC) :]: str(given.pop(name)) for name in list(given) if name.startswith(_TOPIC)}
        timeout = _whole(TIMEOUT, given.pop(TIMEOUT, 30_000)) / 1000
        buffer = _whole(BUFFER, given.pop(BUFFER, 32 << 20)) if url.scheme == "kafka" else 0
        hidden = {name: Secret(v) if _is_secret(name) and isinstance(v, str) else v for name, v in given.items()}
        roles: tuple[Role, ...] = ("producer", "consumer", "admin")
        of_role = {role: _below(f"{role}.", hidden) for role in roles}
        common = {name: value for name, value in hidden.items() if not name.startswith(tuple(f"{r}." for r in roles))}
        config = cls(_servers(url), common, of_role, topic, timeout, buffer)
        for name in {*config.settings, *(n for settings in of_role.values() for n in settings)} & _OWN:
            raise ConfigurationError(f"{name} is set by onepipe", remedy="leave it out")
        _require_durable(config.role("producer"))
        _warn_of_plaintext(config)
        return config

    def role(self, role: Role) -> dict[str, Any]:
        """The settings for one part of the client; those for it alone win."""
        return {**self.settings, **self.of_role[role]}

    def scrub(self, text: str) -> str:
        """A foreign message, without any secret it may hold."""
        for value in self._values():
            if isinstance(value, Secret) and value:
                text = text.replace(str(value), "***")
        return text

    def __repr__(self) -> str:
        return f"KafkaConfig({', '.join(self.servers)}; {', '.join(sorted(self.settings)) or 'no settings'})"

    def _values(self) -> Iterable[Any]:
        yield from self.settings.values()
        for settings in self.of_role.values():
            yield from settings.values()


def _servers(url: Url) -> tuple[str, ...]:
    if url.path not in ("", "/"):
        raise ConfigurationError("the URL of a Kafka has no path", remedy="topics are named by what they declare")
    hosts = [host.strip() for host in url.host.split(",")]
    if not all(hosts):
        raise ConfigurationError("the URL names no broker", remedy=f"{url.scheme}://host:{PORT}")
    return tuple(host if re.search(r":\d+\Z", host) else f"{host}:{PORT}" for host in hosts)


def _login(url: Url) -> dict[str, str]:
    if url.user is None:
        return {}
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": url.user,
        "sasl.password": url.password or "",
    }


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not name.endswith((".location", ".mechanism"))


def _below(prefix: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in settings.items() if name.startswith(prefix)}


def _whole(name: str, value: Any) -> int:
    number = number_of(value)
    if not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{name} is a whole number of at least 1")
    return number


def _require_durable(settings: Mapping[str, Any]) -> None:
    """Refuse what would acknowledge a record before it is safe, or store one twice."""
    acks = str(settings.get("acks", settings.get("request.required.acks", "all")))
    if acks not in _ALL:
        raise ConfigurationError(f"acks is 'all', not {acks!r}", remedy="leave it out: accepted means durable")
    if str(settings.get("enable.idempotence", True)).lower() != "true":
        raise ConfigurationError("enable.idempotence is true", remedy="leave it out: no retry stores a record twice")


def _warn_of_plaintext(config: KafkaConfig) -> None:
    said = config.settings.get("security.protocol")
    protocol = str(said or "PLAINTEXT").upper()
    exposed = [server for server in config.servers if not _is_loopback(server)]
    if protocol not in _PLAIN or not exposed or (said and protocol == "PLAINTEXT"):
        return
    what = "a password and records cross" if protocol == "SASL_PLAINTEXT" else "records cross"
    remedy = "set security.protocol to SSL or SASL_SSL; PLAINTEXT, said so, is taken as intended"
    warnings.warn(f"{what} the network to {exposed[0]} unencrypted ({remedy})", PlaintextWarning, stacklevel=2)


def _is_loopback(server: str) -> bool:
    host = server.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
