"""Footers of raw and clean files are read by one function: what it refuses of one kind, it refuses of the other."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onepipe.errors import CorruptFile
from onepipe.lake.clean_files import clean_footer
from onepipe.lake.columns import FOOTER_FORMAT, FOOTER_KEY
from onepipe.lake.raw_footer import raw_footer


def parquet(footer: bytes | None) -> io.BytesIO:
    file = io.BytesIO()
    table = pa.table({"n": [1]})
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: footer} if footer is not None else None), file)
    file.seek(0)
    return file


KINDS = pytest.mark.parametrize(("kind", "read"), [("raw", raw_footer), ("clean", clean_footer)])


@KINDS
def test_a_footer_of_a_later_format_is_refused_by_its_format_whatever_else_it_says(
    kind: str, read: Callable[..., Any]
) -> None:
    later = json.dumps({"format": FOOTER_FORMAT + 1, "made of": "what this release does not know"}).encode()
    with pytest.raises(CorruptFile, match=rf"{kind}\.parquet is of format {FOOTER_FORMAT + 1} \(upgrade onepipe\)"):
        read(parquet(later), f"{kind}.parquet")


@KINDS
@pytest.mark.parametrize(
    "footer", [None, b"", b"[]", b'"text"', b"{}", b"\xff", f'{{"format": {FOOTER_FORMAT}}}'.encode()]
)
def test_what_is_no_footer_is_refused(kind: str, read: Callable[..., Any], footer: bytes | None) -> None:
    with pytest.raises(CorruptFile, match=rf"x has no footer of a {kind} file"):
        read(parquet(footer), "x")


@KINDS
def test_what_is_no_parquet_file_is_refused(kind: str, read: Callable[..., Any]) -> None:
    with pytest.raises(CorruptFile, match=rf"x has no footer of a {kind} file"):
        read(io.BytesIO(b"PAR1"), "x")
