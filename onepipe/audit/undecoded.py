"""Rows that cannot be compared with what their writers vouch for, because the registry gave no schema of theirs.

A record's digest is seeded with its schema's fingerprint, so without the schema nobody can tell whether its bytes are
those that were published. What can be told is whether they are of a schema that the topic was declared with: then it is
the message's schema id that was altered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import pyarrow as pa

from onepipe.evidence.digest import digest
from onepipe.lake import columns as c
from onepipe.lake.engine import Engine, numbered_files

_FRAME_BYTES: Final = 5
_UNKNOWN: Final = f"starts_with(error, '{c.Quarantine.UNKNOWN_SCHEMA}')"
_READ: Final = pa.schema([c.RAW_COLUMNS.field(c.BODY), c.RAW_COLUMNS.field(c.ERROR)])
_NOT_COMPARED: Final = f"""
    SELECT row, expected FROM audited WHERE epoch IS NOT NULL AND expected IS NOT NULL AND {_UNKNOWN}
    AND row NOT IN (SELECT row FROM damaged)
"""


def undecoded_rows(engine: Engine, files: Sequence[str], fingerprints: Collection[int]) -> pa.Table:
    """The numbers of the rows of unknown schema that cannot be compared, as column `row`.

    Args:
        engine: with the relations audited and damaged of `onepipe.audit.rows`.
        files: what these were read from, in the same order.
        fingerprints: of the schemas that the topic was declared with.
    """
    rows: list[dict[str, Any]] = []
    if engine.row(f"SELECT count(*) FROM ({_NOT_COMPARED})", "counting undecoded rows")[0]:
        columns = f"_op_row::BIGINT AS row, {c.BODY} AS body, {c.ERROR} AS error"
        bodies = f"SELECT {columns} FROM {numbered_files(files, _READ)}"
        sql = f"SELECT * FROM ({_NOT_COMPARED}) JOIN (SELECT row, body FROM ({bodies}) WHERE {_UNKNOWN}) USING (row)"
        rows = engine.table(sql, "reading undecoded rows").to_pylist()
    found = [row["row"] for row in rows if not _is_of_any(fingerprints, row["body"] or b"", row["expected"])]
    return pa.table({"row": pa.array(found, pa.int64())})


def _is_of_any(fingerprints: Collection[int], value: bytes, check: int) -> bool:
    """Whether a framed body has a digest, of which its writer told the first lane, by one of some schemas."""
    return any(digest(fingerprint, value[_FRAME_BYTES:]).hi == check for fingerprint in fingerprints)
