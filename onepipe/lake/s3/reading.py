"""Reading an object as a file: by ranges, that grow while it is read from front to back."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LEAST: Final = 64 << 10
_MOST: Final = 4 << 20


class RangedFile(io.RawIOBase):
    """An object of known size, read by ranges. Used by one thread at a time.

    Keeps at most _MOST bytes, or what one read asks for. What follows what was read last is fetched ahead, twice as
    much each time; a read elsewhere begins small again. So reading all of it takes few requests, and reading some of
    its columns fetches little more than those.

    Args:
        size: bytes of the object.
        fetch: gives the bytes from a start up to, not including, an end.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._position = 0
        self._ahead = _LEAST
        self._start = 0
        self._data = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position that the next read begins at."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; fetches nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Read the next bytes into a buffer, which they fill except at the end; how many."""
        target = memoryview(buffer).cast("B")
        done, wanted = 0, max(0, min(len(target), self._size - self._position))
        while done < wanted:
            begin = self._position - self._start
            if not 0 <= begin < len(self._data):
                self._fill(wanted - done)
                begin = 0
            found = self._data[begin : begin + wanted - done]
            target[done : done + len(found)] = found
            done += len(found)
            self._position += len(found)
        return done

    def readall(self) -> bytes:
        """All that follows, in one request."""
        data = self._fetch(self._position, self._size) if self._position < self._size else b""
        self._position += len(data)
        return data

    def _fill(self, wanted: int) -> None:
        """Fetch what begins at the position.

        Raises:
            OSError: the object has become shorter.
        """
        follows = self._position == self._start + len(self._data)
        self._ahead = min(2 * self._ahead, _MOST) if follows and self._data else _LEAST
        stop = min(self._size, self._position + max(wanted, self._ahead))
        self._data, self._start = b"", self._position  # not kept beside what comes
        self._data = self._fetch(self._position, stop)
        if len(self._data) != stop - self._position:
            raise OSError("the object has become shorter")
