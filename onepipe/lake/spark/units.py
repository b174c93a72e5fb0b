"""How the chunks of a merge are shared out to the tasks that write them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onepipe.lake.chunks import LEAST, MAX_LEVEL, ROOT, UNDATED, Day, is_below, parse_path, span
from onepipe.lake.columns import IDENTITY
from onepipe.lake.plan import DAY
from onepipe.lake.table import LakeFile


@attrs.frozen(eq=False)
class Units:
    """Which task writes which nodes of the tree of chunks.

    Attributes:
        nodes: by task, the nodes by day whose rows it cuts. The last task takes the days that none of them names.
    """

    nodes: Sequence[Mapping[Day, Sequence[int]]]

    def tasks(self, rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """The task of each row, by its day and identity hash."""
        days = rows.column(DAY).fill_null(UNDATED).to_numpy()
        hashes = rows.column(IDENTITY).to_numpy()
        tasks = np.full(rows.num_rows, len(self.nodes) - 1, np.int64)
        starts = self._starts()
        for day in np.unique(days).tolist():
            if (found := starts.get(day)) is not None:
                here = days == day
                lows, owners = found
                tasks[here] = owners[np.searchsorted(lows, hashes[here], side="right") - 1]
        return tasks

    def _starts(self) -> dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """By day, where ranges of hashes begin, ascending, and the task of each."""
        found: dict[int, list[tuple[int, int]]] = {}
        for task, days in enumerate(self.nodes):
            for day, nodes in days.items():
                number = UNDATED if day is None else day
                found.setdefault(number, []).extend((span(node)[0], task) for node in nodes)
        starts = {}
        for day, ranges in found.items():
            ranges.sort()
            lows = np.array([LEAST, *(low for low, _ in ranges[1:])], np.int64)
            starts[day] = lows, np.array([task for _, task in ranges], np.int64)
        return starts


def share_out(
    arrivals: Mapping[int, int],
    replaced: Sequence[LakeFile],
    nodes: Mapping[Day, Sequence[int]],
    *,
    target: int,
    task_rows: int,
) -> Units:
    """Share the chunks out to tasks of about so many rows each.

    A node of more rows is divided, by as many halvings as leave more than `target` rows above each part, so that the
    files come out as one writer would cut them.

    Args:
        arrivals: about how many identities arrived, by day or UNDATED.
        replaced: the clean files whose rows are among those to be written.
        nodes: by day, the disjoint chunks all rows lie in; ROOT where a day has none.
        target: most rows of a file.
        task_rows: about how many rows a task should write.
    """
    most = max(task_rows, 2 * target)
    tasks: list[dict[Day, list[int]]] = [{}]
    held = 0
    for day, node, rows in _weighed(arrivals, replaced, nodes):
        for part, share in _divided(node, rows, most):
            if held and held + share > most:
                tasks.append({})
                held = 0
            tasks[-1].setdefault(day, []).append(part)
            held += share
    return Units([*tasks, {}])


def _weighed(
    arrivals: Mapping[int, int], replaced: Sequence[LakeFile], nodes: Mapping[Day, Sequence[int]]
) -> Iterator[tuple[Day, int, int]]:
    """Day, node and about how many rows it will have, in the order of days and hashes."""
    files: dict[Day, list[tuple[int, int]]] = {}
    for file in replaced:
        if place := parse_path(file.path):
            files.setdefault(place[0], []).append((place[1], file.rows))
    named = {None if day == UNDATED else day for day in arrivals}
    for day in sorted({*named, *nodes}, key=lambda day: UNDATED if day is None else day):
        own = sorted(nodes.get(day, (ROOT,)), key=span)
        widths = [span(node)[1] - span(node)[0] for node in own]
        arrived = arrivals.get(UNDATED if day is None else day, 0)
        for node, width in zip(own, widths, strict=True):
            there = sum(rows for chunk, rows in files.get(day, ()) if is_below(chunk, node))
            yield day, node, there + arrived * width // sum(widths)


def _divided(node: int, rows: int, most: int) -> Iterator[tuple[int, int]]:
    """A node, or the nodes below it, of no more rows than `most` where the tree has such, and their rows."""
    level = 0
    while rows >> level > most and node.bit_length() + level <= MAX_LEVEL:
        level += 1
    for part in itertools.islice(itertools.count(node << level), 1 << level):
        yield part, rows >> level
