"""Opening the databases that keep registries and positions: which URLs, and SQLite made safe for several processes.

Needs SQLAlchemy.
"""

from __future__ import annotations

import random
import sqlite3
import time
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from onepipe.errors import ConfigurationError, MissingDependency

BUSY_TIMEOUT: Final = 30.0
"""Seconds a step waits for others' steps on a SQLite file."""

WRITES: Final = "onepipe_writes"
"""Execution option of transactions that write: on SQLite they take the write lock as they begin."""

_DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
"""The driver of a URL that names none."""


def open_engine(url: str, busy_timeout: float) -> sa.Engine:
    """An engine for a SQLite file or a PostgreSQL database; connects when it is first used.

    Raises:
        ConfigurationError: another database, not a URL, or SQLite without a file.
        MissingDependency: the database's driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ConfigurationError("the database's URL is not of the form sqlite:///path or postgresql://…") from error
    database = parsed.drivername.partition("+")[0]
    if database not in _DRIVERS:
        raise ConfigurationError(f"the database is SQLite or PostgreSQL, not {database!r}")
    if parsed.drivername == database:
        parsed = parsed.set(drivername=_DRIVERS[database])
    if database == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigurationError("a SQLite database needs a file", remedy="sqlite:///path")
    _require_text(url)
    settings: dict[str, Any] = {"connect_args": {"timeout": busy_timeout}} if database == "sqlite" else {}
    try:
        engine = sa.create_engine(parsed, hide_parameters=True, pool_pre_ping=database != "sqlite", **settings)
    except ModuleNotFoundError as error:
        remedy = f"pip install {error.name}"
        raise MissingDependency(f"the database driver {error.name} is not installed", remedy=remedy) from error
    except (sa.exc.NoSuchModuleError, sa.exc.ArgumentError) as error:
        raise ConfigurationError(f"there is no database driver {parsed.drivername!r}") from error
    if database == "sqlite":
        sa.event.listen(engine, "connect", partial(_prepare_sqlite, busy_timeout))
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _require_text(url: str) -> None:
    try:
        url.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("the database's URL holds a lone surrogate, which is not text") from None
    if "\0" in url or "%00" in url:
        raise ConfigurationError("the database's URL holds a null byte, which is in no path")


def _prepare_sqlite(busy_timeout: float, connection: Any, _record: object) -> None:
    """Readers beside one writer, acknowledged means on disk, keys are kept; transactions begin where we say."""
    connection.isolation_level = None
    _write_ahead(connection, busy_timeout)
    for setting in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _write_ahead(connection: Any, busy_timeout: float) -> None:
    """Turn the write-ahead log on. SQLite's own timeout does not cover this step, so it is tried again here."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 (spreads the attempts, guards nothing)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    """Begin; a writer takes the lock at once, for a reader that wants to write later may not wait for it."""
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
