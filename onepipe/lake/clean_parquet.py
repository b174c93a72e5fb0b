"""How clean files are written as Parquet: encodings and compression by column, found once for many small files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onepipe.lake import columns as c
from onepipe.lake.raw_parquet import parquet_leaves

_ROW_GROUP: Final = 1 << 17
_ZSTD_LEVEL: Final = 1
_SAMPLE: Final = 2048
_ENOUGH: Final = 256
"""Rows of a file from which smaller ones learn which columns are worth a dictionary."""
_RANDOM: Final = frozenset({c.IDENTITY, c.DIGEST_HI, c.DIGEST_LO, c.SUM_HI, c.SUM_LO})


class CleanParquet:
    """Writes clean rows. Thread-safe.

    Random numbers are written as they are, which nothing makes smaller; the others are compressed. Text and bytes whose
    first rows hold few distinct values have a dictionary; a file of less than a full sample goes by what was found in
    another one.

    Args:
        schema: columns of the clean table.
    """

    def __init__(self, schema: pa.Schema) -> None:
        paths = [(field.name, path) for field in schema for path, _ in parquet_leaves(field.name, field.type)]
        self._schema = schema.remove_metadata()
        self._options: dict[str, Any] = {
            "compression": {path: "none" if name in _RANDOM else "zstd" for name, path in paths},
            "compression_level": {path: _ZSTD_LEVEL for name, path in paths if name not in _RANDOM},
            "write_statistics": [path for name, path in paths if name not in _RANDOM or name == c.IDENTITY],
            "store_schema": False,
        }
        self._dictionaries: list[str] | None = None

    def write(self, rows: pa.Table, metadata: Mapping[bytes, bytes], target: Path) -> None:
        """Write a file.

        Args:
            rows: rows with the schema's columns.
            metadata: key-value metadata of the file.
            target: where to.
        """
        with (
            pa.OSFile(str(target), "wb") as sink,
            pq.ParquetWriter(
                sink, self._schema, use_dictionary=self._worth_dictionaries(rows), **self._options
            ) as writer,
        ):
            writer.write_table(rows, row_group_size=_ROW_GROUP)
            writer.add_key_value_metadata(metadata)

    def _worth_dictionaries(self, rows: pa.Table) -> list[str]:
        if self._dictionaries is not None and rows.num_rows < _SAMPLE:
            return self._dictionaries
        found = list(_repetitive(rows))
        if rows.num_rows >= _ENOUGH:
            self._dictionaries = found
        return found


def _repetitive(rows: pa.Table) -> Iterator[str]:
    """Parquet paths of the text and binary columns whose first rows hold few distinct values: worth a dictionary."""
    for field, column in zip(rows.schema, rows.itercolumns(), strict=True):
        values, path = column, field.name
        if pa.types.is_list(field.type):
            values, path = pc.list_flatten(column.slice(0, _SAMPLE)), f"{path}.list.element"
        if not (pa.types.is_string(values.type) or pa.types.is_binary(values.type)):
            continue
        sample = values.slice(0, _SAMPLE)
        if len(sample) and 4 * pc.count_distinct(sample).as_py() <= len(sample):
            yield path
