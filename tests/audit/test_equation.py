"""The audit's equation: published = stored + superseded + repeated + quarantined + in flight, over random histories."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from audited_world import T0, World, lose, rows
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import onepipe as op
from onepipe.audit.verdict import Equation, Kind, State
from onepipe.evidence.records import AUDIT_TOPIC
from onepipe.lake import columns as c
from onepipe.testing.transport_base import outgoing

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@attrs.frozen
class Put:
    """A record, or a delete, of one of few identities: many repeat others, and many come late."""

    id: int
    version: int
    deleted: bool

    def publish(self, world: World, producer: op.Producer) -> None:
        values: dict[str, Any] = {"id": self.id, "version": self.version, "day": T0 + dt.timedelta(days=self.id)}
        if self.deleted:
            producer.delete(world.cls, **values)
        else:
            producer.publish(world.cls(**values))


puts = st.builds(Put, st.integers(0, 4), st.integers(0, 2), st.booleans())
histories = st.lists(
    st.one_of(st.lists(puts, min_size=1, max_size=12), st.sampled_from(["archive", "dedup"])), min_size=1, max_size=6
).filter(lambda history: any(isinstance(step, list) for step in history))


class History:
    """A pipeline, what went through it, and what must have become of it."""

    def __init__(self, folder: Path, audit: str = "counted") -> None:
        self.world = World(folder, audit)
        self.published: list[Put] = []
        self.undecodable = 0
        self.archived = self.merged = 0

    def run(self, steps: Sequence[Any]) -> None:
        for step in steps:
            if step == "archive":
                self.world.pipe.archive(self.world.cls)
                self.archived = len(self.published)
            elif step == "dedup":
                self.world.pipe.dedup(self.world.cls)
                self.merged = self.archived
            else:
                self.publish(step)
        self.world.pipe.archive(AUDIT_TOPIC)

    def publish(self, records: Sequence[Put]) -> None:
        with self.world.pipe.producer() as producer:
            for record in records:
                record.publish(self.world, producer)
        self.published += records

    def garble(self, values: Sequence[bytes]) -> None:
        """Have another writer put bytes into the log that nothing decodes."""
        writer = self.world.pipe.transport.writer()
        for number, value in enumerate(values):
            writer.append(outgoing("Trips", number, value=value), lambda _: None)
        assert writer.flush(10.0)
        self.undecodable += len(values)

    def expected(self, published: int | None) -> Equation:
        merged = self.published[: self.merged]
        different, identities = len(set(merged)), len({record.id for record in merged})
        return Equation(
            published=published,
            stored=identities,
            superseded=different - identities,
            repeated=len(merged) - different,
            quarantined=self.undecodable,
            in_flight=len(self.published) - len(merged),
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.pipe.close()


@pytest.mark.slow
@few
@example([[Put(0, 0, deleted=True)], "archive"], "proved")
@example(
    [[Put(0, 0, deleted=False), Put(0, 0, deleted=False), Put(0, 1, deleted=False)], "archive", "dedup"], "accounted"
)
@example([[Put(0, 0, deleted=False), Put(0, 0, deleted=False), Put(0, 1, deleted=False)], "archive", "dedup"], "proved")
@given(histories, st.sampled_from(["accounted", "proved", "deep"]))
def test_the_equation_holds_on_every_clean_history(steps, level):
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        history.run(steps)
        verdict = history.world.verify(level)
        history.world.pipe.close()
    expected = history.expected(len(history.published))
    if level == "accounted" and (beyond := expected.superseded + expected.repeated):
        expected = attrs.evolve(expected, superseded=beyond, repeated=None)
    assert verdict.equation == expected, str(verdict)
    assert verdict.equation.difference == 0
    assert verdict.state is (State.OPEN if verdict.equation.in_flight else State.BALANCED), str(verdict)


@pytest.mark.slow
@few
@given(histories, st.lists(st.binary(max_size=8), min_size=1, max_size=4))
def test_where_others_write_what_was_published_is_unknown_and_the_rest_is_stated(steps, garbage):
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        history.run([step for step in steps if isinstance(step, list)])
        history.garble([b"\xff" + value for value in garbage])
        history.run(["archive", "dedup"])
        verdict = history.world.verify()
        history.world.pipe.close()
    assert verdict.equation == history.expected(None), str(verdict)
    assert verdict.equation.difference is None
    assert verdict.equation.accounted == len(history.published) + len(garbage)
    assert verdict.sound


@pytest.mark.slow
@few
@given(histories, st.sampled_from(["log", "raw", "clean"]), st.data())
def test_the_equation_says_by_how_many_it_fails_where_a_row_is_removed(steps, place, data):
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder), "named")
        history.run([step for step in steps if place != "log" or isinstance(step, list)])
        if place == "log":
            messages = _messages(history.world)
            history.world.pipe.transport.faults.lose("Trips", *data.draw(st.sampled_from(messages)))
        history.run(["archive", "dedup"])
        if place != "log":
            _remove(Path(folder, place, "Trips"), data)
        verdict = history.world.verify()
        history.world.pipe.close()
    assert verdict.equation.difference == 1, str(verdict)
    assert verdict.equation.state is State.SHORT
    assert not verdict.balanced
    assert "does not hold: 1 too few" in " ".join(str(verdict).split())


def _messages(world: World) -> list[tuple[int, int]]:
    """Partition and offset of every message of the log."""
    consumer = world.pipe.consumer(world.cls, until="end")
    return sorted((received.partition, received.offset) for received in consumer)


def _remove(folder: Path, data: st.DataObject) -> None:
    places = sorted((row[c.PARTITION], row[c.OFFSET]) for row in rows(folder))
    partition, offset = data.draw(st.sampled_from(places))
    lose(folder, **{c.PARTITION: partition, c.OFFSET: offset})


@pytest.mark.parametrize("place", ["log", "raw", "clean"])
def test_what_is_there_twice_is_too_many(world, place):
    world.publish()
    world.tamper(**{place: [Kind.REPEATED]})
    verdict = world.verify()
    assert verdict.equation.difference == -1, str(verdict)
    assert verdict.equation.state is State.OVER
    assert "does not hold: 1 too many" in " ".join(str(verdict).split())


def test_what_was_altered_in_the_log_is_quarantined_and_counts_once(world):
    world.publish()
    world.tamper(log=[Kind.ALTERED, Kind.ALTERED])
    verdict = world.verify()
    assert verdict.equation.quarantined == 2
    assert verdict.equation.difference == 0
    assert not verdict.balanced


def test_accepted_losses_of_the_log_are_a_term_of_the_equation(world):
    world.publish()
    world.tamper(log=[Kind.LOST, Kind.LOST, Kind.REPEATED])
    verdict = world.verify()
    assert verdict.equation.difference == 1
    world.pipe.accept(verdict.findings, reason="the broker's disk was lost")
    verdict = world.verify()
    assert (verdict.equation.accepted, verdict.equation.difference) == (1, 0)
    assert verdict.balanced, str(verdict)
    assert "+ accepted 1" in " ".join(str(verdict).split())


def test_a_verdict_does_not_balance_where_the_equation_alone_fails(world):
    world.publish()
    world.lake_it()
    verdict = world.verify()
    assert verdict.balanced
    for published, state in ((201, State.SHORT), (199, State.OVER)):
        told = attrs.evolve(verdict, equation=attrs.evolve(verdict.equation, published=published))
        assert (told.state, told.balanced, told.sound) == (state, False, False)


def test_a_topic_without_merge_stores_every_good_row(tmp_path):
    @op.record(topic="Clicks")
    class Click:
        page: str

    with op.connect("memory://", lake=tmp_path, partitions=2) as pipe:
        with pipe.producer() as producer:
            producer.publish_many([Click(page=f"/{n % 3}") for n in range(10)])
        pipe.archive(Click)
        assert pipe.verify(Click).equation == Equation(10, 10, 0, 0, 0, 0)
        partition, offset = min((row[c.PARTITION], row[c.OFFSET]) for row in rows(tmp_path / "raw" / "Clicks"))
        lose(tmp_path / "raw" / "Clicks", **{c.PARTITION: partition, c.OFFSET: offset})
        assert pipe.verify(Click).equation.difference == 1


def test_rows_are_read_only_where_there_are_more_arrivals_than_clean_rows(world, monkeypatch):
    with world.pipe.producer() as producer:
        producer.publish_many([world.cls(id=n, version=0, day=T0) for n in range(20)])
    world.lake_it()

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("onepipe.audit.fates.count_arrivals", fail)
    assert world.verify().equation == Equation(20, 20, 0, 0, 0, 0)
    world.publish(40)
    world.lake_it()
    with pytest.raises(AssertionError):
        world.verify()


def test_unknown_writers_and_damaged_evidence_leave_the_published_unknown(world):
    world.publish()
    world.lake_it()
    next((world.folder / "raw" / AUDIT_TOPIC).rglob("*.parquet")).write_bytes(b"not Parquet")
    equation = world.verify().equation
    assert equation.published is None
    assert equation.accounted == 200
    assert str(equation).startswith("published unknown = stored 40 + superseded 160")


def test_json_and_html_state_the_equation(world):
    world.publish()
    world.lake_it()
    verdict = world.verify()
    assert verdict.to_json()["equation"] == {
        "published": 200,
        "stored": 40,
        "superseded": 160,
        "repeated": 0,
        "quarantined": 0,
        "in_flight": 0,
        "accepted": 0,
        "difference": 0,
    }
    shown = "published 200 = stored 40 + superseded 160 + repeated 0 + quarantined 0 + in flight 0"
    assert shown in verdict._repr_html_()
    assert shown in " ".join(str(verdict).split())
