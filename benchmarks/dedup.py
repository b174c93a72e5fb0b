"""dedup: from the raw table to the clean one, whole and incremental."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import duckdb
import polars as pl

import onepipe as op
from benchmarks.lakes import Lakes, build
from benchmarks.measure import Result, Subject, Work, interleaved
from benchmarks.peak import peak_of
from benchmarks.run import Run
from onepipe.declaring.record import topic_of
from onepipe.lake import columns as c

_GOAL_MB: Final = 4000
_SYSTEM: Final = (c.IDENTITY, c.DIGEST_HI, c.DIGEST_LO, c.DELETED, c.LOG, c.PARTITION, c.OFFSET, c.TIMESTAMP)


def dedup(run: Run) -> Iterator[Result]:
    """Dedup of a whole lake beside peers over the same files, and of its growth beside dedup of the whole."""
    for lakes in run.lakes(build):
        yield from _full(run, lakes)
        yield from _incremental(run, lakes)
        peak = _peak(run, lakes.raw, "rebuild", lakes)
        subject = Subject("dedup", f"peak memory, full, {lakes.rows:,} rows", lakes.data.name, lakes.rows)
        yield subject.values([peak / 1e6], "MB", goal=_GOAL_MB)


def deduping(run: Run, lakes: Lakes, state: Path, *, rebuild: bool) -> Work:
    """Dedup of a copy of a lake."""

    def work(lake: Path) -> None:
        with op.connect("memory://", lake=lake) as pipe:
            report = pipe.dedup(lakes.record, rebuild=rebuild)
        assert report.arrivals

    return Work(work, lambda: run.copy(state), rmtree)


def _full(run: Run, lakes: Lakes) -> Iterator[Result]:
    topic = topic_of(lakes.record)
    files = sorted(str(path) for path in (lakes.raw / "raw" / topic.name).rglob("offset*.parquet"))
    columns = [*(field.name for field in topic.record.fields), *_SYSTEM]
    ours, whole, some, unique = interleaved(
        run.rounds,
        deduping(run, lakes, lakes.raw, rebuild=True),
        _into_file(run, lambda target: _duckdb_copy(files, "*", target)),
        _into_file(run, lambda target: _duckdb_copy(files, ", ".join(f'"{name}"' for name in columns), target)),
        _into_file(run, lambda target: _polars_unique(files, columns, list(topic.identity), target)),
    )
    subject = Subject("dedup", f"full, {lakes.rows:,} rows", lakes.data.name, lakes.rows)
    yield subject.speed(ours, whole, "DuckDB, plain copy of the same files", 0.6)
    yield subject.speed(ours, some, "DuckDB, plain copy of the columns that are kept")
    yield subject.speed(ours, unique, "Polars unique of the columns that are kept, streaming", 2)


def _incremental(run: Run, lakes: Lakes) -> Iterator[Result]:
    ours, rebuilt = interleaved(
        run.rounds,
        deduping(run, lakes, lakes.grown, rebuild=False),
        deduping(run, lakes, lakes.grown, rebuild=True),
    )
    subject = Subject("dedup", f"incremental, {lakes.new:,} new rows", lakes.data.name, lakes.new)
    yield subject.speed(ours, rebuilt, "its own full rebuild", 20)


def _peak(run: Run, state: Path, step: str, lakes: Lakes) -> int:
    lake = run.copy(state)
    peak = peak_of(step, "memory://", str(lake), topic_of(lakes.record).name)
    rmtree(lake)
    return peak


def _into_file(run: Run, write: Callable[[str], Any]) -> Work:
    return Work(lambda folder: write(str(folder / "out.parquet")), run.new_folder, rmtree)


def _duckdb_copy(files: list[str], columns: str, target: str) -> None:
    with duckdb.connect(config={"preserve_insertion_order": False}) as connection:
        connection.execute(f"COPY (SELECT {columns} FROM read_parquet(?)) TO '{target}' (FORMAT parquet)", [files])


def _polars_unique(files: list[str], columns: list[str], identity: list[str], target: str) -> None:
    rows = pl.scan_parquet(files, hive_partitioning=False).select(columns)
    rows.unique(subset=identity, keep="any").sink_parquet(target)
