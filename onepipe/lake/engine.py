"""DuckDB as the engine of the clean side: confined, bounded in memory, and given only SQL and files of ours.

A connection reads the lake's folder and its own spill folder, nothing else; it cannot load extensions, and its
settings are locked. What does not fit in the memory limit is spilled to disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from onepipe.errors import LakeError, MissingDependency
from onepipe.lake.plan import ROW, literal, quoted
from onepipe.lake.storage import Copies

DEFAULT_MEMORY: Final = "2GB"
"""Memory DuckDB may use unless told otherwise; Arrow batches on their way out come on top."""

_FILE_SHIFT: Final = 40
_BATCH_ROWS: Final = 100_000


class Engine:
    """One confined DuckDB connection over files of a lake. Used by one thread; close it, or use it as a context.

    Args:
        files: the lake's data files at hand; it may read those, and no others of the lake.
        memory: DuckDB's memory limit, such as "2GB".
        threads: how many threads it uses; as many as there are processors where None.
        spill: folder for what does not fit in memory; a new one in the system's temporary folder where None.
        folders: further folders whose files it may read.

    Raises:
        MissingDependency: DuckDB is not installed.
    """

    def __init__(
        self,
        files: Copies,
        *,
        memory: str = DEFAULT_MEMORY,
        threads: int | None = None,
        spill: str | os.PathLike[str] | None = None,
        folders: Sequence[str] = (),
    ) -> None:
        self._files = files
        self._spill = Path(tempfile.mkdtemp(prefix="onepipe-spill-", dir=spill))
        settings: dict[str, Any] = {
            "memory_limit": memory,
            "temp_directory": str(self._spill),
            "preserve_insertion_order": False,
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        }
        if threads is not None:
            settings["threads"] = threads
        try:
            self._connection = import_duckdb().connect(":memory:", config=settings)
            allowed = ", ".join(map(literal, (files.folder, str(self._spill), *folders)))
            self._connection.execute(f"SET allowed_directories = [{allowed}]")
            self._connection.execute("SET TimeZone = 'UTC'")
            self._connection.execute("SET enable_external_access = false")
            self._connection.execute("SET lock_configuration = true")
        except BaseException:
            shutil.rmtree(self._spill, ignore_errors=True)
            raise

    def local(self, paths: Sequence[str]) -> list[str]:
        """Where the engine finds data files, given by their paths below the storage's root; see `Copies.local`."""
        return self._files.local(paths)

    def execute(self, sql: str, doing: str) -> None:
        """Run a statement.

        Args:
            sql: the statement.
            doing: what it is for, for the error's message.

        Raises:
            LakeError: DuckDB refused or failed.
        """
        with engine_errors(doing):
            self._connection.execute(sql).fetchall()  # a result not read to its end would block the connection

    def row(self, sql: str, doing: str) -> tuple[Any, ...]:
        """The only row of a query's result; raises as `execute` does."""
        with engine_errors(doing):
            (found,) = self._connection.execute(sql).fetchall()
        return tuple(found)

    def table(self, sql: str, doing: str) -> pa.Table:
        """A query's result; raises as `execute` does."""
        with engine_errors(doing):
            return self._connection.sql(sql).to_arrow_table()

    def stream(self, sql: str, doing: str) -> Iterator[pa.RecordBatch]:
        """A query's result batch by batch, in order; raises as `execute` does."""
        with engine_errors(doing):
            yield from self._connection.sql(sql).to_arrow_reader(_BATCH_ROWS)

    def register(self, name: str, table: pa.Table) -> None:
        """Let queries name an Arrow table."""
        self._connection.register(name, table)

    def close(self) -> None:
        """Let go of the connection and of what it spilled. May be called again."""
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def import_duckdb() -> Any:
    """The module duckdb.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingDependency("the clean table needs duckdb", remedy="pip install 'onepipe[lake]'") from error
    return duckdb


@contextlib.contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn DuckDB's errors into LakeError; its texts may quote values, so they are only the error's cause."""
    duckdb = import_duckdb()
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise LakeError(f"{doing} needs more memory than allowed", remedy="allow more, or free disk space") from error
    except duckdb.Error as error:
        raise LakeError(f"{doing} failed: {type(error).__name__}") from error


def numbered_files(uris: Sequence[str], schema: pa.Schema, first_file: int = 0) -> str:
    """A relation of the rows of Parquet files, each with a number of its own as ROW.

    Columns that none of the files has are null; those that only some lack are null in these.

    Args:
        uris: where the engine finds the files; the relation has no rows where there are none.
        schema: the columns wanted.
        first_file: number of the first file, so that relations over other files number their rows apart.
    """
    empty = ", ".join(f"NULL::{sql_type(field.type)} AS {quoted(field.name)}" for field in schema)
    none = f"SELECT {empty}, NULL::BIGINT AS {quoted(ROW)} WHERE false"
    if not uris:
        return f"({none})"
    paths = ", ".join(map(literal, uris))
    number = f"(file_index + {first_file}) * {1 << _FILE_SHIFT} + file_row_number"
    rows = f"SELECT *, {number} AS {quoted(ROW)} FROM read_parquet([{paths}], union_by_name = true)"
    return f"({none} UNION ALL BY NAME {rows})"


_SQL_TYPES: Final = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}


def sql_type(type_: pa.DataType) -> str:
    """The DuckDB type of an Arrow type of the lake (those of `onepipe.schema.arrow`)."""
    if pa.types.is_list(type_):
        return f"{sql_type(type_.value_type)}[]"
    if pa.types.is_map(type_):
        return f"MAP({sql_type(type_.key_type)}, {sql_type(type_.item_type)})"
    if pa.types.is_struct(type_):
        return f"STRUCT({', '.join(f'{quoted(field.name)} {sql_type(field.type)}' for field in type_)})"
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    return _SQL_TYPES[type_]
