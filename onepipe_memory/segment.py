"""A segment: one append-only file of a partition, named by its first offset, and the index of its batches."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from onepipe.errors import TransportError
from onepipe.transport import Message
from onepipe_memory.frames import HEADER_BYTES, MAGIC, BatchHeader, decode_batch, is_whole, read_header

SUFFIX: Final = ".log"
_CHUNK_BYTES: Final = 1 << 16
_NEVER: Final = -(1 << 63)


def segment_name(first: int) -> str:
    """The file name of the segment that begins with an offset; names sort as offsets do."""
    return f"{first:020}{SUFFIX}"


class Segment:
    """A segment's file and what is known of its batches. Not thread-safe.

    Attributes:
        path: the file.
        first: offset of its first message.
        end: offset after the last message known.
        size: bytes of the batches known.
        last_timestamp: the greatest timestamp of its messages.
    """

    def __init__(self, path: Path, topic: str, partition: int) -> None:
        self.path = path
        self.first = self.end = int(path.name.removesuffix(SUFFIX))
        self.size = 0
        self.last_timestamp = _NEVER
        self._topic = topic
        self._partition = partition
        self._offsets = array("q")
        self._places = array("q")
        self._timestamps = array("q")
        self._decoded: tuple[int, list[Message]] = (-1, [])

    def extend(self, *, last: bool) -> None:
        """Take note of batches written since.

        Args:
            last: whether this is the partition's last segment. Its batches are checked, as a write may be under way or
                was torn; what is not whole is left for the next time. Those of others are checked when they are read.

        Raises:
            TransportError: a header is damaged, and whole batches follow it.
        """
        with self.path.open("rb") as file:
            if last:
                file.seek(self.size)
                self._extend_checked(file.read())
                return
            for header in _headers(file.fileno(), self.size, os.fstat(file.fileno()).st_size):
                if header.first != self.end:
                    break
                self.note(header)

    def _extend_checked(self, data: bytes) -> None:
        at = 0
        while (header := read_header(data, at)) is not None and header.first == self.end:
            batch = data[at : at + header.size]
            if not is_whole(header, batch) and not (len(batch) == header.size and _whole_follows(data, at)):
                return
            self.note(header)  # where it is not whole, whoever reads it is told
            at += header.size
        if _whole_follows(data, at):
            raise self._damaged(self.size, self.end)

    def note(self, header: BatchHeader) -> None:
        """Take note of a batch at the end of those known."""
        self._offsets.append(header.first)
        self._places.append(self.size)
        self._timestamps.append(header.last_timestamp)
        self.last_timestamp = max(self.last_timestamp, header.last_timestamp)
        self.end = header.first + header.messages
        self.size += header.size

    def read(self, offset: int, limit: int) -> list[Message]:
        """Up to `limit` messages from `offset` on, of one batch; the offset is known to be in this segment.

        Raises:
            TransportError: the batch is damaged.
        """
        messages = self._batch(bisect_right(self._offsets, offset) - 1)
        index = offset - messages[0].offset
        return messages[index : index + limit]

    def offset_at(self, timestamp: int, start: int) -> int | None:
        """The first offset from `start` on that is stamped at or after `timestamp`, or None."""
        for index in range(bisect_left(self._offsets, start + 1) - 1 if start > self.first else 0, len(self._offsets)):
            if self._timestamps[index] >= timestamp:
                for message in self._batch(index):
                    if message.timestamp >= timestamp and message.offset >= start:
                        return message.offset
        return None

    def recover(self) -> int:
        """Check every batch, and find where a torn write at the end begins; the size of what is whole.

        Raises:
            TransportError: a damaged batch is followed by a whole one: it was acknowledged, and nothing may be cut.
        """
        data = self.path.read_bytes()
        at = self.size = 0
        self.end = self.first
        for known in (self._offsets, self._places, self._timestamps):
            del known[:]
        while (header := _whole_at(data, at)) is not None and header.first == self.end:
            self.note(header)
            at += header.size
        if _whole_follows(data, at):
            raise self._damaged(at, self.end)
        return at

    def _batch(self, index: int) -> list[Message]:
        known, messages = self._decoded
        if known == index:
            return messages
        place = self._places[index]
        with self.path.open("rb") as file:
            file.seek(place)
            start = file.read(HEADER_BYTES)
            header = read_header(start)
            batch = start + file.read(header.length) if header else start
        if header is None or header.first != self._offsets[index] or not is_whole(header, batch):
            raise self._damaged(place, self._offsets[index])
        messages = decode_batch(self._topic, self._partition, header, batch)
        self._decoded = index, messages
        return messages

    def _damaged(self, place: int, offset: int) -> TransportError:
        return TransportError(
            f"{self.path} is damaged at byte {place}",
            topic=self._topic,
            partition=self._partition,
            offset=offset,
            remedy="restore the file from a copy; what follows is not cut off by itself",
        )


def _headers(file: int, at: int, size: int) -> Iterator[BatchHeader]:
    """The headers of the batches between two places of a file, as long as they are whole."""
    chunk, base = b"", at
    while size - at >= HEADER_BYTES:
        if at + HEADER_BYTES > base + len(chunk):
            chunk, base = os.pread(file, _CHUNK_BYTES, at), at
        header = read_header(chunk, at - base)
        if header is None or at + header.size > size:
            return
        yield header
        at += header.size


def _whole_at(data: bytes, at: int) -> BatchHeader | None:
    header = read_header(data, at)
    return header if header and is_whole(header, data[at : at + header.size]) else None


def _whole_follows(data: bytes, at: int) -> bool:
    """Whether a whole batch begins somewhere after a place."""
    later = data.find(MAGIC, at + 1)
    while later >= 0 and _whole_at(data, later) is None:
        later = data.find(MAGIC, later + 1)
    return later >= 0
