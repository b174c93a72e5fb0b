"""What became of everything that was archived, counted from the raw table alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from onepipe.declaring.topic import Topic
from onepipe.lake import columns as c
from onepipe.lake.engine import DEFAULT_MEMORY, Engine, numbered_files
from onepipe.lake.plan import quoted

if TYPE_CHECKING:
    from onepipe.lake import Lake

_COUNTING: Final = "counting the raw table"


@attrs.frozen
class Account:
    """Every archived row, by what it is: `archived == quarantined + duplicates + superseded + identities`.

    Attributes:
        topic: name of the topic.
        archived: rows of the raw table.
        quarantined: rows with an error, by reason (those of `onepipe.lake.columns.Quarantine`).
        duplicates: rows that repeat an earlier one of their identity, digest for digest.
        superseded: different records and deletes of an identity beyond the first.
        deletes: deletes among the good rows; they are counted above as well.
        identities: distinct identities; of a topic without identity, the distinct records.
    """

    topic: str
    archived: int
    quarantined: Mapping[str, int]
    duplicates: int
    superseded: int
    deletes: int
    identities: int


@attrs.frozen
class Arrivals:
    """Good raw rows, by what they are to their identity.

    Attributes:
        rows: all of them.
        deletes: deletes among them.
        different: distinct records and deletes.
        identities: distinct identities.
    """

    rows: int
    deletes: int
    different: int
    identities: int

    @property
    def repeated(self) -> int:
        """Rows that repeat an earlier one of their identity, digest for digest."""
        return self.rows - self.different

    @property
    def superseded(self) -> int:
        """Different records and deletes of an identity beyond the first."""
        return self.different - self.identities


def account(lake: Lake, topic: Topic, *, memory: str = DEFAULT_MEMORY) -> Account:
    """Count what was archived of a topic.

    Args:
        lake: where the raw table is.
        topic: gives the identity.
        memory: the engine's memory limit.

    Raises:
        LakeError: the engine failed, as it does for files that are missing or damaged.
        MissingDependency: duckdb or deltalake is not installed.
    """
    table = lake.raw(topic.name)
    paths = table.snapshot().paths() if table else []
    with lake.storage.copies() as files, Engine(files, memory=memory) as engine:
        raw = numbered_files(engine.local(paths), c.raw_schema(topic))
        error = quoted(c.ERROR)
        reasons = f"SELECT split_part({error}, ':', 1) AS reason, count(*) AS n FROM {raw} WHERE {error} IS NOT NULL"
        rows: list[dict[str, Any]] = engine.table(f"{reasons} GROUP BY ALL ORDER BY ALL", _COUNTING).to_pylist()
        arrivals = count_arrivals(engine, f"(SELECT * FROM {raw} WHERE {error} IS NULL)", topic)
    quarantined = {row["reason"]: row["n"] for row in rows}
    return Account(
        topic=topic.name,
        archived=arrivals.rows + sum(quarantined.values()),
        quarantined=quarantined,
        duplicates=arrivals.repeated,
        superseded=arrivals.superseded,
        deletes=arrivals.deletes,
        identities=arrivals.identities,
    )


def count_arrivals(engine: Engine, relation: str, topic: Topic) -> Arrivals:
    """Count good raw rows by what they are to their identity.

    Args:
        engine: runs the query.
        relation: the rows, with the raw table's columns.
        topic: gives the identity; without one, each distinct record is its own.

    Raises:
        LakeError: the engine failed.
    """
    deleted = quoted(c.DELETED)
    digest = [quoted(c.DIGEST_HI), quoted(c.DIGEST_LO)]
    identity = [quoted(name) for name in (c.IDENTITY, *topic.identity)] if topic.identity else digest
    distinct = ", ".join(dict.fromkeys([*identity, *digest]))
    copies = f"SELECT {distinct}, count(*) AS n, count(*) FILTER ({deleted}) AS d FROM {relation}"
    records = f"SELECT sum(n) AS n, sum(d) AS d, count(*) AS r FROM ({copies} GROUP BY {distinct})"
    sums = f"SELECT sum(n), sum(d), sum(r), count(*) FROM ({records} GROUP BY {', '.join(identity)})"
    rows, deletes, different, identities = (int(number or 0) for number in engine.row(sums, _COUNTING))
    return Arrivals(rows, deletes, different, identities)
