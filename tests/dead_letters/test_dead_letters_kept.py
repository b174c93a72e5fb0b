"""What a sink or a consumer's code fails on is kept once, durably, and everything else goes on."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dead_letter_world import T0, Collecting, Order, Refusing, Rows, connect, forget, kept, orders, publish

import onepipe as op
from onepipe.dead_letters.topic import Stage, State
from onepipe.errors import ConfigurationError, TransportError
from onepipe.transport import Outgoing

QUICK = op.backoff(2, first=0.0)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[op.Pipeline]:
    with connect(tmp_path) as pipe:
        yield pipe


@pytest.mark.parametrize("max_batch", [1, 3, 1000])
def test_a_sink_gets_every_record_but_those_it_fails_on(pipe: op.Pipeline, max_batch: int) -> None:
    publish(pipe, 20)
    sink = Refusing(refused={"O3", "O4", "O17"})
    ends = pipe.sink(Order, sink, name="crm", max_batch=max_batch, retry=QUICK, on_failure="dead_letter")
    assert sum(ends.values()) == 20
    assert {record.id for record in sink.records} == {record.id for record in orders(20)} - sink.refused
    letters = kept(pipe)
    assert [letter.state for letter in letters] == [State.OPEN] * 3
    assert {(letter.stage, letter.consumer, letter.attempts) for letter in letters} == {(Stage.SINK, "crm", 3)}


def test_a_letter_says_the_error_and_its_place_and_shows_no_value(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    pipe.sink(Order, Refusing(refused={"O0"}), name="crm", on_failure="dead_letter")
    (letter,) = kept(pipe)
    assert letter.rule == "ValueError"
    assert letter.reason.startswith("ValueError in write (dead_letter_world.py:")
    assert letter.detail == "no room for O0"
    assert "no room" not in repr(letter)
    assert letter.schema_id is not None
    assert letter.log == pipe.transport.describe_topic("Orders").log
    assert (letter.partition, letter.offset) != (None, None)


def test_failures_that_pass_leave_no_letter(pipe: op.Pipeline) -> None:
    publish(pipe, 10)

    class Shaky(Collecting):
        calls = 0

        def write(self, batch: op.SinkBatch[Any]) -> None:
            self.calls += 1
            if self.calls % 2:
                raise ValueError("not now")
            super().write(batch)

    sink = Shaky()
    pipe.sink(Order, sink, name="crm", retry=QUICK, on_failure="dead_letter")
    assert len(sink.records) == 10
    assert kept(pipe) == []


def test_what_is_no_fault_of_a_record_is_tried_again_and_raised(pipe: op.Pipeline) -> None:
    publish(pipe, 4)

    class Away(Collecting):
        calls = 0

        def write(self, batch: op.SinkBatch[Any]) -> None:
            self.calls += 1
            raise ConnectionRefusedError("the database is away")

    sink = Away()
    with pytest.raises(ConnectionRefusedError):
        pipe.sink(Order, sink, name="crm", retry=QUICK, on_failure="dead_letter")
    assert sink.calls == 3
    assert kept(pipe) == []


def test_without_dead_letters_the_failure_is_raised_after_the_retries_and_nothing_is_passed_over(
    pipe: op.Pipeline,
) -> None:
    publish(pipe, 4)
    with pytest.raises(ValueError, match="no room"):
        pipe.sink(Order, Refusing(refused={"O2"}), name="crm", retry=QUICK)
    assert kept(pipe) == []
    sink = Collecting()
    pipe.sink(Order, sink, name="crm")
    assert {record.id for record in sink.records} >= {"O2"}


def test_a_sink_stopped_while_it_waits_leaves_the_rest_for_the_next_run(pipe: op.Pipeline) -> None:
    publish(pipe, 2)
    stop = threading.Event()

    class Stopping(Refusing):
        def write(self, batch: op.SinkBatch[Any]) -> None:
            stop.set()
            super().write(batch)

    sink = Stopping(refused={"O0", "O1"})
    pipe.sink(Order, sink, name="crm", stop=stop, retry=op.backoff(5, first=600, most=600), on_failure="dead_letter")
    assert kept(pipe) == []
    again = Collecting()
    assert sum(pipe.sink(Order, again, name="crm").values()) == len(again.records) == 2


def test_a_record_seen_again_is_counted_once_and_by_each_consumer(pipe: op.Pipeline, tmp_path: Path) -> None:
    publish(pipe, 1)
    for name in ("one", "other"):
        for _ in range(3):
            pipe.sink(Order, Refusing({"O0"}), name=name, on_failure="dead_letter")
            forget(tmp_path, name)
    assert sorted(letter.consumer or "" for letter in kept(pipe)) == ["one", "other"]


def test_a_transactional_sinks_letters_are_confirmed_once_its_progress_has_passed(
    pipe: op.Pipeline, tmp_path: Path
) -> None:
    publish(pipe, 10)
    rows = Rows(tmp_path / "rows.db", refused={"O5"})
    pipe.sink(Order, rows, name="crm", on_failure="dead_letter")
    (letter,) = kept(pipe)
    assert letter.state is State.OPEN
    assert rows.effects() == {record.id: 1 for record in orders(10) if record.id != "O5"}
    rows.close()


def test_a_record_that_another_process_may_have_stored_stays_unconfirmed(pipe: op.Pipeline, tmp_path: Path) -> None:
    publish(pipe, 4)
    other = Rows(tmp_path / "rows.db")

    class Overtaken(Rows):
        """Another process stores everything just before this one passes over its record."""

        def write(self, batch: op.SinkBatch[Any]) -> None:
            if not batch.messages:
                pipe.sink(Order, other, name="crm")
            super().write(batch)

    rows = Overtaken(tmp_path / "rows.db", refused={"O1"})
    pipe.sink(Order, rows, name="crm", on_failure="dead_letter")
    assert [letter.state for letter in kept(pipe)] == [State.UNCONFIRMED]
    assert rows.effects() == {record.id: 1 for record in orders(4)}
    rows.close()
    other.close()


def test_what_a_sink_cannot_be_given_is_kept_too(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    writer = pipe.transport.writer()
    writer.append(Outgoing("Orders", 0, b"k", b"\0\0\0\0\1junk", (), 0), lambda _: None)
    assert writer.flush(10)
    writer.close()
    sink = Collecting()
    pipe.sink(Order, sink, name="crm", on_failure="dead_letter")
    assert len(sink.records) == 1
    (letter,) = kept(pipe)
    assert letter.rule == "DecodeError"


def test_a_consumers_record_is_kept_after_the_retries_and_the_rest_is_handled(pipe: op.Pipeline) -> None:
    publish(pipe, 10)
    calls: dict[str, int] = {}

    def bill(received: op.Received[Order]) -> None:
        calls[received.record.id] = calls.get(received.record.id, 0) + 1
        if received.record.id in ("O2", "O7"):
            raise KeyError(received.record.id)

    for _ in range(2):
        with pipe.consumer(Order, group="billing", until="end") as consumer:
            consumer.handle(bill, retry=QUICK, on_failure="dead_letter")
    assert calls == {record.id: 3 if record.id in ("O2", "O7") else 1 for record in orders(10)}
    letters = kept(pipe)
    assert {(letter.stage, letter.consumer, letter.rule, letter.attempts) for letter in letters} == {
        (Stage.CONSUME, "billing", "KeyError", 3)
    }
    assert len(letters) == 2


def test_a_consumers_failure_that_is_raised_is_read_again(pipe: op.Pipeline) -> None:
    publish(pipe, 3)
    seen: list[str] = []

    def fail(received: op.Received[Order]) -> None:
        seen.append(received.record.id)
        raise OSError("disk full")

    with pipe.consumer(Order, group="billing", until="end") as consumer:
        for _ in range(2):
            with pytest.raises(OSError, match="disk full"):
                consumer.handle(fail, on_failure="dead_letter")
    assert len(seen) == 2
    assert len(set(seen)) == 1
    with pipe.consumer(Order, group="billing", until="end") as consumer:
        assert len(list(consumer)) == 3
    assert kept(pipe) == []


def test_a_record_is_kept_by_hand(pipe: op.Pipeline) -> None:
    publish(pipe, 2)
    with pipe.consumer(Order, group="billing", until="end") as consumer:
        for received in consumer:
            consumer.dead_letter(received, ValueError("private"))
            consumer.dead_letter(received, ValueError("private"))
    assert len(kept(pipe)) == 2


def test_letters_need_a_name_to_be_kept_under(pipe: op.Pipeline, tmp_path: Path) -> None:
    publish(pipe, 1)
    rows = Rows(tmp_path / "rows.db")
    with pytest.raises(ConfigurationError, match="under the sink's name"):
        pipe.sink(Order, rows, on_failure="dead_letter")
    rows.close()
    with pipe.consumer(Order, until="end") as consumer, pytest.raises(ConfigurationError, match="kept for a group"):
        consumer.handle(print, on_failure="dead_letter")
    for wrong in ({"on_failure": "drop"}, {"retry": 5}):
        with pytest.raises(ConfigurationError):
            pipe.sink(Order, Collecting(), name="crm", **wrong)


def test_nothing_is_passed_over_where_the_letter_is_not_acknowledged(
    pipe: op.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pipe, 1)

    def refused(*_: object, **__: object) -> None:
        raise TransportError("the log is full")

    with monkeypatch.context() as patched:
        patched.setattr("onepipe.dead_letters.sender.LetterSender._send", refused)
        with pytest.raises(TransportError):
            pipe.sink(Order, Refusing({"O0"}), name="crm", on_failure="dead_letter")
    sink = Collecting()
    pipe.sink(Order, sink, name="crm")
    assert len(sink.records) == 1


@pytest.mark.parametrize("retries", [-1, 1.5, True, "3"])
def test_a_backoff_takes_a_number_of_retries(retries: Any) -> None:
    with pytest.raises(ConfigurationError, match="retries is a whole number"):
        op.backoff(retries)


def test_pauses_double_up_to_the_longest_one() -> None:
    assert list(op.backoff(5, first=1, most=5).pauses()) == [1, 2, 4, 5, 5]
    assert list(op.backoff(0).pauses()) == []
    assert sum(op.backoff(2000, first=0.0).pauses()) == 0.0


def test_letters_are_the_same_whatever_the_time_zone_of_the_moment(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    pipe.sink(Order, Refusing({"O0"}), name="crm", on_failure="dead_letter")
    (letter,) = kept(pipe)
    assert letter.first_seen == letter.last_seen
    assert letter.first_seen.utcoffset() == dt.timedelta(0)
    assert letter.first_seen > T0
