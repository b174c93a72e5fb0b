"""Sums by identity bucket, as the law of conservation compares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from onepipe.evidence.digest import signed
from onepipe.lake import columns as c
from onepipe.lake.engine import Engine
from onepipe.lake.plan import quoted
from onepipe.lake.raw_footer import Sum

COMPARING: Final = "comparing the clean table with raw"
"""What the engine does, for its errors."""


def bucket_sql(identity: str) -> str:
    """The bucket of an identity hash, in SQL."""
    return f"(({identity} >> 58) & 63)"


def totals(parts: Iterable[Mapping[int, Sum]]) -> dict[int, Sum]:
    """The sums of many footers, by bucket."""
    lanes: dict[int, list[Sum]] = {}
    for part in parts:
        for bucket, sum_ in part.items():
            lanes.setdefault(bucket, []).append(sum_)
    totals = {
        bucket: Sum(sum(s.rows for s in sums), signed(sum(s.hi for s in sums)), signed(sum(s.lo for s in sums)))
        for bucket, sums in lanes.items()
    }
    return {bucket: sum_ for bucket, sum_ in totals.items() if sum_ != Sum()}


def add_all(sums: dict[int, Sum], more: Mapping[int, Sum]) -> None:
    """Add sums by bucket to others in place; buckets that come to nothing are left out."""
    for bucket, sum_ in more.items():
        sums[bucket] = sums.get(bucket, Sum()) + sum_
        if sums[bucket] == Sum():
            del sums[bucket]


def bucket_sums(engine: Engine, relation: str, rows: str, hi: str, lo: str) -> dict[int, Sum]:
    """By bucket of a relation's identity hash, the sums of three expressions."""
    bucket = bucket_sql(quoted(c.IDENTITY))
    sql = f"SELECT {bucket} AS b, sum({rows}) AS n, sum({hi}) AS hi, sum({lo}) AS lo FROM ({relation}) GROUP BY b"
    columns = ", ".join(f"{name}::VARCHAR AS {name}" for name in ("n", "hi", "lo"))
    found = engine.table(f"SELECT b, {columns} FROM ({sql})", COMPARING).to_pylist()
    return {row["b"]: Sum(int(row["n"]), signed(int(row["hi"])), signed(int(row["lo"]))) for row in found}
