from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import archive_process
import pytest
from raw_messages import append, author, declare, raw, raw_rows, read_footer, values

from onepipe.lake import open_lake
from onepipe.lake.layout import check_content
from onepipe.plugins import open_transport
from onepipe.registry import open_registry

pytestmark = pytest.mark.slow
COUNT = 400


@pytest.fixture
def folder(tmp_path):
    transport = open_transport(f"memory://{tmp_path}/log")
    registry = open_registry(f"sqlite:///{tmp_path}/registry.db")
    topic = declare()
    transport.create_topic(topic.name, partitions=3)
    writer = author(topic, registry)
    append(transport, *(writer.record(values(n), partition=n % 3) for n in range(COUNT)))
    transport.close()
    registry.close()
    return tmp_path


def start(folder, *arguments):
    script = Path(archive_process.__file__)
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )


def check(folder):
    """Every message is there once, footers tile the log, and files hold what their names say."""
    lake = open_lake(folder / "lake")
    rows = raw_rows(lake, "Widgets")
    assert sorted(int(row["sid"][1:]) for row in rows) == list(range(COUNT))
    assert len({(row["_op_partition"], row["_op_offset"]) for row in rows}) == COUNT
    table = raw(lake, "Widgets")
    ends = {}
    paths = [f"raw/Widgets/{file.path}" for file in table.snapshot().files]
    for footer in sorted((read_footer(lake.storage, path) for path in paths), key=lambda f: (f.partition, f.first)):
        assert footer.first == ends.get(footer.partition, 0)
        ends[footer.partition] = footer.next
    for path in paths:
        check_content(lake.storage, path)


@pytest.mark.parametrize(
    ("point", "call", "when"),
    [
        ("spill", 2, "before"),
        ("spill", 5, "after"),
        ("publish", 1, "before"),
        ("publish", 1, "after"),
        ("publish", 3, "after"),
        ("publish", 5, "before"),
        ("commit", 1, "before"),
        ("commit", 1, "after"),
        ("commit", 2, "before"),
        ("commit", 2, "after"),
        ("durable", 1, "before"),
        ("durable", 1, "after"),
        ("durable", 2, "before"),
        ("durable", 3, "before"),
        ("durable", 4, "after"),
    ],
)
def test_an_archive_killed_at_any_point_and_run_again_has_every_row_once(folder, point, call, when):
    killed = start(folder, point, call, when)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    archive_process.run(str(folder))
    check(folder)


def test_archives_and_compactions_at_once_have_every_row_once(folder):
    processes = [start(folder), start(folder), start(folder, "compact")]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    check(folder)
