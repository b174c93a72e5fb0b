"""A store in a SQL database through SQLAlchemy Core: SQLite embedded, PostgreSQL for many machines.

Ids are the database's own and never used again; a schema is found by the SHA-256 of its text, which is unique, as are
(subject, version) and (subject, schema id). So of several processes that register at once one wins, and the others
see what it wrote. Each step is one transaction: a process killed in the middle of one leaves nothing of it.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Final, TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from typing_extensions import override

from onepipe.database import BUSY_TIMEOUT, WRITES, open_engine
from onepipe.errors import ClosedError, RegistryError, RegistryUnavailable
from onepipe.registry.port import Store, StoredVersion, schema_guid

_T = TypeVar("_T")

FORMAT: Final = 1
"""Version of the tables' form."""

_SETUP_LOCK: Final = 0x6F6E6570697065
"""The advisory lock under which PostgreSQL's tables are made: two sessions cannot create one table at a time."""

_ATTEMPTS: Final = 20

_metadata = sa.MetaData()
_format = sa.Table(
    "onepipe_format",
    _metadata,
    sa.Column("format", sa.Integer, primary_key=True, autoincrement=False),
)
_schemas = sa.Table(
    "onepipe_schemas",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("text", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
_versions = sa.Table(
    "onepipe_versions",
    _metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("schema_id", sa.ForeignKey(_schemas.c.id), nullable=False, index=True),
    sa.UniqueConstraint("subject", "schema_id"),
    sa.CheckConstraint("version > 0"),
)
_levels = sa.Table(
    "onepipe_levels",
    _metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("level", sa.Text, nullable=False),
)

_open_stores: weakref.WeakSet[SQLStore] = weakref.WeakSet()
_inherited: list[sa.Pool] = []


class SQLStore(Store):
    """Keeps rows in a SQL database. After a fork the child opens connections of its own."""

    def __init__(self, url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """Open the database; make its tables where there are none.

        Args:
            url: SQLAlchemy's: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/database`.
            busy_timeout: seconds a step waits for others' steps on a SQLite file.

        Raises:
            ConfigurationError: not such a URL.
            MissingDependency: the database's driver is not installed.
            RegistryUnavailable: the database cannot be reached.
            RegistryError: the tables have a form this release does not know.
        """
        self._closed = False
        self._engine = open_engine(url, busy_timeout)
        self._name = self._engine.url.render_as_string(hide_password=True)
        _open_stores.add(self)
        self._write(self._set_up)

    def _set_up(self, connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SETUP_LOCK)))
        _metadata.create_all(connection)
        found = connection.execute(sa.select(_format.c.format)).scalar()
        if found is None:
            connection.execute(sa.insert(_format).values(format=FORMAT))
        elif found != FORMAT:
            remedy = "upgrade onepipe" if found > FORMAT else "migrate it with the release that wrote it"
            raise RegistryError(f"the registry at {self._name} has form {found}, not {FORMAT}", remedy=remedy)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise ClosedError("the registry was closed")
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            message = f"the registry at {self._name} cannot be reached: {_reason(error)}"
            raise RegistryUnavailable(message, remedy="try again") from error
        except sa.exc.SQLAlchemyError as error:
            raise RegistryError(f"the registry at {self._name} failed: {_reason(error)}") from error

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._errors(), self._engine.begin() as connection:
            yield connection

    def _write(self, step: Callable[[sa.Connection], _T]) -> _T:
        """Run a step in one transaction, again where another process wrote the same row first: it is seen then."""
        for _ in range(_ATTEMPTS):
            try:
                with self._errors(), self._engine.execution_options(**{WRITES: True}).begin() as connection:
                    return step(connection)
            except RegistryError as error:
                if not isinstance(error.__cause__, sa.exc.IntegrityError):
                    raise
        raise RegistryUnavailable(f"others wrote to the registry at {self._name} {_ATTEMPTS} times first")

    @override
    def text(self, schema_id: int) -> str | None:
        with self._reading() as connection:
            return connection.execute(sa.select(_schemas.c.text).where(_schemas.c.id == schema_id)).scalar()

    @override
    def text_of_guid(self, guid: UUID) -> str | None:
        with self._reading() as connection:
            texts = connection.execute(sa.select(_schemas.c.text)).scalars()
            return next((text for text in texts if schema_guid(text) == guid), None)

    @override
    def versions(self, subject: str) -> Sequence[StoredVersion]:
        columns = sa.select(_versions.c.version, _versions.c.schema_id)
        with self._reading() as connection:
            rows = connection.execute(columns.where(_versions.c.subject == subject).order_by(_versions.c.version))
            return [StoredVersion(row.version, row.schema_id) for row in rows]

    @override
    def find(self, subject: str, text: str) -> StoredVersion | None:
        with self._reading() as connection:
            return _find(connection, subject, _digest(text))

    @override
    def append(self, subject: str, text: str, latest: int) -> StoredVersion | None:
        return self._write(lambda connection: _append(connection, subject, text, latest))

    @override
    def subjects(self) -> Sequence[str]:
        with self._reading() as connection:
            return sorted(connection.execute(sa.select(_versions.c.subject).where(_versions.c.version == 1)).scalars())

    @override
    def level(self, subject: str) -> str | None:
        with self._reading() as connection:
            return connection.execute(sa.select(_levels.c.level).where(_levels.c.subject == subject)).scalar()

    @override
    def set_level(self, subject: str, level: str | None) -> None:
        def replace(connection: sa.Connection) -> None:
            connection.execute(sa.delete(_levels).where(_levels.c.subject == subject))
            if level is not None:
                connection.execute(sa.insert(_levels).values(subject=subject, level=level))

        self._write(replace)

    @override
    def close(self) -> None:
        self._closed = True
        self._engine.dispose()

    def after_fork(self) -> None:
        """Leave the parent's connections alone, in the child: closing them would end the parent's sessions."""
        _inherited.append(self._engine.pool)
        self._engine.dispose(close=False)


def _find(connection: sa.Connection, subject: str, digest: bytes) -> StoredVersion | None:
    query = (
        sa.select(_versions.c.version, _versions.c.schema_id)
        .join(_schemas, _schemas.c.id == _versions.c.schema_id)
        .where(_versions.c.subject == subject, _schemas.c.digest == digest)
    )
    row = connection.execute(query).first()
    return StoredVersion(row.version, row.schema_id) if row else None


def _append(connection: sa.Connection, subject: str, text: str, latest: int) -> StoredVersion | None:
    digest = _digest(text)
    if found := _find(connection, subject, digest):
        return found
    newest = sa.select(sa.func.max(_versions.c.version)).where(_versions.c.subject == subject)
    if (connection.execute(newest).scalar() or 0) != latest:
        return None
    schema_id = connection.execute(sa.select(_schemas.c.id).where(_schemas.c.digest == digest)).scalar()
    if schema_id is None:
        added = connection.execute(sa.insert(_schemas).values(digest=digest, text=text)).inserted_primary_key
        schema_id = cast("tuple[int]", added)[0]
    connection.execute(sa.insert(_versions).values(subject=subject, version=latest + 1, schema_id=schema_id))
    return StoredVersion(latest + 1, schema_id)


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _reason(error: Exception) -> str:
    """What the driver said, in its first line; without the statement and its values."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__


def _after_fork() -> None:
    for store in list(_open_stores):
        store.after_fork()


os.register_at_fork(after_in_child=_after_fork)
