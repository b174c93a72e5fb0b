"""The identity index: on which days of the clean table rows of an identity hash may be.

It is derived, and holds at least the truth: every (hash, day) of the clean table is in it, and perhaps pairs of rows
that moved on since; whoever looks up opens the chunk and sees. So it can lag in nothing but what it is stamped with: it
is a chain of sorted runs, `run<from>-<to>-<hash>.arrow`, each of which covers the files that came into the table after
version <from> and up to version <to>. A dedup that moves the table on by one version adds its own run to the chain. A
chain that does not reach the version in question is caught up from the files added since, and one that is broken, or
holds other bytes than its names say, is built anew. Short runs are joined, so that a chain stays short.
"""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_128_hexdigest

from onepipe.errors import LakeError
from onepipe.lake import layout
from onepipe.lake.chunks import UNDATED, parse_path
from onepipe.lake.columns import IDENTITY
from onepipe.lake.storage import Storage
from onepipe.lake.table import LakeFile, LakeTable, Snapshot

_NAME: Final = re.compile(r"run(\d+)-(\d+)-([0-9a-f]{32})\.arrow\Z")
_COLUMNS: Final = pa.schema([("hash", pa.int64()), ("day", pa.int64())])

Hashes: TypeAlias = npt.NDArray[np.int64]
Days: TypeAlias = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Run:
    """One run of the chain: pairs of hash and day, sorted.

    Attributes:
        start: the version its predecessor reaches; 0 for the first.
        end: the version it reaches.
        hashes: identity hashes, ascending.
        days: the day of each one.
    """

    start: int
    end: int
    hashes: Hashes
    days: Days


def find_days(runs: Iterable[Run], hashes: Hashes) -> tuple[Hashes, Days]:
    """The pairs of the index that have one of some hashes, in no order, perhaps more than once."""
    found_hashes, found_days = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for run in runs:
        low = np.searchsorted(run.hashes, hashes)
        there = run.hashes[np.minimum(low, len(run.hashes) - 1)] == hashes if len(run.hashes) else low < 0
        present, low = hashes[there], low[there]  # most are not, and need no second search
        counts = np.searchsorted(run.hashes, present, side="right") - low
        before = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(low - before, counts)
        found_hashes.append(np.repeat(present, counts))
        found_days.append(run.days[places])
    return np.concatenate(found_hashes), np.concatenate(found_days)


class IdentityIndex:
    """The index of one clean table.

    Args:
        table: the clean table.
        topic: name of its topic.
    """

    def __init__(self, table: LakeTable, topic: str) -> None:
        self._table = table
        self._storage: Storage = table.storage
        self._folder = layout.index(topic)

    def runs(self, snapshot: Snapshot) -> list[Run]:
        """The chain that covers a version of the table; it is caught up or built anew where needed, and stored.

        Raises:
            CorruptFile: a file of the table is missing or unreadable.
        """
        chain = self._chain(snapshot.version)
        reached = chain[-1].end if chain else 0
        if reached == snapshot.version and (chain or not snapshot.files):
            return chain
        added = self._added(snapshot, reached) if chain else None
        if added is None or len(added) == len(snapshot.files):
            chain, reached, added = [], 0, snapshot.files
        chain.append(self._read(added, reached, snapshot.version))
        return self._store(chain)

    def extend(self, chain: Sequence[Run], version: int, hashes: Hashes, days: Days) -> None:
        """Store what a version of the table has beside the one before it, so that no file has to be read for it.

        Args:
            chain: the runs that cover the version before it.
            version: the version; made by a commit whose rows are on days that the chain has, or on those given.
            hashes: identity hashes, in any order.
            days: the day of each, or UNDATED.
        """
        self._store([*chain, _sorted(chain[-1].end, version, [hashes], [days])])

    def _chain(self, version: int) -> list[Run]:
        """The stored runs from version 0 on that lead to a version, or as near to it as they do."""
        stored: dict[int, list[tuple[int, str, str]]] = {}
        for file in self._storage.list(self._folder):
            if found := _NAME.search(file.path):
                start, end, content = found.groups()
                stored.setdefault(int(start), []).append((int(end), file.path, content))
        chain: list[Run] = []
        reached = 0
        while True:
            ends = [run for run in stored.get(reached, []) if reached < run[0] <= version]
            if not ends:
                return chain
            end, path, content = max(ends)
            run = self._open(reached, end, path, content)
            if run is None:
                return chain
            chain.append(run)
            reached = end

    def _open(self, start: int, end: int, path: str, content: str) -> Run | None:
        """A stored run, or None where it is gone or holds other bytes than its name says; then it is deleted."""
        try:
            with self._storage.open(path) as file:
                try:
                    data: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                except (io.UnsupportedOperation, ValueError):
                    data = file.read()
        except LakeError:
            return None
        if xxh3_128_hexdigest(data) != content:
            self._storage.delete(path)
            return None
        table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        return Run(start, end, _numpy(table["hash"]), _numpy(table["day"]))

    def _added(self, snapshot: Snapshot, since: int) -> Sequence[LakeFile] | None:
        """The files that came since a version; None where its list of files is gone."""
        try:
            known = {file.path for file in self._table.at(since).files}
        except LakeError:
            return None
        return [file for file in snapshot.files if file.path not in known]

    def _read(self, files: Sequence[LakeFile], start: int, end: int) -> Run:
        hashes, days = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for file in files:
            place = parse_path(file.path)
            day = UNDATED if place is None or place[0] is None else place[0]
            with self._storage.open(f"{self._table.root}/{file.path}") as stream:
                hashes.append(_numpy(pq.read_table(stream, columns=[IDENTITY])[IDENTITY]))
            days.append(np.full(len(hashes[-1]), day, np.int64))
        return _sorted(start, end, hashes, days)

    def _store(self, chain: list[Run]) -> list[Run]:
        """Join short runs, store the last one and delete those it stands for."""
        while len(chain) > 1 and len(chain[-2].hashes) < 2 * len(chain[-1].hashes):
            left, right = chain[-2:]
            chain[-2:] = [_sorted(left.start, right.end, [left.hashes, right.hashes], [left.days, right.days])]
        last = chain[-1]
        data = _bytes(last)
        path = f"{self._folder}/run{last.start}-{last.end}-{layout.content_hash(data)}.arrow"
        self._storage.write_new(path, data)
        for file in list(self._storage.list(self._folder)):
            found = _NAME.search(file.path)
            if found and file.path != path and last.start <= int(found[1]) and int(found[2]) <= last.end:
                self._storage.delete(file.path)
        return chain


def _sorted(start: int, end: int, hashes: Sequence[Hashes], days: Sequence[Days]) -> Run:
    all_hashes, all_days = np.concatenate(hashes), np.concatenate(days)
    order = np.argsort(all_hashes, kind="stable")
    all_hashes, all_days = all_hashes[order], all_days[order]
    again = (all_hashes[1:] == all_hashes[:-1]) & (all_days[1:] == all_days[:-1])
    fresh = np.concatenate((np.ones(min(1, len(order)), np.bool_), ~again))
    return Run(start, end, all_hashes[fresh], all_days[fresh])


def _bytes(run: Run) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _COLUMNS) as writer:
        writer.write_table(pa.table([run.hashes, run.days], schema=_COLUMNS))
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _numpy(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = column.to_numpy()
    return values
