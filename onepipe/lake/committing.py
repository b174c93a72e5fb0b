"""One commit to a table: checked before it is made, and made once however often the storage's answers are lost.

What Delta does not check is checked here: that the files of a commit exist with the size and rows they claim, that a
removed file is still there, and that progress is what the committer believed it to be. The progress of an application
is read, compared and committed on one handle, so two committers of the same progress cannot both succeed.

A commit may be made although nobody hears so: a remote storage's answer can be lost. So each commit carries a random
mark; where one fails, the table's log is read again, and the mark tells whether it was made.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.errors import CommitConflict, CorruptFile, LakeError
from onepipe.lake.delta import NewFile, deltalake_module, live_paths, open_handle, statistics_text
from onepipe.lake.footer import row_count
from onepipe.lake.storage import Storage

if TYPE_CHECKING:
    import deltalake

NOTE: Final = "onepipe"
"""Key of the note in a commit's metadata."""

_LOG: Final = logging.getLogger(__name__)
_PAUSES: Final = (0.2, 1.0, 5.0)
"""Seconds to wait before a commit that failed at a remote storage is tried again."""
_MARK: Final = "onepipe-commit"
"""Key of a random mark by which a committer finds its commit again among others' that came right after it."""


@attrs.define
class Committing:
    """One commit. Used by one thread; deltalake's errors are its caller's to turn into ours.

    Attributes:
        storage: where the table is.
        root: path of the table's folder.
        handle: a handle at the latest version; replaced where the commit is tried again.
        adds: files that are there already, and durable.
        removes: paths of files of the present version.
        progress: by application id, the progress it is believed to have (None: none yet) and the new one.
        note: kept with the commit for as long as the log keeps it.
        mark: tells this commit from others.
    """

    storage: Storage
    root: str
    handle: deltalake.DeltaTable
    adds: Sequence[NewFile]
    removes: Sequence[str]
    progress: Mapping[str, tuple[int | None, int]]
    note: Mapping[str, Any]
    mark: str = attrs.field(init=False, factory=lambda: secrets.token_hex(16))

    def run(self) -> int:
        """Commit; the new version.

        A commit whose first attempt arrives late after all meets the second one at the same version, and one of them is
        refused: the mark they share tells that this was no other process.

        Raises:
            CommitConflict: progress is not the believed one, or a removed file is gone. Nothing was committed.
            LakeError: progress would go back. Nothing was committed.
            DeltaError: deltalake's, of the last attempt; a CommitFailedError where another process was first.
        """
        conflicts = deltalake_module().exceptions.CommitFailedError
        since = self.handle.version()
        for pause in (*_PAUSES, None) if self.storage.remote else (None,):
            self.check_believed()
            try:
                return self.transact()
            except Exception as error:
                self.handle = open_handle(self.storage, self.root)
                if (version := self._version_after(since)) is not None:
                    return version
                if pause is None or isinstance(error, conflicts):
                    raise
                _LOG.warning("%s: a commit failed without being made; trying again in %s s", self.root, pause)
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def check_believed(self) -> None:
        """Require that the table is what the committer believes it to be."""
        for app_id, (expected, new) in self.progress.items():
            found = self.handle.transaction_version(app_id)
            if found != expected:
                raise CommitConflict(f"{self.root}: progress of {app_id} is {found}, not {expected}")
            if expected is not None and new < expected:
                raise LakeError(f"{self.root}: progress of {app_id} cannot go back from {expected} to {new}")
        if not self.removes:
            return
        present = live_paths(self.handle)
        if gone := [path for path in self.removes if path not in present]:
            raise CommitConflict(f"{self.root}: another process removed {gone[0]} first")
        if again := [file.path for file in self.adds if file.path in present]:
            raise CommitConflict(f"{self.root}: {again[0]} is in the table already")

    def transact(self) -> int:
        """Write the commit into the table's log; the version it made."""
        delta = deltalake_module()
        now = int(time.time() * 1000)
        before = self.handle.version()
        actions = [
            *(delta.transaction.AddAction(f.path, f.size, {}, now, True, statistics_text(f)) for f in self.adds),
            *(delta.transaction.RemoveAction(path, True, now) for path in self.removes),
        ]
        properties = delta.CommitProperties(
            app_transactions=[delta.Transaction(app_id, new) for app_id, (_, new) in self.progress.items()],
            custom_metadata={NOTE: json.dumps(self.note), _MARK: self.mark},
        )
        self.handle.create_write_transaction(
            actions, mode="append", schema=self.handle.schema(), commit_properties=properties
        )
        self.handle.update_incremental()
        latest = self.handle.version()
        version = latest if latest == before + 1 else self._version_after(before)
        if version is None:
            raise LakeError(f"{self.root}: the log does not hold the commit that was made")
        return version

    def _version_after(self, since: int) -> int | None:
        """The version later than `since` that this commit made; None where there is none."""
        later = self.handle.version() - since
        entries = self.handle.history(later) if later > 0 else []
        return next((int(entry["version"]) for entry in entries if entry.get(_MARK) == self.mark), None)


def require_file(storage: Storage, root: str, file: NewFile) -> None:
    """Require that a file exists with the size and rows it claims.

    Raises:
        CorruptFile: it is missing, or has not.
    """
    path = f"{root}/{file.path}"
    with storage.open(path) as stream:
        if (size := stream.seek(0, os.SEEK_END)) != file.size:
            raise CorruptFile(f"{path} has {size} bytes, not {file.size}")
        rows = row_count(stream, path)
    if rows != file.rows:
        raise CorruptFile(f"{path} has {rows} rows, not {file.rows}")
