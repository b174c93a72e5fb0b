"""Where the files of a lake are, and the content hash in a data file's name.

    topics/<Topic>/<NNNNNN>.avsc                  declarations this lake has seen, in order
    raw/<Topic>/part<P>/YYYY/MM/DD/HH/offset<first>-<hash>.parquet
    clean/<Topic>/YYYY/MM/DD/chunk<N>-<hash>.parquet
    clean/<Topic>/_index/                         derived identity index
    ledger/<Topic>/                               sealed verdicts and proofs
    sinks/<sink>/<Topic>/<log>/part<P>/           progress of sinks that cannot keep their own

`<hash>` is xxh3-128 of the file's bytes, 32 hexadecimal digits, so a file is checked against its own name.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import BinaryIO, Final

from xxhash import xxh3_128

from onepipe.errors import CorruptFile
from onepipe.lake.storage import Copies, Storage, missing

INDEX: Final = "_index"
"""Folder of the identity index inside a clean table; Delta leaves names that begin with "_" alone."""

_HASHED: Final = re.compile(r"-([0-9a-f]{32})\.parquet\Z")
_BLOCK: Final = 1 << 20


def topics_root() -> str:
    """Folder of all declarations."""
    return "topics"


def declarations(topic: str) -> str:
    """Folder of a topic's declarations."""
    return f"topics/{topic}"


def declaration(topic: str, number: int) -> str:
    """Path of a topic's declaration, numbered from 1."""
    return f"topics/{topic}/{number:06}.avsc"


def raw_table(topic: str) -> str:
    """Root of a topic's raw table."""
    return f"raw/{topic}"


def clean_table(topic: str) -> str:
    """Root of a topic's clean table."""
    return f"clean/{topic}"


def index(topic: str) -> str:
    """Folder of a clean table's identity index."""
    return f"clean/{topic}/{INDEX}"


def ledger(topic: str) -> str:
    """Folder of a topic's sealed verdicts and proofs."""
    return f"ledger/{topic}"


def sink_progress(sink: str, topic: str, log: str, partition: int) -> str:
    """Folder of a sink's progress in a partition of a log."""
    return f"sinks/{sink}/{topic}/{log}/part{partition}"


def raw_file(partition: int, hour: dt.datetime, first: int, content: str) -> str:
    """Path, below the raw table, of the file that begins at offset `first`.

    Args:
        partition: number of the partition.
        hour: UTC time of its first message.
        first: first offset of its range.
        content: its content hash.
    """
    year, rest = f"{hour.year:04}", f"{hour:%m/%d/%H}"
    return f"part{partition}/{year}/{rest}/{raw_file_name(first, content)}"


def raw_file_name(first: int, content: str) -> str:
    """Name of the raw file that begins at offset `first`."""
    return f"offset{first:020}-{content}.parquet"


def clean_file(day: dt.date | None, chunk: int, content: str) -> str:
    """Path, below the clean table, of a chunk of the records of one day of event time (None: they have no event time).

    Args:
        day: UTC day.
        chunk: number of the chunk in the day.
        content: its content hash.
    """
    folder = f"{day.year:04}/{day:%m/%d}" if day else "undated"
    return f"{folder}/chunk{chunk}-{content}.parquet"


def content_hash(data: bytes) -> str:
    """The content hash of some bytes."""
    return xxh3_128(data).hexdigest()


def app_id(log: str, partition: int) -> str:
    """The application id under which a raw (or clean) table keeps the progress in a partition of a log."""
    return f"{log}/{partition}"


def file_hash(path: Path) -> str:
    """The content hash of a local file, read block by block."""
    with path.open("rb") as file:
        return _stream_hash(file)


def named_hash(path: str) -> str | None:
    """The content hash a data file's name says, or None for another kind of name."""
    found = _HASHED.search(path)
    return found[1] if found else None


def check_content(storage: Storage, path: str) -> None:
    """Read a data file and compare it with the hash in its name.

    Raises:
        CorruptFile: it is missing, has no hash in its name, or holds other bytes.
    """
    with storage.open(path) as file:
        check_stream(file, path)


def read_copy(copies: Copies, path: str) -> bytes:
    """The bytes of the local file of a data file; raises as `check_content` does."""
    try:
        data = Path(*copies.local([path])).read_bytes()
    except FileNotFoundError:
        raise missing(path) from None
    _check_hash(xxh3_128(data).hexdigest(), path)
    return data


def check_copy(copies: Copies, path: str) -> None:
    """Compare the local file of a data file with the hash in its name; raises as `check_content` does."""
    try:
        with Path(*copies.local([path])).open("rb") as file:
            check_stream(file, path)
    except FileNotFoundError:
        raise missing(path) from None


def check_stream(file: BinaryIO, path: str) -> None:
    """Read an open data file to its end and compare it with the hash in its name.

    Raises:
        CorruptFile: it has no hash in its name, or holds other bytes.
    """
    _check_hash(_stream_hash(file), path)


def _check_hash(found: str, path: str) -> None:
    expected = named_hash(path)
    if expected is None:
        raise CorruptFile(f"{path} has no content hash in its name")
    if found != expected:
        remedy = "restore it from a copy of the lake, or archive its offsets again"
        raise CorruptFile(f"{path} holds other bytes than were written: their hash is {found}", remedy=remedy)


def _stream_hash(file: BinaryIO) -> str:
    state = xxh3_128()
    while block := file.read(_BLOCK):
        state.update(block)
    return state.hexdigest()
