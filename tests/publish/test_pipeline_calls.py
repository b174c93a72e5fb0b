"""What the calls of a pipeline take, and what they say of anything else."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import onepipe as op
from onepipe.errors import ClosedError, ConfigurationError, Incompatible, PluginError, PositionLost
from onepipe.lake.archive import ArchiveLimits
from onepipe.registry import open_registry
from onepipe.registry.stored import StoredRegistry
from onepipe_memory.transport import MemoryTransport

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@op.record(topic="Crates", merge=op.latest("at"), event_time="at")
class Crate:
    id: str = op.field(identity=True)
    at: dt.datetime
    items: int = 0


class Discarding:
    """An idempotent sink, as what is written twice into it is gone as well."""

    def write(self, batch: op.SinkBatch[Crate]) -> None:
        pass


def crates(first: int, count: int) -> list[Crate]:
    return [Crate(id=f"C{n}", at=T0 + dt.timedelta(seconds=n), items=n) for n in range(first, first + count)]


def publish(pipe: op.Pipeline, first: int, count: int = 10) -> None:
    with pipe.producer() as producer:
        producer.publish_many(crates(first, count))


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[op.Pipeline]:
    with op.connect("memory://", lake=tmp_path / "lake", partitions=1) as pipe:
        publish(pipe, 0)
        yield pipe


def test_a_topic_keeps_its_number_of_partitions(pipe):
    for what in (Crate, "Crates", op.topic_of(Crate)):
        with pytest.raises(ConfigurationError, match=r"topic Crates: the topic has 1 partitions, not 9 \(leave out"):
            pipe.register(what, partitions=9)
    changed = op.topic_of(Crate).evolve(owner="stock")
    with pytest.raises(ConfigurationError, match="topic Crates: the topic has 1 partitions"):
        pipe.register(changed, partitions=9)
    assert pipe.registry.versions("Crates") == (1,)
    assert pipe.register(Crate, partitions=1) == op.topic_of(Crate)


@pytest.mark.parametrize("partitions", [0, -1, 1.5, "4", True, 10**30])
def test_partitions_are_a_whole_number_from_1(pipe, partitions):
    for call in (
        lambda: op.connect("memory://", partitions=partitions),
        lambda: pipe.register(op.topic_of(Crate).evolve(name="Other"), partitions=partitions),
    ):
        with pytest.raises(ConfigurationError, match="partitions is a whole number from 1"):
            call()
    assert "Other" not in pipe.registry.topics()


def test_a_change_that_cannot_follow_has_one_remedy(pipe):
    changed = op.topic_of(Crate).evolve(merge=op.first("at"))
    with pytest.raises(Incompatible) as refused:
        pipe.register(changed)
    assert "allow=('merge',)" in str(refused.value)
    assert "another topic" not in str(refused.value)
    assert pipe.register(changed, allow=("merge",)) == changed


def test_an_archive_takes_limits_and_follows_until_it_is_stopped(pipe):
    stop = threading.Event()
    told: list[int] = []

    def count(messages: int) -> None:
        told.append(messages)
        if sum(told) == 10:
            stop.set()

    limits = ArchiveLimits(linger=0, batch=5)
    report = pipe.archive(Crate, until="stopped", stop=stop, limits=limits, progress=count)
    assert report.rows == 10
    assert pipe.dedup(Crate, target_rows=4, memory="256MB").arrivals == 10
    assert pipe.verify(Crate).balanced
    assert pipe.table(Crate).count() == 10


def test_an_archive_may_refuse_another_log(pipe, tmp_path):
    pipe.archive(Crate)
    with op.connect("memory://", lake=tmp_path / "lake") as other:
        publish(other, 0)
        with pytest.raises(PositionLost, match="topic Crates: the lake holds 1 other log"):
            other.archive(Crate, on_new_log="raise")
        assert other.archive(Crate).rows == 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda pipe: pipe.archive(Crate, until="ends"), "until cannot be 'ends'; did you mean 'end'"),
        (lambda pipe: pipe.archive(Crate, on_new_log="rise"), "on_new_log cannot be 'rise'; did you mean 'raise'"),
        (lambda pipe: pipe.archive(Crate, on_lost="go on"), "on_lost cannot be 'go on'"),
        (lambda pipe: pipe.dedup(Crate, target_rows=0), "target_rows is a whole number from 1"),
        (lambda pipe: pipe.archive(Crate, limits=4096), "limits is an onepipe.lake.archive.ArchiveLimits, not int"),
        (lambda pipe: pipe.archive(Crate, stop=True), "stop is a threading.Event, not bool"),
        (lambda pipe: pipe.archive(Crate, progress="yes"), "progress is a function, not str"),
        (lambda pipe: pipe.dedup(Crate, memory="lots"), "memory is a number with its unit"),
        (lambda pipe: pipe.dedup(Crate, memory=4), "memory is a number with its unit"),
        (lambda pipe: pipe.dedup(Crate, memory="999KB"), r"memory is from 1MB to 1PB \("),
        (lambda pipe: pipe.dedup(Crate, memory="1023.1TiB"), r"memory is from 1MB to 1PB \("),
        (lambda pipe: pipe.dedup(Crate, memory="9" * 5000 + "GB"), r"memory is from 1MB to 1PB \("),
        (lambda pipe: pipe.register(Crate, allow=7), "allow is a sequence of words"),
        (lambda pipe: pipe.register(Crate, allow=["merg"]), "did you mean 'merge'"),
        (lambda pipe: pipe.verify(Crate, level=None), "one of 'accounted', 'proved', 'deep'"),
        (lambda pipe: pipe.sink(Crate, object()), "sink is an object with a method 'write'"),
        (lambda pipe: pipe.sink(Crate, Discarding(), name=b"x"), "name is a name, or None"),
        (lambda pipe: pipe.sink(Crate, Discarding(), name=""), "name is a name, or None"),
        (lambda pipe: op.connect(7), "url is the text of a URL, not int"),
        (lambda pipe: op.connect("memory://", lake=7), "lake is a folder or URL, not int"),
        (lambda pipe: op.connect("memory://", registry=7), "registry is the text of a URL, not int"),
        (lambda pipe: op.connect("memory://", settings=[1]), "settings is a dict, not list"),
        (lambda pipe: op.connect("memory://", plugins=7), "plugins is a sequence of modules or objects, not int"),
        (lambda pipe: op.connect("memory://", clock=7), "clock is a function, not int"),
        (lambda pipe: pipe.maintain(Crate, keep=7), "keep is from 0 to 30 days"),
        (lambda pipe: pipe.maintain(Crate, keep=dt.timedelta(days=31)), "keep is from 0 to 30 days"),
        (lambda pipe: pipe.maintain(Crate, target_rows="x"), "target_rows is a whole number"),
        (lambda pipe: pipe.verify(Crate, level="depp"), "did you mean 'deep'"),
        (lambda pipe: pipe.sink(Crate, "x", until="endd"), "until cannot be 'endd'; did you mean 'end'"),
        (lambda pipe: pipe.sink(Crate, "x", max_batch=0), "max_batch is a whole number from 1"),
    ],
)
def test_an_argument_that_is_misspelt_is_refused_with_the_nearest_match(pipe, call, said):
    with pytest.raises(ConfigurationError, match=said):
        call(pipe)


@pytest.mark.slow
@pytest.mark.parametrize("what", [Crate, "Crates", op.topic_of(Crate)])
def test_maintenance_joins_small_files_and_changes_no_row(pipe, what):
    for first in (10, 20, 30):
        pipe.archive(Crate)
        pipe.dedup(Crate, target_rows=5)
        publish(pipe, first)
    pipe.archive(Crate)
    pipe.dedup(Crate, target_rows=5)
    before = pipe.table(Crate).to_arrow().sort_by("id")
    report = pipe.maintain(what, target_rows=1000)
    assert (report.topic, report.raw.before, report.raw.after, report.raw.rows) == ("Crates", 4, 1, 40)
    assert report.clean.before > report.clean.after == 1
    assert report.deleted == ()
    assert len(pipe.lake.raw("_onepipe.audit").snapshot().files) == 1
    assert len(pipe.maintain(what, keep=dt.timedelta(0)).deleted) >= 4
    assert pipe.table(Crate).to_arrow().sort_by("id") == before
    assert pipe.verify(Crate, level="deep").balanced


def test_maintenance_of_a_topic_that_merges_nothing_has_no_clean_table(pipe):
    topic = op.topic_of(Crate).evolve(name="Lines", merge=None)
    with pipe.producer() as producer:
        producer.publish({"id": "L", "at": T0}, topic=topic)
    pipe.archive(topic)
    assert pipe.maintain(topic).clean is None


def test_a_closed_pipeline_says_so_whatever_is_asked_of_it(pipe):
    pipe.close()
    for call in (pipe.register, pipe.consumer, pipe.archive, pipe.dedup, pipe.verify, pipe.table, pipe.maintain):
        with pytest.raises(ClosedError, match="the pipeline is closed"):
            call(Crate)


def test_what_a_pipeline_makes_shows_what_it_is(pipe):
    with pipe.producer() as producer, pipe.producer(audit=False) as silent:
        producer.publish(crates(0, 1)[0])
        assert re.fullmatch("<Producer writer [0-9a-f]{8}>", repr(producer))
        assert repr(silent) == "<Producer without evidence>"
    assert re.fullmatch("<Producer writer [0-9a-f]{8} closed>", repr(producer))
    with pipe.consumer(Crate, group="shop") as consumer:
        assert repr(consumer) == "<Consumer Crates group=shop>"
    assert repr(consumer) == "<Consumer Crates group=shop closed>"
    assert repr(pipe.registry) == "<StoredRegistry MemoryStore>"
    with open_registry("memory://crates") as named:
        assert repr(named) == "<StoredRegistry memory://crates>"


def test_a_pipeline_shows_where_it_is_and_no_password(tmp_path):
    with op.connect("memory://", lake=tmp_path) as pipe:
        assert repr(pipe) == f"<Pipeline memory:// lake={tmp_path}>"
        assert repr(pipe.table(Crate)) == "<Table Crates>"
        with pipe.producer() as producer:
            producer.publish(crates(0, 1)[0])
        pipe.archive(Crate)
        pipe.dedup(Crate)
        narrowed = pipe.table(Crate).include_deleted().select("id")
        assert repr(narrowed) == "<Table Crates: columns id, deleted too>"
    assert repr(pipe) == f"<Pipeline memory:// lake={tmp_path} closed>"
    secret = op.Pipeline(pipe.transport, pipe.registry, lake="s3://key:hidden@bucket/lake?secret=hidden")
    assert "hidden" not in repr(secret)
    assert "MemoryTransport" in repr(secret)


@pytest.mark.parametrize("scheme", ["pulsar", "pulsar+native", "nats", "memry"])
def test_a_scheme_that_no_plugin_knows_says_which_ones_are_known(scheme):
    with pytest.raises(PluginError) as refused:
        op.connect(f"{scheme}://user:hidden@broker")
    assert f"no installed plugin knows {scheme}:// URLs; installed: " in str(refused.value)
    assert "memory" in str(refused.value)
    assert "pip install" not in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_log_on_disk_without_its_package_names_the_extra(tmp_path):
    program = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "import onepipe as op\n"
        "try:\n"
        f"    op.connect('memory://{tmp_path}/log')\n"
        "except op.errors.MissingDependency as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'onepipe[sql]'" in done.stdout


def test_what_was_opened_for_a_pipeline_that_cannot_be_made_is_closed(monkeypatch):
    closed: list[str] = []
    monkeypatch.setattr(StoredRegistry, "close", lambda self: closed.append("registry"))
    monkeypatch.setattr(MemoryTransport, "close", lambda self: closed.append("log"))
    with pytest.raises(ConfigurationError, match="partitions"):
        op.connect("memory://", partitions=0)
    assert closed == ["registry", "log"]


LAKELESS = """
import sys
sys.modules["pyarrow"] = None
import onepipe as op
from onepipe.errors import MissingDependency

@op.record(topic="Crates", merge=op.first())
class Crate:
    id: str = op.field(identity=True)

with op.connect("memory://", lake="lake") as pipe:
    for step in (pipe.archive, pipe.dedup, pipe.maintain, pipe.verify, pipe.table):
        try:
            step(Crate)
        except MissingDependency as missing:
            print(missing.remedy)
"""


def test_every_step_over_a_lake_says_which_extra_brings_what_it_needs():
    done = subprocess.run([sys.executable, "-c", LAKELESS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["pip install 'onepipe[lake]'"] * 5
