"""Identity keys from columns, by the rules of `onepipe.schema.identity`, where a message key is not the identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_digest

from onepipe.declaring.topic import Topic, value_type
from onepipe.lake.raw_footer import Int64s
from onepipe.schema.identity import join
from onepipe.schema.model import Enum, Node
from onepipe.schema.values import Leaf, kind_of


def identity_hashes(keys: Sequence[bytes]) -> Int64s:
    """The signed 64-bit hashes of identity keys; see `onepipe.schema.identity.identity_hash`."""
    return np.frombuffer(b"".join([xxh3_64_digest(key) for key in keys]), ">i8").astype(np.int64)


def column_keys(topic: Topic, columns: Sequence[pa.Array]) -> list[bytes]:
    """The identity keys of records, from the Arrow columns of the identity's fields, in its order; no value is null."""
    texts = [
        _texts(value_type(topic.schema, topic.record.field(name).type), column)
        for name, column in zip(topic.identity, columns, strict=True)
    ]
    if len(texts) == 1:
        return [text.encode() for text in texts[0]]
    return [join(parts) for parts in zip(*texts, strict=True)]


def _texts(node: Node, column: pa.Array) -> list[str]:
    kind = "enum" if isinstance(node, Enum) else kind_of(cast("Leaf", node))
    values = _INTEGERS[kind](column) if kind in _INTEGERS else column
    return list(map(_TEXT.get(kind, str), values.to_pylist()))


def _whole(column: pa.Array) -> pa.Array:
    return column.cast(pa.int64())


def _millis(column: pa.Array) -> pa.Array:
    """Milliseconds of a column that holds them as microseconds."""
    return pa.array(column.cast(pa.int64()).to_numpy(zero_copy_only=False) // 1000)


_INTEGERS: Final[dict[str, Callable[[pa.Array], pa.Array]]] = {
    "date": lambda column: column.cast(pa.int32()),
    "time-millis": _millis,
    "time-micros": _whole,
    "timestamp-millis": _millis,
    "timestamp-micros": _whole,
    "local-timestamp-millis": _millis,
    "local-timestamp-micros": _whole,
}


def _unscaled(value: Any) -> str:
    """The unscaled integer of a decimal, given as Decimal or as text with all digits behind the point."""
    return str(int(format(value, "f" if not isinstance(value, str) else "").replace(".", "")))


_TEXT: Final[dict[str, Callable[[Any], str]]] = {
    "boolean": lambda value: "true" if value else "false",
    "bytes": bytes.hex,
    "fixed": bytes.hex,
    "duration": lambda value: b"".join(
        value[n].to_bytes(4, "little") for n in ("months", "days", "milliseconds")
    ).hex(),
    "decimal": _unscaled,
}
