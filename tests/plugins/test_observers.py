from __future__ import annotations

import datetime as dt
import logging
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

import onepipe as op
from onepipe.errors import DeliveryError, InvalidRecord
from onepipe.hookspecs import hookimpl
from onepipe.observe import events
from onepipe.observe.events import (
    EVENTS,
    ArchiveCommitted,
    DedupCommitted,
    EpochClosed,
    EpochOpened,
    Event,
    Observer,
    Observers,
    RecordsRejected,
    Verified,
)
from onepipe.observe.logging import LogEvents

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"
T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@op.record(topic="Parts", merge=op.latest("updated"))
class Part:
    sid: str = op.field(identity=True)
    updated: dt.datetime
    size: int = op.field(default=0, ge=0)


@attrs.frozen
class Flushed(Event):
    messages: int = 0


def test_every_observer_is_told_in_order() -> None:
    told: list[tuple[str, Event]] = []
    observers = Observers.of([lambda event: told.append(("a", event)), lambda event: told.append(("b", event))])
    event = Flushed("Widgets", 3)
    observers(event)
    assert told == [("a", event), ("b", event)]


def test_an_observer_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []

    def fail(event: Event) -> None:
        raise ValueError("inside")

    Observers.of([fail, told.append])(Flushed("Widgets"))
    assert told == [Flushed("Widgets")]
    assert "failed on Flushed" in caplog.text


def test_event_data_is_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Flushed("Widgets").topic = "Gadgets"  # type: ignore[misc]  # the very thing that must not work


def test_an_observer_that_raised_is_not_told_of_that_class_again(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []

    def choosy(event: Event) -> None:
        told.append(event)
        if isinstance(event, Flushed):
            raise ValueError("inside")

    observers = Observers.of([choosy])
    for event in (Flushed("Widgets"), Flushed("Gadgets"), Event("Widgets")):
        observers(event)
    assert told == [Flushed("Widgets"), Event("Widgets")]
    assert caplog.text.count("failed on Flushed") == 1


@attrs.frozen(eq=False)
class Told:
    """A plugin with one observer, which keeps what it is told, with the thread."""

    events: list[Event] = attrs.field(factory=list)
    threads: set[str] = attrs.field(factory=set)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.threads.add(threading.current_thread().name)

    @hookimpl
    def onepipe_observers(self) -> Sequence[Observer]:
        return [self]

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def part(number: int = 0, **changes: object) -> Part:
    return op.evolve(Part(sid=f"P{number}", updated=T0), **changes)


def without_seconds(event: Event) -> Event:
    assert event.seconds >= 0
    return attrs.evolve(event, seconds=0.0)


def test_a_run_through_the_pipeline_is_told_step_by_step(tmp_path: Path) -> None:
    told = Told()
    with op.connect("memory://", lake=tmp_path, partitions=1, application="shop", plugins=[told]) as pipe:
        with pipe.producer() as producer:
            producer.publish_many(part(n % 5) for n in range(20))
            producer.flush()
            with pytest.raises(InvalidRecord):
                producer.publish(part(size=-1))
        pipe.archive(Part)
        pipe.archive(Part)
        pipe.dedup(Part)
        pipe.dedup(Part)
        assert pipe.verify(Part).balanced
    opened, rejected, closed, archived, evidence, merged, verified = told.events
    epoch = opened.epoch
    assert re.fullmatch("[0-9a-f]{32}", epoch)
    assert opened == EpochOpened(epoch=epoch, application="shop")
    assert rejected == RecordsRejected("Parts", count=1)
    assert without_seconds(closed) == EpochClosed(
        epoch=epoch, acknowledged=20, failed=0, indeterminate=0, complete=True, seconds=0.0
    )
    size = archived.bytes
    assert size > 0
    assert without_seconds(archived) == ArchiveCommitted(
        "Parts", rows=20, quarantined=0, files=1, bytes=size, seconds=0.0
    )
    assert evidence.topic == "_onepipe.audit"
    assert without_seconds(merged) == DedupCommitted(
        "Parts",
        version=merged.version,
        rebuilt=False,
        arrivals=20,
        quarantined=0,
        identities=5,
        added=1,
        removed=0,
        seconds=0.0,
    )
    assert without_seconds(verified) == Verified("Parts", level="proved", state="balanced", findings=0, seconds=0.0)
    assert {type(event) for event in told.events} == set(EVENTS)


def test_refused_and_lost_records_are_counted_when_the_epoch_closes() -> None:
    told = Told()
    with op.connect("memory://", partitions=1, plugins=[told]) as pipe:
        pipe.register(Part)
        pipe.transport.faults.fail_append("Parts", 0, 1)
        pipe.transport.faults.leave_append_open("Parts", 0, 3, stored=False)
        producer = pipe.producer()
        producer.publish_many(part(n) for n in range(6))
        with pytest.raises(DeliveryError):
            producer.close()
    (closed,) = told.of(EpochClosed)
    assert (closed.acknowledged, closed.failed, closed.indeterminate, closed.complete) == (4, 1, 1, True)


def test_rejected_records_are_counted_and_not_told_one_by_one() -> None:
    told = Told()
    with op.connect("memory://", plugins=[told]) as pipe, pipe.producer(on_invalid="dead_letter") as producer:
        for number in range(50):
            producer.publish(part(number, size=-1))
        producer.flush()
        assert told.of(RecordsRejected) == [RecordsRejected("Parts", count=50)]
        producer.publish(part(size=-1))
    assert told.of(RecordsRejected)[1:] == [RecordsRejected("Parts", count=1)]


def test_a_producer_that_only_refuses_tells_so_from_time_to_time() -> None:
    told = Told()
    with op.connect("memory://", plugins=[told]) as pipe, pipe.producer(tally_every=0.0) as producer:
        for number in range(3):
            with pytest.raises(InvalidRecord):
                producer.publish(part(number, size=-1))
        assert told.of(RecordsRejected) == [RecordsRejected("Parts", count=1)] * 3


def test_a_producer_without_audit_opens_no_epoch() -> None:
    told = Told()
    with op.connect("memory://", plugins=[told]) as pipe, pipe.producer(audit=False) as producer:
        producer.publish(part())
    assert told.events == []


def test_observers_are_told_in_the_thread_that_did_the_work() -> None:
    told = Told()
    with op.connect("memory://", plugins=[told]) as pipe:

        def work() -> None:
            with pipe.producer() as producer:
                producer.publish(part())

        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
    assert told.threads == {"worker"}


class Failing:
    """A plugin whose hook fails, or whose observer does."""

    def __init__(self, hook: Callable[[], Sequence[Observer]]) -> None:
        self.hook = hook

    @hookimpl
    def onepipe_observers(self) -> Sequence[Observer]:
        return self.hook()


def test_failing_observers_and_hooks_break_no_pipeline(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise ValueError("inside")

    told = Told()
    plugins = [type("BadHook", (Failing,), {})(fail), type("BadObserver", (Failing,), {})(lambda: [fail]), told]
    with op.connect("memory://", lake=tmp_path, plugins=plugins) as pipe:
        with pipe.producer() as producer:
            producer.publish(part())
        pipe.archive(Part)
        pipe.dedup(Part)
        assert pipe.verify(Part).balanced
    assert "plugin 'BadHook' failed in onepipe_observers" in caplog.text
    assert caplog.text.count("failed on ArchiveCommitted") == 1
    assert len(told.of(Verified)) == 1


def test_events_are_logged_as_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "onepipe.shop"),
        op.connect("memory://", plugins=[LogEvents("onepipe.shop")]) as pipe,
        pipe.producer() as producer,
    ):
        producer.publish(part())
    opened, closed = (record for record in caplog.records if record.name == "onepipe.shop")
    assert re.fullmatch("EpochOpened epoch=[0-9a-f]{32}", opened.getMessage())
    assert "acknowledged=1 failed=0" in closed.getMessage()
    assert closed.onepipe["complete"] is True


def test_every_class_of_event_is_in_the_list() -> None:
    classes = [c for c in vars(events).values() if isinstance(c, type) and issubclass(c, Event) and c is not Event]
    assert classes == list(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_documented_with_its_attributes(event: type[Event]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {event.__name__} \| (.*?) \|", page, re.MULTILINE)
    assert row.split(", ") == [f"`{field.name}`" for field in attrs.fields(event) if field.name != "topic"]


def test_no_event_is_documented_that_does_not_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("| event |") :]
    assert re.findall(r"^\| ([A-Z]\w+) \|", table, re.MULTILINE) == [event.__name__ for event in EVENTS]
