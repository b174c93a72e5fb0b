"""The plugin: opens kinesis:// URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from onepipe.errors import MissingDependency
from onepipe.hookspecs import hookimpl
from onepipe.url import Url

if TYPE_CHECKING:
    from onepipe_kinesis.transport import KinesisTransport


@hookimpl
def onepipe_transport(url: Url, settings: Mapping[str, Any]) -> Callable[[], KinesisTransport] | None:
    """How to open a Kinesis URL; None for any other."""
    return (lambda: open_transport(url, settings)) if url.scheme == "kinesis" else None


def open_transport(url: Url, settings: Mapping[str, Any]) -> KinesisTransport:
    """Connect to the streams of a region.

    Raises:
        ConfigurationError: a setting is unknown or wrong, or no region is named.
        MissingDependency: boto3 is not installed, or SQLAlchemy where positions are kept in a SQL database.
        TransportError: the store of positions cannot be reached; NotAuthorized where it refused the credentials.
    """
    from onepipe_kinesis.config import KinesisConfig

    config = KinesisConfig.of(url, settings)
    try:
        from onepipe_kinesis.api import KinesisApi
    except ModuleNotFoundError as missing:
        if missing.name not in ("boto3", "botocore"):
            raise
        raise MissingDependency("kinesis:// needs boto3", remedy="pip install 'onepipe[kinesis]'") from missing
    from onepipe_kinesis.opening import open_store
    from onepipe_kinesis.transport import KinesisTransport

    return KinesisTransport(KinesisApi.connect(config), open_store(config), config)
