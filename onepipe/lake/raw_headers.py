"""The headers of a batch of messages as columns.

The audit header is unpacked into columns of its own and not kept twice: where a message's first header is a sound audit
header, `_op_headers` holds only those behind it, and `message_headers` puts it back byte for byte. Anywhere else, or
damaged, an audit header is a header like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from onepipe.evidence.header import AUDIT_HEADER, HEADER_VERSION
from onepipe.lake.columns import DIGEST_HI, EPOCH, EXPECTED, HEADERS, HEADERS_TYPE, SEQUENCE
from onepipe.lake.raw_footer import Bools, Int64s
from onepipe.transport import Headers

_PACKED: Final = np.dtype([("version", "u1"), ("epoch", "u1", 16), ("sequence", ">u8"), ("check", ">i8")])


@attrs.frozen(eq=False)
class AuditColumns:
    """The audit headers of a batch.

    Attributes:
        present: by message, whether its first header is a sound audit header.
        others: numbers of the messages that have other headers, ascending.
        rows: numbers of the messages that have one, ascending.
        epochs: uint8 of shape (len(rows), 16), the writer epochs.
        sequences: int64 by row of `rows`.
        checks: int64 by row of `rows`.
    """

    present: Bools
    others: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    epochs: npt.NDArray[np.uint8]
    sequences: Int64s
    checks: Int64s

    def select(self, rows: npt.NDArray[np.intp]) -> AuditColumns:
        """The audit headers of some of the messages, given by their numbers, ascending."""
        present = self.present[rows]
        places = np.searchsorted(self.rows, rows[present])
        others = np.flatnonzero(np.isin(rows, self.others))
        columns = self.epochs[places], self.sequences[places], self.checks[places]
        return AuditColumns(present, others, np.flatnonzero(present), *columns)


def read_audit(headers: Sequence[Headers]) -> AuditColumns:
    """Unpack the audit headers of a batch."""
    values = [h[0][1] if h and h[0][0] == AUDIT_HEADER else b"" for h in headers]
    present = np.fromiter(map(len, values), np.int64, len(values)) == _PACKED.itemsize
    if not present.all():
        values = [value for value in values if len(value) == _PACKED.itemsize]
    packed = np.frombuffer(b"".join(values), _PACKED)
    sound = (packed["version"] == HEADER_VERSION) & (packed["sequence"] < 1 << 63)
    if not sound.all():
        present[np.flatnonzero(present)[~sound]] = False
        packed = packed[sound]
    counts = np.fromiter(map(len, headers), np.int64, len(headers))
    return AuditColumns(
        present,
        np.flatnonzero(counts > present),
        np.flatnonzero(present),
        packed["epoch"],
        packed["sequence"].astype(np.int64),
        packed["check"].astype(np.int64),
    )


def header_array(headers: Sequence[Headers], audit: AuditColumns) -> pa.Array:
    """The headers behind the audit header, or all where there is none, as an array of HEADERS_TYPE."""
    counts = np.zeros(len(headers), np.int32)
    names: list[str] = []
    values: list[bytes] = []
    for row in audit.others.tolist():
        others = headers[row][int(audit.present[row]) :]
        counts[row] = len(others)
        for name, value in others:
            names.append(name)
            values.append(value)
    offsets = np.concatenate(([0], np.cumsum(counts)), dtype=np.int32)
    pairs = pa.StructArray.from_arrays(
        [pa.array(names, pa.string()), pa.array(values, pa.binary())], fields=list(HEADERS_TYPE.value_type)
    )
    return pa.ListArray.from_arrays(pa.array(offsets), pairs, type=HEADERS_TYPE)


def message_headers(rows: pa.RecordBatch | pa.Table) -> list[Headers]:
    """The headers of raw rows' messages, as they came.

    Args:
        rows: with the columns HEADERS, EPOCH, SEQUENCE, EXPECTED and DIGEST_HI of a raw table.
    """
    others = _others(rows.column(HEADERS))
    epoch = rows.column(EPOCH)
    present = epoch.is_valid().to_numpy(zero_copy_only=False)
    packed = np.zeros(int(present.sum()), _PACKED)
    packed["version"] = HEADER_VERSION
    packed["epoch"] = np.frombuffer(b"".join(epoch.drop_null().to_pylist()), np.uint8).reshape(-1, 16)
    packed["sequence"] = rows.column(SEQUENCE).drop_null().to_numpy()
    checks = pc.coalesce(rows.column(EXPECTED), rows.column(DIGEST_HI))
    packed["check"] = checks.filter(pa.array(present)).to_numpy()
    data, size = packed.tobytes(), _PACKED.itemsize
    own = iter([((AUDIT_HEADER, data[start : start + size]),) for start in range(0, len(data), size)])
    return [(*next(own), *rest) if has else rest for has, rest in zip(present.tolist(), others, strict=True)]


def _others(column: pa.Array | pa.ChunkedArray) -> list[Headers]:
    """The headers a column of HEADERS_TYPE holds; most rows have none."""
    if pc.max(pc.list_value_length(column)).as_py() in (0, None):
        return [()] * len(column)
    return [tuple((header["name"], header["value"]) for header in row or ()) for row in column.to_pylist()]


def epoch_array(audit: AuditColumns) -> pa.Array:
    """The writer epochs as a binary array, null where there is none."""
    count = len(audit.rows)
    offsets = np.arange(0, 16 * (count + 1), 16, dtype=np.int32)
    data = np.ascontiguousarray(audit.epochs)
    epochs = pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return epochs if count == len(audit.present) else epochs.take(_places(audit))


def spread(values: Int64s, audit: AuditColumns) -> pa.Array:
    """An int64 array by message of values by row of `audit.rows`, null where there is none."""
    array = pa.array(values)
    return array if len(values) == len(audit.present) else array.take(_places(audit))


def writers(audit: AuditColumns) -> list[tuple[str, npt.NDArray[np.intp]]]:
    """Each writer epoch, hexadecimal, with the numbers of its rows within `audit.rows`, ascending."""
    if not len(audit.rows):
        return []
    words = np.ascontiguousarray(audit.epochs).view(np.uint64)
    if (words == words[0]).all():
        return [(audit.epochs[0].tobytes().hex(), np.arange(len(words)))]
    _, first, codes = np.unique(words, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return [(audit.epochs[first[code]].tobytes().hex(), np.flatnonzero(codes == code)) for code in order]


def _places(audit: AuditColumns) -> pa.Array:
    """By message, where it stands in `audit.rows`; null where it does not."""
    places = np.cumsum(audit.present) - 1
    return pa.array(places, mask=~audit.present)
