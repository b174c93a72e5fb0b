"""A table of the lake: our own Parquet files, made visible by atomic commits that carry progress with the data.

The table format is Delta, used through few calls (`onepipe.lake.delta`) so that
another format can stand in. What Delta does not check is checked here: that the files of a commit exist with the size
and rows they claim, that a removed file is still there, and that progress is what the committer believed it to be. The
progress of an application is read, compared and committed on one handle, so two committers of the same progress
cannot both succeed.

A commit may be made although nobody hears so: a remote storage's answer can be lost. So each commit carries a random
mark; where one fails, the table's log is read again, and the mark tells whether it was made.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.arguments import require_count, require_moment
from onepipe.errors import CommitConflict, CorruptFile, LakeError
from onepipe.lake.delta import (
    LakeFile,
    NewFile,
    Statistic,
    Statistics,
    arrow_columns,
    delta_schema,
    deltalake_module,
    lacks_column,
    lake_errors,
    live_files,
    live_paths,
    open_handle,
    statistics_text,
)
from onepipe.lake.storage import Storage

if TYPE_CHECKING:
    import deltalake

__all__ = ["Commit", "LakeFile", "LakeTable", "NewFile", "Snapshot", "Statistic", "Statistics"]

_PROPERTIES: Final = {"delta.dataSkippingNumIndexedCols": "-1"}
"""Properties of a new table: statistics of all columns are read; Delta's default, the first 32, leaves out ours."""
NOTE: Final = "onepipe"
"""Key of the note in a commit's metadata."""
_LOG: Final = logging.getLogger(__name__)
_LOGGED: Final = re.compile(r"/\d{20}\.(json|checkpoint\.[\w.-]*parquet)\Z")
"""An entry of a table's log."""
_PAUSES: Final = (0.2, 1.0, 5.0)
"""Seconds to wait before a commit that failed at a remote storage is tried again."""
_MARK: Final = "onepipe-commit"
"""Key of a random mark by which a committer finds its commit again among others' that came right after it."""


@attrs.frozen
class Commit:
    """One commit in a table's history.

    Attributes:
        version: the table's version it made.
        time: when, UTC.
        note: what the committer said about it; empty for changes of the table's columns.
    """

    version: int
    time: dt.datetime
    note: Mapping[str, Any]


class Snapshot:
    """One version of a table; it does not change. Thread-safe."""

    def __init__(self, storage: Storage, root: str, handle: deltalake.DeltaTable) -> None:
        self._storage = storage
        self._root = root
        self._handle = handle

    @property
    def version(self) -> int:
        """The table's version."""
        return self._handle.version()

    @cached_property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        return arrow_columns(self._handle.schema())

    @cached_property
    def files(self) -> tuple[LakeFile, ...]:
        """The files, sorted by path; where the log does not say how many rows one has, its footer does.

        Raises:
            CorruptFile: such a file is missing, or is not a Parquet file.
        """
        return tuple(sorted(live_files(self._handle, self._root, self._rows_of), key=lambda file: file.path))

    def progress(self, app_id: str) -> int | None:
        """The progress of an application at this version, or None where it has none."""
        return self._handle.transaction_version(app_id)

    def paths(self, files: Iterable[LakeFile] | None = None) -> list[str]:
        """The paths of some files below the storage's root, in their order; of all of them where None."""
        return [f"{self._root}/{file.path}" for file in (self.files if files is None else files)]

    def _rows_of(self, path: str) -> int:
        with self._storage.open(f"{self._root}/{path}") as stream:
            return _rows(stream, f"{self._root}/{path}")


class LakeTable:
    """A table at a path of a storage. Thread-safe; several processes may commit to one table.

    Make one with `LakeTable.ensure` or `LakeTable.find`.

    Attributes:
        storage: where it is.
        root: path of its folder.
    """

    def __init__(self, storage: Storage, root: str, handle: deltalake.DeltaTable) -> None:
        self.storage = storage
        self.root = root
        self._handle = handle
        self._options = dict(storage.options)
        self._lock = threading.RLock()

    @classmethod
    def find(cls, storage: Storage, root: str) -> LakeTable | None:
        """The table at a path, or None where there is none.

        Raises:
            MissingDependency: deltalake is not installed.
        """
        deltalake_module()
        if not any(_LOGGED.search(file.path) for file in storage.list(f"{root}/_delta_log")):
            return None
        with lake_errors(root):
            return cls(storage, root, open_handle(storage, root))

    @classmethod
    def ensure(cls, storage: Storage, root: str, schema: pa.Schema) -> LakeTable:
        """The table at a path with at least these columns; it is made, or columns are added, where needed.

        Safe when several processes do so at once.

        Raises:
            LakeError: a column is there with another type, or has a type Delta does not know.
            MissingDependency: deltalake is not installed.
        """
        table = cls.find(storage, root) or cls._create(storage, root, schema)
        table.add_columns(schema)
        return table

    @classmethod
    def _create(cls, storage: Storage, root: str, schema: pa.Schema) -> LakeTable:
        delta = deltalake_module()
        try:
            with lake_errors(root):
                columns = delta_schema(schema, root)
                delta.DeltaTable.create(
                    storage.uri(root), columns, storage_options=dict(storage.options), configuration=_PROPERTIES
                )
        except LakeError:
            if (made_by_another := cls.find(storage, root)) is None:
                raise
            return made_by_another
        return cls(storage, root, open_handle(storage, root))

    def snapshot(self) -> Snapshot:
        """The latest version."""
        with lake_errors(self.root):
            return Snapshot(self.storage, self.root, open_handle(self.storage, self.root))

    def at(self, version: int) -> Snapshot:
        """A version by its number.

        Raises:
            ConfigurationError: the number is none, or negative.
            LakeError: there is no such version, or the log was cleaned of it.
        """
        require_count("version", version, least=0)
        with lake_errors(self.root):
            return Snapshot(self.storage, self.root, open_handle(self.storage, self.root, version))

    def as_of(self, moment: dt.datetime) -> Snapshot:
        """The latest version at a moment; the first one where the table is younger.

        Raises:
            ConfigurationError: no datetime, or one without time zone.
            LakeError: the log was cleaned of that version.
        """
        require_moment("as_of", moment)
        with lake_errors(self.root):
            handle = open_handle(self.storage, self.root)
            handle.load_as_version(moment)
            return Snapshot(self.storage, self.root, handle)

    def history(self, limit: int | None = None) -> list[Commit]:
        """The commits the log still holds, newest first.

        Args:
            limit: most commits to return; all where None.

        Raises:
            ConfigurationError: `limit` is no number, or negative.
        """
        if limit is not None:
            require_count("limit", limit, least=0)
        with lake_errors(self.root):
            entries = open_handle(self.storage, self.root).history(limit)
        return [
            Commit(
                entry["version"],
                dt.datetime.fromtimestamp(entry["timestamp"] / 1000, dt.UTC),
                json.loads(entry.get(NOTE, "{}")),
            )
            for entry in entries
        ]

    def progress(self, app_ids: Iterable[str]) -> dict[str, int | None]:
        """The progress of applications at the latest version, all at the same one."""
        with self._lock, lake_errors(self.root):
            self._refresh()
            return {app_id: self._handle.transaction_version(app_id) for app_id in app_ids}

    def commit(
        self,
        adds: Sequence[NewFile] = (),
        removes: Sequence[str] = (),
        progress: Mapping[str, tuple[int | None, int]] | None = None,
        note: Mapping[str, Any] | None = None,
    ) -> int:
        """Add files, remove files and move progress on, all or nothing.

        Args:
            adds: published files; they are made durable before they are committed.
            removes: paths of files of the present version.
            progress: by application id, the progress it is believed to have (None: none yet) and the new one.
            note: JSON object kept with the commit for as long as the log keeps it.

        Returns:
            The new version.

        Raises:
            CommitConflict: progress is not the believed one, a removed file is gone, or another process committed the
                same first. Nothing was committed.
            CorruptFile: an added file is missing, or has not the size or rows it claims. Nothing was committed.
            LakeError: the storage failed; whether the commit was made is seen in the progress.
        """
        for file in adds:
            _check(self.storage, self.root, file)
        self.storage.make_durable(*(f"{self.root}/{file.path}" for file in adds))
        with self._lock, lake_errors(self.root):
            self._refresh()
            version = self._commit(adds, removes, progress or {}, note or {})
        self.storage.make_durable(f"{self.root}/_delta_log/{version:020}.json")
        return version

    def add_columns(self, schema: pa.Schema) -> None:
        """Add the columns of `schema` that the table lacks; rows already there have null in them.

        Raises:
            LakeError: a column is there with another type, or has a type Delta does not know.
        """
        delta = deltalake_module()
        while True:
            with self._lock, lake_errors(self.root):
                self._refresh()
                present = {field.name.lower(): field for field in arrow_columns(self._handle.schema())}
                wanted = delta_schema(schema, self.root)
                missing = {field.name for field in arrow_columns(wanted) if lacks_column(field, present, self.root)}
                if not missing:
                    return
                try:
                    self._handle.alter.add_columns([field for field in wanted.fields if field.name in missing])
                except delta.exceptions.CommitFailedError:
                    self._handle = open_handle(self.storage, self.root)

    def checkpoint(self) -> None:
        """Write a checkpoint of the log, so that opening the table reads less."""
        with self._lock, lake_errors(self.root):
            self._refresh()
            self._handle.create_checkpoint()

    def clean_log(self) -> None:
        """Delete log entries older than 30 days that a checkpoint stands for; history before them is then gone."""
        with self._lock, lake_errors(self.root):
            self._refresh()
            self._handle.cleanup_metadata()

    def vacuum(self, keep: dt.timedelta) -> list[str]:
        """Delete data files that no version of the last `keep` refers to and that are older than `keep`.

        Those are files of commits that lost, of writers that died, and files removed longer ago. Folders whose name
        begins with "_" are left alone. `keep` must be longer than any commit takes and any reader reads.

        Returns:
            Paths of the deleted files, below the table's root.
        """
        before = dt.datetime.now(dt.UTC) - keep
        listed = list(self.storage.list(self.root))
        referred = {file.path for version in (self.as_of(before), self.snapshot()) for file in version.files}
        deleted = []
        for stored in listed:
            path = stored.path[len(self.root) + 1 :]
            if path.startswith("_") or path in referred or stored.modified >= before.timestamp():
                continue
            self.storage.delete(stored.path)
            deleted.append(path)
        return deleted

    def _refresh(self) -> None:
        """Bring the handle to the latest version; a new one where the credentials it was opened with have changed."""
        options = dict(self.storage.options)
        if options == self._options:
            self._handle.update_incremental()
        else:
            self._handle, self._options = open_handle(self.storage, self.root), options

    def _commit(
        self,
        adds: Sequence[NewFile],
        removes: Sequence[str],
        progress: Mapping[str, tuple[int | None, int]],
        note: Mapping[str, Any],
    ) -> int:
        """Commit once, however often the storage's answers are lost; the new version.

        A commit whose first attempt arrives late after all meets the second one at the same version, and one of them is
        refused: the mark they share tells that this was no other process.
        """
        conflicts = deltalake_module().exceptions.CommitFailedError
        since, mark = self._handle.version(), secrets.token_hex(16)
        for pause in (*_PAUSES, None) if self.storage.remote else (None,):
            self._check_believed(adds, removes, progress)
            try:
                return self._transact(adds, removes, progress, note, mark)
            except Exception as error:
                self._handle = open_handle(self.storage, self.root)
                if (version := self._version_of(mark, since)) is not None:
                    return version
                if pause is None or isinstance(error, conflicts):
                    raise
                _LOG.warning("%s: a commit failed without being made; trying again in %s s", self.root, pause)
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _version_of(self, mark: str, since: int) -> int | None:
        """The version later than `since` that the commit of a mark made; None where there is none."""
        later = self._handle.version() - since
        entries = self._handle.history(later) if later > 0 else []
        return next((int(entry["version"]) for entry in entries if entry.get(_MARK) == mark), None)

    def _check_believed(
        self, adds: Sequence[NewFile], removes: Sequence[str], progress: Mapping[str, tuple[int | None, int]]
    ) -> None:
        for app_id, (expected, new) in progress.items():
            found = self._handle.transaction_version(app_id)
            if found != expected:
                raise CommitConflict(f"{self.root}: progress of {app_id} is {found}, not {expected}")
            if expected is not None and new < expected:
                raise LakeError(f"{self.root}: progress of {app_id} cannot go back from {expected} to {new}")
        if not removes:
            return
        present = live_paths(self._handle)
        if gone := [path for path in removes if path not in present]:
            raise CommitConflict(f"{self.root}: another process removed {gone[0]} first")
        if again := [file.path for file in adds if file.path in present]:
            raise CommitConflict(f"{self.root}: {again[0]} is in the table already")

    def _transact(
        self,
        adds: Sequence[NewFile],
        removes: Sequence[str],
        progress: Mapping[str, tuple[int | None, int]],
        note: Mapping[str, Any],
        mark: str,
    ) -> int:
        delta = deltalake_module()
        now = int(time.time() * 1000)
        before = self._handle.version()
        actions = [
            *(delta.transaction.AddAction(f.path, f.size, {}, now, True, statistics_text(f)) for f in adds),
            *(delta.transaction.RemoveAction(path, True, now) for path in removes),
        ]
        properties = delta.CommitProperties(
            app_transactions=[delta.Transaction(app_id, new) for app_id, (_, new) in progress.items()],
            custom_metadata={NOTE: json.dumps(note), _MARK: mark},
        )
        self._handle.create_write_transaction(
            actions, mode="append", schema=self._handle.schema(), commit_properties=properties
        )
        self._handle.update_incremental()
        latest: int = self._handle.version()
        version = latest if latest == before + 1 else self._version_of(mark, before)
        if version is None:
            raise LakeError(f"{self.root}: the log does not hold the commit that was made")
        return version


def _check(storage: Storage, root: str, file: NewFile) -> None:
    """Raise CorruptFile unless the file exists with the size and rows it claims."""
    path = f"{root}/{file.path}"
    with storage.open(path) as stream:
        if (size := stream.seek(0, os.SEEK_END)) != file.size:
            raise CorruptFile(f"{path} has {size} bytes, not {file.size}")
        rows = _rows(stream, path)
    if rows != file.rows:
        raise CorruptFile(f"{path} has {rows} rows, not {file.rows}")


def _rows(stream: BinaryIO, path: str) -> int:
    """How many rows a Parquet file says it has."""
    try:
        rows: int = pq.read_metadata(stream).num_rows
    except (pa.ArrowException, OSError) as error:
        raise CorruptFile(f"{path} is not a Parquet file") from error
    return rows
