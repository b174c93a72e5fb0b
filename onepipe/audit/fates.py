"""What became of each row of the raw table: the right side of the audit's equation.

Where no file is damaged and the law of conservation holds, the footers tell all but which arrivals repeat others. Rows
are read only where that is asked for and there are more arrivals than clean rows. Else every row that can be read is
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from onepipe.audit.merged import Merged, progress_table, row_numbers
from onepipe.audit.readable import local_files, readable
from onepipe.audit.verdict import State
from onepipe.lake import columns as c
from onepipe.lake.account import count_arrivals
from onepipe.lake.engine import Engine, numbered_files
from onepipe.lake.plan import ROW, quoted

if TYPE_CHECKING:
    from onepipe.audit.clean_inventory import CleanFile
    from onepipe.audit.inventory import Inventory, Place
    from onepipe.declaring.topic import Topic

_COUNTING: Final = "counting what became of raw rows"


@attrs.frozen
class Fates:
    """Rows of the raw table by what became of them, as `onepipe.audit.verdict.Equation` says it."""

    stored: int
    superseded: int
    repeated: int | None
    quarantined: int
    waiting: int


@attrs.frozen
class Tables:
    """What there is to be counted.

    Attributes:
        topic: the declaration.
        raw: files of the raw table.
        doubtful: by path of raw files, numbers of rows that count for nothing, as nobody knows which record they are.
        clean: files of the clean table; none where there is no such table, or it is to be merged anew.
        progress: by place, the raw offset up to which the clean table has merged.
        merged: what was found on the way into the clean table; None of a topic that is not merged.
        engine: makes an engine over the lake's folder.
        tell_repeats: whether rows are read for nothing but to tell what repeats from what is superseded.
    """

    topic: Topic
    raw: Inventory
    doubtful: Mapping[str, Sequence[int]]
    clean: Sequence[CleanFile]
    progress: Mapping[Place, int]
    merged: Merged | None
    engine: Callable[[], Engine]
    tell_repeats: bool


def count_fates(tables: Tables) -> Fates:
    """Count each row of the raw table once.

    Raises:
        LakeError: the engine failed.
    """
    fates = _by_sums(tables)
    if fates is not None:
        return fates
    with tables.engine() as engine:
        return _by_rows(tables, engine)


def _by_sums(tables: Tables) -> Fates | None:
    """By footers; None where these do not tell."""
    footers = [file.intact for file in tables.raw.files]
    if not all(footers):
        return None
    quarantined = sum(footer.quarantined for footer in footers if footer)
    good = sum(footer.rows for footer in footers if footer) - quarantined
    if tables.merged is None:
        return Fates(good, 0, 0, quarantined, 0)
    hop = tables.merged.hop
    if hop.state not in (State.BALANCED, State.OPEN):
        return None
    beyond = hop.found - tables.merged.rows
    if beyond and tables.tell_repeats:
        return None
    return Fates(tables.merged.rows, beyond, None if beyond else 0, quarantined, hop.in_flight)


def _by_rows(tables: Tables, engine: Engine) -> Fates:
    files = readable(tables.raw.files)
    raw = numbered_files(local_files(files, engine.local), c.raw_schema(tables.topic))
    told = f"{ROW} NOT IN ({', '.join(map(str, row_numbers(files, tables.doubtful))) or 'NULL'})"
    rows = f"(SELECT * FROM {raw}{f' WHERE {told}' if tables.doubtful else ''})"
    error, identity = quoted(c.ERROR), quoted(c.IDENTITY)
    sql = f"SELECT count(*), count({error}) FROM {rows}"
    total, quarantined = (int(number) for number in engine.row(sql, _COUNTING))
    good = total - quarantined
    if tables.merged is None:
        return Fates(good, 0, 0, quarantined, 0)
    engine.register("merged_to", progress_table(tables.progress))
    arrived = (
        f"(SELECT r.* FROM {rows} r JOIN merged_to m ON m.log = r.{c.LOG} AND m.part = r.{c.PARTITION} "
        f"WHERE r.{c.OFFSET} < m.next AND {error} IS NULL)"
    )
    arrivals = count_arrivals(engine, arrived, tables.topic)
    held = numbered_files(local_files(tables.clean, engine.local), c.clean_schema(tables.topic))
    sql = f"SELECT count(*) FROM {held} WHERE {identity} IN (SELECT {identity} FROM {arrived})"
    (stored,) = engine.row(sql, _COUNTING)
    return Fates(int(stored), arrivals.superseded, arrivals.repeated, quarantined, good - arrivals.rows)
