"""A table of the lake: our own Parquet files, made visible by atomic commits that carry progress with the data.

The table format is Delta, used through few calls (`onepipe.lake.delta`) so that another format can stand in.
`onepipe.lake.committing` makes the commits, and checks what Delta does not.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import attrs
import pyarrow as pa

from onepipe.arguments import require_count, require_moment
from onepipe.errors import LakeError
from onepipe.lake.committing import NOTE, Committing, require_file
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
    open_handle,
)
from onepipe.lake.footer import row_count
from onepipe.lake.storage import Storage

if TYPE_CHECKING:
    import deltalake

__all__ = ["Commit", "LakeFile", "LakeTable", "NewFile", "Snapshot", "Statistic", "Statistics"]

_PROPERTIES: Final = {"delta.dataSkippingNumIndexedCols": "-1"}
"""Properties of a new table: statistics of all columns are read; Delta's default, the first 32, leaves out ours."""
_LOGGED: Final = re.compile(r"/\d{20}\.(json|checkpoint\.[\w.-]*parquet)\Z")
"""An entry of a table's log."""


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
            return row_count(stream, f"{self._root}/{path}")


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
            require_file(self.storage, self.root, file)
        self.storage.make_durable(*(f"{self.root}/{file.path}" for file in adds))
        with self._lock, lake_errors(self.root):
            self._refresh()
            committing = Committing(self.storage, self.root, self._handle, adds, removes, progress or {}, note or {})
            try:
                version = committing.run()
            finally:
                self._handle = committing.handle
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
