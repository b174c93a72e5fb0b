"""Opening the store that a URL names for positions, leases and checkpoints."""

from __future__ import annotations

from onepipe.errors import MissingDependency
from onepipe_kinesis.config import KinesisConfig
from onepipe_kinesis.store import Store


def open_store(config: KinesisConfig) -> Store:
    """Open the store, making its table where there is none.

    Raises:
        ConfigurationError: the database's URL is out of form.
        MissingDependency: a driver is not installed.
        TransportError: the store cannot be reached.
    """
    if config.database is None:
        from onepipe_kinesis.store_dynamodb import DynamoStore

        return DynamoStore.connect(config)
    try:
        from onepipe_kinesis.store_sql import SqlStore
    except ModuleNotFoundError as missing:
        if missing.name != "sqlalchemy":
            raise
        remedy = "pip install 'onepipe[sql]'"
        raise MissingDependency("positions in a SQL database need SQLAlchemy", remedy=remedy) from missing
    return SqlStore(config.database)
