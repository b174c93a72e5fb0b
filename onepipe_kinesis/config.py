"""Settings of the Kinesis transport: from a URL's query, and from arguments beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import attrs

from onepipe.arguments import number_of
from onepipe.errors import ConfigurationError, nearest
from onepipe.url import Url

_DYNAMODB: Final = "dynamodb"
_DATABASES: Final = ("sqlite", "postgresql")


def _whole(least: int, most: int) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigurationError(f"{_shown(attribute.name)} is a whole number of {least} to {most}")

    return check


def _setting(default: int, least: int, most: int = 1 << 40) -> Any:
    return attrs.field(default=default, converter=number_of, validator=_whole(least, most))


def _is_endpoint(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{_shown(attribute.name)} is the URL of a service: http(s)://host:port")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{_shown(attribute.name)} holds no login", remedy="credentials are found by AWS's own chain"
        )


def _is_place(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    scheme = value.partition(":")[0].partition("+")[0] if isinstance(value, str) else ""
    if value != _DYNAMODB and scheme not in _DATABASES:
        raise ConfigurationError(f"{attribute.name} is dynamodb, or the URL of a database: sqlite:///…, postgresql://…")


def _shown(name: str) -> str:
    """A setting's name, as users write it."""
    return name.replace("_", ".")


@attrs.frozen
class KinesisConfig:
    """Settings of the transport; users write their names with dots (`fetch.interval.ms`).

    Attributes:
        region: the region, or None for the one that AWS's own settings name.
        endpoint: URL of the service, where it is not that of AWS.
        positions: where positions, leases and checkpoints are kept: "dynamodb", or the URL of a SQL database.
        positions_table: name of the DynamoDB table; it is made where there is none.
        positions_endpoint: URL of DynamoDB, where it is not that of AWS.
        record_bytes: most bytes of a record, its partition key included; what the stream's own limit is.
        batch_bytes: bytes of messages that are put as one record, if so many wait.
        buffer_memory: most bytes of messages without outcome in a writer.
        delivery_timeout_ms: how long a message is tried to be put, until its outcome is a DeliveryError.
        request_timeout_ms: how long a call may take.
        default_api_timeout_ms: how long calls are tried again, until TransportError is raised.
        fetch_interval_ms: how often the end of a shard is looked at; Kinesis allows 5 reads a second of a shard.
        topic_watch_ms: how often a reader looks whether its topic is still the log it began to read.
        group_sync_ms: how often a member of a group looks at it, and gives a sign of life.
        session_timeout_ms: a member whose signs of life another one missed for so long is taken for dead.
    """

    region: str | None = None
    endpoint: str | None = attrs.field(default=None, validator=_is_endpoint)
    positions: str = attrs.field(default=_DYNAMODB, validator=_is_place, repr=False)
    positions_table: str = "onepipe-positions"
    positions_endpoint: str | None = attrs.field(default=None, validator=_is_endpoint)
    record_bytes: int = _setting(1 << 20, 1024, 10 << 20)
    batch_bytes: int = _setting(256 << 10, 1, 10 << 20)
    buffer_memory: int = _setting(32 << 20, 1)
    delivery_timeout_ms: int = _setting(120_000, 1)
    request_timeout_ms: int = _setting(30_000, 1)
    default_api_timeout_ms: int = _setting(60_000, 1)
    fetch_interval_ms: int = _setting(250, 0)
    topic_watch_ms: int = _setting(10_000, 0)
    group_sync_ms: int = _setting(1_000, 0)
    session_timeout_ms: int = _setting(60_000, 1)

    @property
    def database(self) -> str | None:
        """URL of the SQL database that keeps positions; None for DynamoDB."""
        return None if self.positions == _DYNAMODB else self.positions

    @classmethod
    def of(cls, url: Url, settings: Mapping[str, Any]) -> Self:
        """The settings that a URL and `settings` say; the latter win.

        Raises:
            ConfigurationError: a setting is unknown or wrong, or the URL has a login or a path.
        """
        if url.user is not None:
            raise ConfigurationError("a Kinesis URL has no login", remedy="credentials are found by AWS's own chain")
        if url.path not in ("", "/"):
            raise ConfigurationError("a Kinesis URL has no path", remedy="kinesis://region?setting=value")
        if urlsplit(url.query.get("positions", "")).password is not None:
            remedy = "give it in PGPASSWORD or a password file, or the whole URL in settings"
            raise ConfigurationError("the URL of the positions' database holds a password", remedy=remedy)
        given = {**url.query, **settings}
        for name in given:
            if name not in _NAMES:
                raise ConfigurationError(f"the Kinesis transport has no setting {name!r}{nearest(str(name), _NAMES)}")
        return cls(region=url.host or None, **{_NAMES[name]: value for name, value in given.items()})


_NAMES: Final = {_shown(field.name): field.name for field in attrs.fields(KinesisConfig) if field.name != "region"}
