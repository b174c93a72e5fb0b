"""The store in a SQL database, SQLite or PostgreSQL: the one that may hold the registry, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from onepipe.database import BUSY_TIMEOUT, WRITES, open_engine
from onepipe.errors import TransportError
from onepipe_kinesis.store import Document

_metadata: Final = sa.MetaData()
_documents: Final = sa.Table(
    "onepipe_kinesis_positions",
    _metadata,
    sa.Column("space", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)


class SqlStore:
    """Documents in a table. Thread-safe."""

    def __init__(self, url: str) -> None:
        """Open a database, and make the table where there is none.

        Args:
            url: as of a registry: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/database`.

        Raises:
            ConfigurationError: not such a URL.
            MissingDependency: the database's driver is not installed.
            TransportError: the database cannot be reached.
        """
        self._engine = open_engine(url, BUSY_TIMEOUT)
        self._url = url
        with self._errors():
            if not sa.inspect(self._engine).has_table(_documents.name):
                self._create()

    @property
    def registry(self) -> str | None:
        """The same database."""
        return self._url

    def get(self, space: str, name: str) -> Document | None:
        """A document, or None."""
        query = sa.select(_documents.c.document, _documents.c.version).where(*_key(space, name))
        with self._errors(), self._engine.begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else Document(row.document, row.version)

    def put(self, space: str, name: str, text: str, version: int | None) -> bool:
        """Replace the document of that version, or make one where there is none; whether that was so."""
        if version is None:
            insert = sa.insert(_documents).values(space=space, name=name, version=1, document=text)
            try:
                self._write(insert)
            except sa.exc.IntegrityError:
                return False
            return True
        replace = sa.update(_documents).where(*_key(space, name), _documents.c.version == version)
        return self._write(replace.values(version=version + 1, document=text)) == 1

    def clear(self, space: str) -> None:
        """Delete all documents of a space."""
        self._write(sa.delete(_documents).where(_documents.c.space == space))

    def close(self) -> None:
        """Let go of the connections. May be called again."""
        self._engine.dispose()

    def _create(self) -> None:
        try:
            with self._engine.execution_options(**{WRITES: True}).begin() as connection:
                _metadata.create_all(connection)
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.OperationalError):
            if not sa.inspect(self._engine).has_table(_documents.name):  # else another process was faster
                raise

    def _write(self, statement: sa.sql.dml.UpdateBase) -> int:
        with self._errors(), self._engine.execution_options(**{WRITES: True}).begin() as connection:
            return connection.execute(statement).rowcount

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.SQLAlchemyError as error:
            reason = type(getattr(error, "orig", None) or error).__name__
            where = self._engine.url.render_as_string(hide_password=True)
            raise TransportError(f"the store of positions at {where} failed: {reason}", remedy="try again") from error


def _key(space: str, name: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _documents.c.space == space, _documents.c.name == name
