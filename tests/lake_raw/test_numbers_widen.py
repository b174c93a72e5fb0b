from __future__ import annotations

from typing import Annotated

import onepipe as op


def meter(whole: object, fraction: object) -> type:
    @op.record(topic="Meters", merge=op.latest("version"))
    class Meter:
        id: str = op.field(identity=True)
        version: int
        count: whole  # type: ignore[valid-type]  # the type is what varies
        level: fraction  # type: ignore[valid-type]  # the type is what varies
        each: list[whole] = op.field(default=[])  # type: ignore[valid-type]  # the type is what varies

    return Meter


def test_an_int_may_become_long_and_a_float_double_over_a_lake_that_holds_them(tmp_path):
    narrow = meter(Annotated[int, op.int32], Annotated[float, op.float32])
    wide = meter(int, float)
    with op.connect("memory://", lake=tmp_path) as pipe:
        with pipe.producer() as producer:
            producer.publish(narrow(id="a", version=1, count=7, level=0.5, each=[1]))
        pipe.archive(narrow)
        pipe.dedup(narrow)
        with pipe.producer() as producer:
            producer.publish(wide(id="b", version=1, count=1 << 40, level=0.1, each=[1 << 40]))
        pipe.archive(wide)
        pipe.dedup(wide)
        rows = sorted(pipe.table(wide).to_arrow().to_pylist(), key=lambda row: row["id"])
        assert pipe.verify(wide, level="deep").balanced
    assert [(row["count"], row["level"], row["each"]) for row in rows] == [
        (7, 0.5, [1]),
        (1 << 40, 0.1, [1 << 40]),
    ]
