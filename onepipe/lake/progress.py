"""Progress of sinks that cannot keep their own: small files of the lake, compared and set by their names.

The file that says how far a batch reached is named after the offset the batch began at. A name is written once, so of
two processes that go on from the same progress to different ones, the second is refused. Files before the last one are
deleted; what a process that comes back late writes under such a name is seen to be behind, and refused as well.
"""

from __future__ import annotations

import json
import re
from typing import Final

from onepipe.errors import CommitConflict, ConfigurationError, CorruptFile
from onepipe.lake.layout import sink_progress
from onepipe.lake.storage import Storage

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z")
_FORMAT: Final = 1


class LakeProgress:
    """The progress of one sink in one topic, as `onepipe.sink.ProgressStore`. Thread-safe, across processes too."""

    def __init__(self, storage: Storage, sink: str, topic: str) -> None:
        """Open the progress of a sink.

        Args:
            storage: the lake's.
            sink: name of the sink: up to 100 letters, digits, ".", "_" and "-".
            topic: name of the topic.

        Raises:
            ConfigurationError: another form of name.
        """
        if not _NAME.match(sink):
            raise ConfigurationError(f"{sink!r} is no name for a sink: up to 100 of letters, digits, '.', '_' and '-'")
        self._storage = storage
        self._sink = sink
        self._topic = topic

    def progress(self, log: str, partition: int) -> int | None:
        """The offset after the last one stored for the partition, or None where none is.

        Raises:
            CorruptFile: a file holds something else than progress.
        """
        while True:
            paths = self._paths(log, partition)
            try:
                return max(map(self._read, paths), default=None)
            except CorruptFile:
                if paths == self._paths(log, partition):
                    raise  # else another process went on meanwhile, and deleted a file

    def advance(self, log: str, partition: int, first: int, next: int) -> None:  # noqa: A002 - as in SinkBatch
        """Store `next` durably as progress, on condition that `first` is stored, or nothing is.

        Raises:
            CommitConflict: another progress is stored.
        """
        self._require(self.progress(log, partition), (None, first), log, partition)
        path = f"{sink_progress(self._sink, self._topic, log, partition)}/{first:020}.json"
        self._storage.write_new(path, json.dumps({"format": _FORMAT, "next": next}).encode())
        self._require(self.progress(log, partition), (next,), log, partition)
        for earlier in self._paths(log, partition):
            if earlier < path:
                self._storage.delete(earlier)

    def _require(self, stored: int | None, wanted: tuple[int | None, ...], log: str, partition: int) -> None:
        if stored not in wanted:
            message = f"the progress of sink {self._sink} in log {log} is {stored}, not {wanted[-1]}"
            raise CommitConflict(message, topic=self._topic, partition=partition)

    def _paths(self, log: str, partition: int) -> list[str]:
        return [file.path for file in self._storage.list(sink_progress(self._sink, self._topic, log, partition))]

    def _read(self, path: str) -> int:
        try:
            document = json.loads(self._storage.read(path))
            if document["format"] == _FORMAT and type(document["next"]) is int:
                return int(document["next"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, CorruptFile):
                raise
        raise CorruptFile(f"{path} holds no progress", remedy="delete it to begin again from the log's start")
