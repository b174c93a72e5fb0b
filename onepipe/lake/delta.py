"""Delta Lake through `deltalake`: its handles, errors, columns and statistics, and the files of a version.

Only `onepipe.lake.table` and `onepipe.lake.committing` use this module; deltalake is imported on use.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import pyarrow as pa

from onepipe.errors import CommitConflict, CorruptFile, LakeError, MissingDependency
from onepipe.lake.storage import Storage

if TYPE_CHECKING:
    import deltalake

Statistic: TypeAlias = int | float | str | dt.datetime | dt.date
Statistics: TypeAlias = Mapping[str, tuple[Statistic, Statistic]]
"""Least and greatest value by column; a column left out is not known."""

_RESTORE: Final = "restore the table's log from a copy of the lake"
_UNDERSTOOD: Final = frozenset(["timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"])
"""Features with which a table's files still hold what the table does (Delta's PROTOCOL.md, "Valid Feature Names")."""


@attrs.frozen
class NewFile:
    """A published Parquet file that a commit adds.

    Attributes:
        path: below the table's root.
        rows: rows it holds.
        size: its bytes.
        statistics: of the columns readers skip files by.
    """

    path: str
    rows: int
    size: int
    statistics: Statistics = attrs.field(factory=dict)


@attrs.frozen
class LakeFile:
    """A file of a snapshot; attributes as in NewFile, and `root`: the path of its table's folder."""

    path: str
    rows: int
    size: int
    statistics: Statistics
    root: str

    def bounds(self, column: str) -> tuple[Statistic, Statistic]:
        """Least and greatest value of a column that each of the table's files is committed with.

        Raises:
            CorruptFile: the table's log does not hold them, so something else than onepipe wrote it.
        """
        if column not in self.statistics:
            raise CorruptFile(f"{self.root}: its log holds no statistics of {column} of {self.path}", remedy=_RESTORE)
        return self.statistics[column]


def deltalake_module() -> Any:
    """The deltalake package with its parts.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import deltalake
        import deltalake.exceptions
        import deltalake.transaction
    except ImportError as error:
        raise MissingDependency("a lake needs deltalake", remedy="pip install 'onepipe[lake]'") from error
    return deltalake


@contextmanager
def lake_errors(root: str) -> Iterator[None]:
    """Turn deltalake's errors into ours."""
    exceptions = deltalake_module().exceptions
    try:
        yield
    except exceptions.CommitFailedError as error:
        raise CommitConflict(f"{root}: another process committed first") from error
    except (exceptions.DeltaError, OSError) as error:
        answered = "<" in str(error)  # a store's answer in full, which may repeat a request's credentials
        raise LakeError(f"{root}: {_first_line(error)}") from (None if answered else error)


def _first_line(error: BaseException) -> str:
    """What a foreign error says, without its backtrace and without a store's answer in XML."""
    lines = str(error).partition("<")[0].splitlines()
    return lines[0].rstrip(" :") if lines else type(error).__name__


def open_handle(storage: Storage, root: str, version: int | None = None) -> deltalake.DeltaTable:
    """A handle of a table at a version, or the latest one; other handles do not move it."""
    table: deltalake.DeltaTable = deltalake_module().DeltaTable(
        storage.uri(root), version=version, storage_options=dict(storage.options)
    )
    return table


def delta_schema(schema: pa.Schema, root: str) -> deltalake.Schema:
    """Columns as Delta has them.

    Raises:
        LakeError: a column has a type Delta does not know.
    """
    try:
        converted: deltalake.Schema = deltalake_module().Schema.from_arrow(schema)
    except Exception as error:  # deltalake raises a bare Exception, with its backtrace as text
        raise LakeError(f"{root}: {_first_line(error)}") from error
    return converted


def arrow_columns(schema: deltalake.Schema) -> pa.Schema:
    """Delta's columns as Arrow has them."""
    return pa.schema(schema.to_arrow())


def live_files(handle: deltalake.DeltaTable, root: str, count: Callable[[str], int]) -> list[LakeFile]:
    """The files of a handle's version, in no order.

    Statistics are a writer's word, and the log may lack them, as where another tool rewrote it: a bound that stands
    alone is left out.

    Args:
        handle: the handle.
        root: path of the table's folder.
        count: counts the rows of a file, by its path, where the log does not say how many there are.

    Raises:
        CorruptFile: the log says that a file has less than no bytes.
        LakeError: rows were deleted, or columns renamed, in the log alone.
    """
    _require_whole_files(handle, root)
    actions = pa.table(handle.get_add_actions(flatten=True))
    statistics: list[dict[str, tuple[Statistic, Statistic]]] = [{} for _ in range(len(actions))]
    for name in actions.column_names:
        if name.startswith("min.") and actions[name].null_count < len(actions):
            column = name[4:]
            least, greatest = _values(actions[name]), _values(actions[f"max.{column}"])
            for known, low, high in zip(statistics, least, greatest, strict=True):
                if low is not None and high is not None:
                    known[column] = low, high
    paths, counts, sizes = (actions[name].to_pylist() for name in ("path", "num_records", "size_bytes"))
    for path, size in zip(paths, sizes, strict=True):
        if size < 0:
            raise CorruptFile(f"{root}: its log says that {path} has {size} bytes", remedy=_RESTORE)
    rows = [count(path) if said is None or said < 0 else said for path, said in zip(paths, counts, strict=True)]
    return [LakeFile(*file, root) for file in zip(paths, rows, sizes, statistics, strict=True)]


def _require_whole_files(handle: deltalake.DeltaTable, root: str) -> None:
    """Raise LakeError unless the files of a handle's version, by themselves, hold what the table does."""
    protocol = handle.protocol()
    features = ["columnMapping"] if protocol.min_reader_version == 2 else protocol.reader_features or ()
    for feature in sorted(set(features) - _UNDERSTOOD):
        match feature:
            case "columnMapping":
                used = handle.metadata().configuration.get("delta.columnMapping.mode", "none") != "none"
            case "deletionVectors":
                used = _has_deletion_vectors(handle)
            case _:
                used = True
        if used:
            message = f"{root}: another engine uses Delta's {feature}: the files alone do not hold what the table does"
            raise LakeError(message, remedy=f"drop the feature with that engine, or {_RESTORE}")


def _has_deletion_vectors(handle: deltalake.DeltaTable) -> bool:
    """Whether some rows of a handle's version were deleted by a vector; one that cannot be read counts as well."""
    try:
        return bool(pa.table(handle.deletion_vectors()).num_rows)
    except (deltalake_module().exceptions.DeltaError, OSError):
        return True


def live_paths(handle: deltalake.DeltaTable) -> set[str]:
    """The paths of the files of a handle's version."""
    return set(pa.table(handle.get_add_actions())["path"].to_pylist())


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; moments without a look at their time zone for each one, as Arrow takes."""
    if column.type not in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        values: list[Any] = column.to_pylist()
        return values
    zero = dt.datetime(1970, 1, 1, tzinfo=dt.UTC if column.type.tz else None)
    microseconds = column.cast(pa.int64()).to_pylist()
    return [None if value is None else zero + dt.timedelta(microseconds=value) for value in microseconds]


def statistics_text(file: NewFile) -> str:
    """A file's rows and statistics as they stand in Delta's log."""
    least = {column: _json(low) for column, (low, _) in file.statistics.items()}
    greatest = {column: _json(high) for column, (_, high) in file.statistics.items()}
    return json.dumps({"numRecords": file.rows, "minValues": least, "maxValues": greatest, "nullCount": {}})


def _json(value: Statistic) -> int | float | str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, dt.date) else value


def lacks_column(field: pa.Field, present: Mapping[str, pa.Field], root: str) -> bool:
    """Whether a column, or a member of it at some depth, is not there; Delta does not tell names by their case.

    Raises:
        LakeError: it is there in another case, or with another type.
    """
    found = present.get(field.name.lower())
    if found is None:
        return True
    if found.name == field.name and (covers := _covers(found.type, field.type)) is not None:
        return not covers
    remedy = "declare a field of another name, or archive the topic into a new lake"
    raise LakeError(f"{root} has column {found.name} of {found.type}, not {field.name} of {field.type}", remedy=remedy)


def _covers(present: pa.DataType, wanted: pa.DataType) -> bool | None:
    """Whether a column's type has all members of a wanted one; None where another kind of type is in the way."""
    types = pa.types
    if types.is_struct(present) and types.is_struct(wanted):
        inner = {field.name: field.type for field in present}
        covered = [_covers(inner[field.name], field.type) if field.name in inner else False for field in wanted]
        return None if None in covered else all(covered)
    if types.is_list(present) and types.is_list(wanted):
        return _covers(present.value_type, wanted.value_type)
    if types.is_map(present) and types.is_map(wanted):
        return _covers(present.item_type, wanted.item_type) if present.key_type == wanted.key_type else None
    return True if present == wanted else None
