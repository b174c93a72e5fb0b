"""The footer of a data file: one JSON document in the metadata of the Parquet file, with the number of its format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.errors import CorruptFile
from onepipe.lake.columns import FOOTER_FORMAT, FOOTER_KEY

F = TypeVar("F")


def footer_metadata(document: Mapping[str, Any]) -> dict[bytes, bytes]:
    """A footer's document as Parquet key-value metadata, with its format."""
    return {FOOTER_KEY: json.dumps({"format": FOOTER_FORMAT, **document}, separators=(",", ":")).encode()}


def parse_footer(file: BinaryIO, path: str, kind: str, parse: Callable[[dict[str, Any]], F]) -> F:
    """The footer of an open data file.

    Args:
        file: the file; it can seek.
        path: what to call it in an error.
        kind: which files have such a footer, for the error.
        parse: makes the footer of its document, without the format; what is missing or misshapen there may raise
            ValueError, LookupError, TypeError or AttributeError.

    Raises:
        CorruptFile: it has no such footer, or one of a later format.
    """
    try:
        document = json.loads((pq.read_metadata(file).metadata or {})[FOOTER_KEY])
        found = document.pop("format")
        if found == FOOTER_FORMAT:
            return parse(document)
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{path} has no footer of a {kind} file") from error
    raise CorruptFile(f"{path} is of format {found}", remedy="upgrade onepipe")


def row_count(stream: BinaryIO, path: str) -> int:
    """How many rows an open Parquet file says it has.

    Args:
        stream: the file; it can seek.
        path: what to call it in an error.

    Raises:
        CorruptFile: it is not a Parquet file.
    """
    try:
        rows: int = pq.read_metadata(stream).num_rows
    except (pa.ArrowException, OSError) as error:
        raise CorruptFile(f"{path} is not a Parquet file") from error
    return rows
