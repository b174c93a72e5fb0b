"""How raw files are written as Parquet: encodings and compression by column, for size and speed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from onepipe.lake import columns as c

_ZSTD_LEVEL: Final = 1
_RANDOM: Final = frozenset({c.DIGEST_HI, c.DIGEST_LO, c.IDENTITY, c.EXPECTED})
_BLOBS: Final = frozenset({c.KEY, c.BODY})
_RISING: Final = frozenset({c.OFFSET, c.SEQUENCE})
_NO_STATISTICS: Final = _RANDOM | _BLOBS | {c.HEADERS, c.EPOCH}


def parquet_writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of raw rows.

    Random numbers (digests, hashes) are stored as they are. Offsets, sequences and times are stored as differences.
    Keys and bodies are compressed without dictionary, as they repeat seldom; everything else is tried with one.

    Args:
        sink: an open Arrow file.
        schema: the columns.
    """
    leaves = [(field.name, path, type_) for field in schema for path, type_ in parquet_leaves(field.name, field.type)]
    rising = {path for name, path, type_ in leaves if name in _RISING or pa.types.is_timestamp(type_)}
    plain = {path for name, path, _ in leaves if name in _RANDOM | _BLOBS}
    return pq.ParquetWriter(
        sink,
        schema,
        compression={path: "none" if name in _RANDOM else "zstd" for name, path, _ in leaves},
        compression_level={path: _ZSTD_LEVEL for name, path, _ in leaves if name not in _RANDOM},
        use_dictionary=[path for _, path, _ in leaves if path not in rising | plain],
        column_encoding=dict.fromkeys(rising, "DELTA_BINARY_PACKED") | dict.fromkeys(plain, "PLAIN"),
        write_statistics=[path for name, path, _ in leaves if name not in _NO_STATISTICS],
        store_schema=False,
    )


def parquet_leaves(path: str, type_: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """The Parquet columns that hold a type's values, by path."""
    if pa.types.is_struct(type_):
        for field in type_:
            yield from parquet_leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(type_):
        yield from parquet_leaves(f"{path}.list.element", type_.value_type)
    elif pa.types.is_map(type_):
        yield from parquet_leaves(f"{path}.key_value.key", type_.key_type)
        yield from parquet_leaves(f"{path}.key_value.value", type_.item_type)
    else:
        yield path, type_
