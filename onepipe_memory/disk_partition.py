"""A partition on disk: append-only segments, read by any process, written by the one that holds the log's lock."""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from io import FileIO
from operator import attrgetter
from pathlib import Path
from typing import Final

from onepipe.errors import TransportError
from onepipe.transport import Bounds, Message, Outgoing
from onepipe_memory.config import MemoryConfig
from onepipe_memory.errors import no_topic, position_lost
from onepipe_memory.files import read_json, sync_folder, write_json
from onepipe_memory.frames import encode_batch
from onepipe_memory.partition import Chunk
from onepipe_memory.segment import SUFFIX, Segment, segment_name

_START: Final = "start.json"
_FIRST: Final = attrgetter("first")
_SEGMENT: Final = re.compile(r"[0-9]{20}" + re.escape(SUFFIX))


class DiskPartition:
    """A partition on disk. Thread-safe.

    Attributes:
        deleted: whether the topic was deleted.
    """

    def __init__(
        self,
        folder: Path,
        topic: str,
        number: int,
        retention_ms: int | None,
        config: MemoryConfig,
        own: Callable[[], None],
    ) -> None:
        self.deleted = False
        self.topic = topic
        self.number = number
        self._folder = folder
        self._retention_ms = retention_ms
        self._config = config
        self._own = own
        self._lock = threading.RLock()
        self._segments: list[Segment] = []
        self._start = 0
        self._file: FileIO | None = None
        self._broken: str | None = None
        self._unsure = False  # whether a write began that may not have come to its end

    def bounds(self) -> Bounds:
        """The offsets it holds now."""
        with self._lock:
            self._refresh()
            return self._bounds()

    def read(self, offset: int, limit: int) -> Chunk:
        """Up to `limit` messages from `offset` on.

        Raises:
            PositionLost: the offset is before the first one kept, or beyond the end.
            TransportError: a file is damaged.
        """
        with self._lock:
            self._refresh()
            start, end = self._bounds()
            if not start <= offset <= end:
                raise position_lost(self.topic, self.number, offset, start, end)
            messages: list[Message] = []
            while offset < end and len(messages) < limit:
                found = self._read_batch(offset, limit - len(messages))
                messages = messages + found if messages else found
                offset = found[-1].offset + 1
            return Chunk(messages, offset)

    def offset_at(self, timestamp: int) -> int:
        """The first offset stamped at or after `timestamp` (ms since 1970), else the end."""
        with self._lock:
            self._refresh()
            start, end = self._bounds()
            for segment in self._segments:
                if segment.end > start and segment.last_timestamp >= timestamp:
                    offset = segment.offset_at(timestamp, start)
                    if offset is not None:
                        return offset
            return end

    def open_for_append(self) -> None:
        """Hold the log's lock, check the last segment, cut a torn write off its end, and open it.

        Raises:
            TransportError: another process writes, a file is damaged, or it cannot be written.
        """
        self._own()
        with self._lock:
            if self._file is not None:
                return
            self._refresh()
            try:
                if not self._segments:
                    self._begin_segment(0)
                    return
                whole = self._segments[-1].recover()
                self._file = FileIO(self._segments[-1].path, "ab")
                if self._file.tell() > whole:
                    self._file.truncate(whole)
                    os.fsync(self._file.fileno())
            except OSError as error:
                raise self._failed(error) from error

    def append(self, messages: Sequence[Outgoing]) -> int:
        """Write messages as one batch, not yet synced; the first one's offset. It is open for that.

        Raises:
            TransportError: it could not be written; nothing of it is in the log.
        """
        with self._lock:
            if self._unsure:
                self._look_again()
            if self._broken or self._file is None:
                raise self._failed(self._broken or "it is not open for writing")
            segment = self._segments[-1]
            self._unsure = True
            try:
                if segment.size >= self._config.segment_bytes:
                    self._begin_segment(segment.end)
                self._expire()
                segment = self._segments[-1]
                header, batch = encode_batch(segment.end, messages)
                _write_all(self._file, batch)
            except OSError as error:
                self._cut(segment.size)
                self._unsure = False
                raise self._failed(error) from error
            segment.note(header)
            self._unsure = False
            return header.first

    def sync(self) -> None:
        """Bring what was appended onto the disk.

        Raises:
            TransportError: unknown what of it is there; nothing more is written before the log is opened anew.
        """
        with self._lock:
            if self._file is not None:
                try:
                    _SYNC(self._file.fileno())
                except OSError as error:
                    self._broken = str(error)
                    raise self._failed(error) from error

    def trim(self, before: int) -> None:
        """Forget the messages before an offset, at most up to the end."""
        self.open_for_append()
        with self._lock:
            start, end = self._bounds()
            if before > start:
                self._set_start(min(before, end))

    def delete(self) -> None:
        """Take no more messages, as the topic was deleted."""
        with self._lock:
            self.deleted = True
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def abandon(self) -> None:
        """Let go of a file that a fork copied, without its lock, which may have been held."""
        if self._file is not None:
            self._file.close()

    def _bounds(self) -> Bounds:
        if not self._segments:
            return Bounds(self._start, self._start)
        return Bounds(max(self._start, self._segments[0].first), self._segments[-1].end)

    def _read_batch(self, offset: int, limit: int) -> list[Message]:
        segment = self._segments[bisect_right(self._segments, offset, key=_FIRST) - 1]
        if offset >= segment.end:
            raise self._failed(f"{segment.path} ends before offset {offset}, the next file begins after it")
        try:
            return segment.read(offset, limit)
        except FileNotFoundError as error:
            self._refresh()
            if self.deleted:
                raise no_topic(self.topic) from error
            raise position_lost(self.topic, self.number, offset, *self._bounds()) from error
        except OSError as error:
            raise self._failed(error) from error

    def _refresh(self) -> None:
        """See what the writing process wrote since; the writing process itself knows."""
        if self._file is not None and self._unsure:
            self._look_again()
        if self._file is not None:
            self._expire()
            return
        try:
            names = sorted(path.name for path in self._folder.iterdir() if _SEGMENT.fullmatch(path.name))
            known = {segment.path.name: segment for segment in self._segments}
            last = self._segments[-1].path.name if self._segments else ""
            self._segments = [known.get(name) or self._segment(name) for name in names]
            for segment in self._segments:
                if segment.path.name >= last:
                    segment.extend(last=segment is self._segments[-1])
            self._start = read_json(self._folder / _START, _is_start, {"start": 0})["start"]
        except FileNotFoundError:
            self.deleted = not self._folder.exists()
        except OSError as error:
            raise self._failed(error) from error

    def _look_again(self) -> None:
        """Read what is in the files, after an interrupt came amid a write: all of it, a part, or nothing."""
        self.close()
        self._segments = []
        self.open_for_append()
        self._unsure = False

    def _segment(self, name: str) -> Segment:
        return Segment(self._folder / name, self.topic, self.number)

    def _begin_segment(self, first: int) -> Segment:
        """A new file, after what is in the present one is on the disk."""
        if self._file is not None:
            _SYNC(self._file.fileno())
            self._file.close()
        segment = self._segment(segment_name(first))
        file = FileIO(segment.path, "ab")
        sync_folder(self._folder)
        self._segments.append(segment)
        self._file = file
        return segment

    def _expire(self) -> None:
        """Forget segments all of whose messages are older than the retention, as Kafka does; the last one stays."""
        if self._retention_ms is None:
            return
        limit = self._config.clock() - self._retention_ms
        if self._segments[-1].size and self._segments[-1].last_timestamp < limit:
            self._begin_segment(self._segments[-1].end)
        kept = next(s for s in self._segments if s.last_timestamp >= limit or s is self._segments[-1])
        if kept.first > self._bounds().start:
            self._set_start(kept.first)

    def _set_start(self, start: int) -> None:
        write_json(self._folder / _START, {"start": start})
        self._start = start
        while len(self._segments) > 1 and self._segments[1].first <= start:
            self._segments.pop(0).path.unlink(missing_ok=True)

    def _cut(self, size: int) -> None:
        """Take back a write that failed half way."""
        try:
            if self._file is not None:
                self._file.truncate(size)
        except OSError as error:
            self._broken = str(error)

    def _failed(self, why: object) -> TransportError:
        return TransportError(f"the log on disk failed: {why}", topic=self.topic, partition=self.number)


_SYNC: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _is_start(value: object) -> bool:
    return isinstance(value, dict) and type(value["start"]) is int and value["start"] >= 0
