"""One example of every Avro type, by the name that docs/reference/avro-arrow.md gives it."""

from __future__ import annotations

from typing import Any, Final

from onepipe.schema.model import PRIMITIVES


def fixed(name: str, size: int, **attributes: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size, **attributes}


def logical(base: str, name: str, **attributes: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **attributes}


EXAMPLES: Final[dict[str, Any]] = {
    **{f"`{name}`": name for name in sorted(PRIMITIVES)},
    "`fixed`": fixed("F", 5),
    "`enum`": {"type": "enum", "name": "E", "symbols": ["A"]},
    "`date`": logical("int", "date"),
    "`time-millis`": logical("int", "time-millis"),
    **{
        f"`{name}`": logical("long", name)
        for unit in ("millis", "micros")
        for name in (f"timestamp-{unit}", f"local-timestamp-{unit}")
    },
    "`time-micros`": logical("long", "time-micros"),
    "`decimal(12, 2)`": logical("bytes", "decimal", precision=12, scale=2),
    "`decimal(40, 2)`": logical("bytes", "decimal", precision=40, scale=2),
    "`uuid` over `string`": logical("string", "uuid"),
    "`uuid` over `fixed`": fixed("U", 16, logicalType="uuid"),
    "`duration`": fixed("D", 12, logicalType="duration"),
    "array of `long`": {"type": "array", "items": "long"},
    "map of `long`": {"type": "map", "values": "long"},
    "record of `a: long, b: string`": {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}],
    },
    "record without fields": {"type": "record", "name": "R", "fields": []},
    "union of `null` and `long`": ["null", "long"],
    "union of `null`, `long` and `string`": ["null", "long", "string"],
    "union of `x.A` and `y.A`": [fixed("x.A", 1), fixed("y.A", 2)],
}
