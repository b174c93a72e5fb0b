"""A batch of messages while it is read: its schema ids, digests, errors, and the columns that come in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onepipe.errors import DecodeError
from onepipe.lake.columns import Quarantine
from onepipe.lake.raw_footer import Bools
from onepipe.schema.framing import VALUE_HEADER, read_frame
from onepipe.transport import Headers

Rows: TypeAlias = npt.NDArray[np.intp]
"""Numbers of messages in the batch, ascending."""

NO_SCHEMA: Final = -1
"""Stands for the schema id of a message that has none."""

_PREFIX: Final = 5


class ValueBatch:
    """The values of some messages.

    Args:
        keys: the messages' keys.
        values: their values.
        headers: their headers.
        headed: numbers of those that have other headers than the audit header.
        times: their timestamps, milliseconds since 1970.
        framed: whether their values say their schema.

    Attributes:
        keys: the messages' keys.
        values: their values.
        headers: their headers.
        times: their timestamps, milliseconds since 1970.
        bodies: their values as an Arrow array.
        present: whether there is a value.
        ids: int64, schema ids, NO_SCHEMA where there is none; below it the number of a name, see `name`.
        starts: int64, where in the value the body begins.
        hi: first lanes of the digests.
        lo: second lanes.
        deleted: whether the message is a delete.
        errors: why rows are quarantined, by number of the message.
        schemas: documents of the schemas the values were written with, by schema id or name.
    """

    def __init__(
        self,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers],
        headed: Rows,
        times: Sequence[int],
        *,
        framed: bool = True,
    ) -> None:
        count = len(values)
        self.keys = keys
        self.values = values
        self.headers = headers
        self.times = times
        self.bodies = pa.array(values, pa.binary())
        self.present: Bools = self.bodies.is_valid().to_numpy(zero_copy_only=False)
        self.ids = np.full(count, NO_SCHEMA, np.int64)
        self.starts = np.zeros(count, np.int64)
        self.hi = np.zeros(count, np.int64)
        self.lo = np.zeros(count, np.int64)
        self.deleted = np.zeros(count, np.bool_)
        self.errors: dict[int, str] = {}
        self.schemas: dict[int | str, Any] = {}
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._parts: list[tuple[Rows, pa.Table]] = []
        if framed:
            self._find_schemas(headed)

    def groups(self) -> list[tuple[int, int, Rows]]:
        """The messages with a value, by schema id and start of the body."""
        codes = (self.ids << 8) | self.starts
        rows = np.flatnonzero(self.present)
        codes = codes[rows]
        return [(code >> 8, code & 255, rows[codes == code]) for code in np.unique(codes).tolist()]

    def name(self, schema_id: int) -> str | None:
        """What names a schema (`Frame.named`) that stands in `ids` by a number below NO_SCHEMA; None for the others."""
        return self._names[NO_SCHEMA - 1 - schema_id] if schema_id < NO_SCHEMA else None

    def some_values(self, rows: Rows) -> list[bytes]:
        """The values of messages that have one."""
        some = self.values if len(rows) == len(self.values) else [self.values[row] for row in rows.tolist()]
        return cast("list[bytes]", some)

    def set_digests(self, rows: Rows, digests: list[bytes]) -> None:
        """Set the digests of messages, given as bytes, first lane first."""
        lanes = np.frombuffer(b"".join(digests), ">i8").reshape(-1, 2)
        self.hi[rows], self.lo[rows] = lanes[:, 0], lanes[:, 1]

    def refuse(self, rows: Rows, text: str) -> None:
        """Quarantine messages with one error, unless they have one."""
        for row in rows.tolist():
            self.errors.setdefault(row, text)

    def set_columns(self, rows: Rows, table: pa.Table) -> None:
        """Say what some messages hold; for each one at most once."""
        if len(rows):
            self._parts.append((rows, table))

    def columns(self, schema: pa.Schema) -> tuple[pa.Table, Bools]:
        """What the messages hold, null where that was not said; and whether it was said."""
        count = len(self.values)
        if len(self._parts) == 1 and len(self._parts[0][0]) == count:
            return self._parts[0][1], np.ones(count, np.bool_)
        places = np.full(count, -1, np.int64)
        below = 0
        for rows, _table in self._parts:
            places[rows] = np.arange(below, below + len(rows))
            below += len(rows)
        joined = pa.concat_tables([schema.empty_table(), *(table for _, table in self._parts)])
        said = places >= 0
        return joined.take(pa.array(places, mask=~said)), said

    def _find_schemas(self, headed: Rows) -> None:
        offsets = np.frombuffer(self.bodies.buffers()[1], np.int32, len(self.bodies) + 1).astype(np.int64)
        data = np.frombuffer(self.bodies.buffers()[2] or b"", np.uint8)
        framed = np.flatnonzero(np.diff(offsets) >= _PREFIX)
        framed = framed[data[offsets[framed]] == 0]
        octets = np.ascontiguousarray(data[offsets[framed][:, None] + np.arange(1, _PREFIX)])
        self.ids[framed] = octets.view(">i4")[:, 0]
        self.starts[framed] = _PREFIX
        odd = self.present & (self.ids < 0)
        odd[[row for row in headed.tolist() if any(name == VALUE_HEADER for name, _ in self.headers[row])]] = True
        for row in np.flatnonzero(odd).tolist():
            if (value := self.values[row]) is not None:
                self.ids[row], self.starts[row] = self._read_frame(row, value)

    def _read_frame(self, row: int, value: bytes) -> tuple[int, int]:
        """Schema id and start of a value without plain prefix, or with headers that may say its schema."""
        try:
            frame = read_frame(value, self.headers[row])
        except DecodeError as error:
            self.errors[row] = f"{Quarantine.UNKNOWN_SCHEMA}: {error.message}"
            return NO_SCHEMA, 0
        name = frame.named
        if isinstance(name, int):
            return name, frame.start
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return NO_SCHEMA - 1 - self._numbers[name], frame.start
