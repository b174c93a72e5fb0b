"""A replay hands over each record that is open, and cannot duplicate it, whatever is killed or runs at once."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dead_letter_world import T0, Collecting, Order, Refusing, Rows, connect, kept, orders, publish
from hypothesis import given, settings
from hypothesis import strategies as st

import onepipe as op
from onepipe.dead_letters.letter import Copy, fold, set_aside
from onepipe.dead_letters.sender import LetterSender
from onepipe.dead_letters.topic import STATES, Stage, State
from onepipe.errors import ConfigurationError, PositionLost
from onepipe.transport import Message, Outgoing, TopicPartition

REFUSED = {"O1", "O4"}


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[op.Pipeline]:
    with connect(tmp_path) as pipe:
        yield pipe


def put(pipe: op.Pipeline, value: bytes | None) -> None:
    writer = pipe.transport.writer()
    writer.append(Outgoing("Orders", 0, b"k", value, (), 0), lambda _: None)
    assert writer.flush(10)
    writer.close()


def states(pipe: op.Pipeline) -> list[State]:
    return [letter.state for letter in kept(pipe)]


def test_a_sink_gets_what_it_failed_on_once_it_takes_it(pipe: op.Pipeline) -> None:
    publish(pipe, 6)
    pipe.sink(Order, Refusing(REFUSED), name="crm", on_failure="dead_letter")
    letters = pipe.dead_letters(Order, consumer="crm")
    sink = Refusing({"O4"})
    report = letters.replay(sink)
    assert (report.replayed, report.failed) == (1, 1)
    (again,) = letters
    assert (again.attempts, again.replays) == (2, 1)
    sink.refused.clear()
    assert letters.replay(sink).replayed == 1
    assert letters.replay(sink).replayed == 0
    assert sorted(record.id for record in sink.records) == sorted(REFUSED)
    assert states(pipe) == [State.REPLAYED] * 2


def test_a_handler_gets_what_was_received_at_its_position(pipe: op.Pipeline) -> None:
    publish(pipe, 1)

    def fail(received: op.Received[Order]) -> None:
        raise ValueError

    with pipe.consumer(Order, group="billing", until="end") as consumer:
        consumer.handle(fail, on_failure="dead_letter")
    handled: list[op.Received[Order]] = []
    (letter,) = kept(pipe)
    assert pipe.dead_letters(Order, consumer="billing").replay(handled.append).replayed == 1
    (received,) = handled
    assert received.record == orders(1)[0]
    assert (received.partition, received.offset) == (letter.partition, letter.offset)


def test_a_record_outlives_the_log_in_its_letter(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    pipe.sink(Order, Refusing({"O0"}), name="crm", on_failure="dead_letter")
    pipe.transport.delete_topic("Orders")
    (letter,) = kept(pipe)
    assert pipe.dead_letters(Order).record(letter) == orders(1)[0]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_record_too_large_for_a_letter_is_read_from_the_log(tmp_path: Path, replaced: bool) -> None:
    url = "memory://?max_message_bytes=900"
    with connect(tmp_path, url) as pipe:
        large = Order(id="O0", updated=T0, email="x" * 600)
        with pipe.producer() as producer:
            producer.publish(large)
        pipe.sink(Order, Refusing({"O0"}), name="crm", on_failure="dead_letter")
        (letter,) = kept(pipe)
        assert letter.copy is None
        if not replaced:
            assert pipe.dead_letters(Order).record(letter) == large
            return
        pipe.transport.delete_topic("Orders")
        pipe.transport.create_topic("Orders", partitions=2)
        with pytest.raises(PositionLost, match="replaced"):
            pipe.dead_letters(Order).record(letter)


def test_what_is_in_quarantine_is_listed_and_published_again_once_it_can_be_decoded(
    pipe: op.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pipe, 1)
    with pipe.consumer(Order, until="end") as consumer:
        (received,) = consumer
    put(pipe, received.value)
    with monkeypatch.context() as patched:
        patched.setattr(pipe.registry, "schema", _not_registered)
        pipe.archive(Order)
    quarantined = [letter for letter in kept(pipe) if letter.stage is Stage.ARCHIVE]
    assert {(letter.rule, letter.consumer) for letter in quarantined} == {("unknown schema", "lake")}
    assert pipe.dead_letters(Order).replay().replayed == len(quarantined)
    assert states(pipe) == [State.REPLAYED] * len(quarantined)
    pipe.archive(Order)
    pipe.dedup(Order)
    assert list(pipe.table(Order).records(Order)) == orders(1)


def _not_registered(*_: object, **__: object) -> Any:
    raise op.errors.NotRegistered("no such schema")


def test_what_can_still_not_be_decoded_stays_open_with_the_new_reason(pipe: op.Pipeline) -> None:
    publish(pipe, 1)
    put(pipe, b"junk")
    put(pipe, None)
    pipe.archive(Order)
    report = pipe.dead_letters(Order).replay()
    assert (report.replayed, report.failed) == (0, 2)
    assert {(letter.state, letter.replays, letter.rule) for letter in kept(pipe)} == {(State.OPEN, 1, "DecodeError")}


def test_a_refused_record_is_mended_and_published_again(pipe: op.Pipeline) -> None:
    with pipe.producer(on_invalid="dead_letter") as producer:
        producer.publish({"id": "O9", "updated": "today", "email": "9@example.org"}, topic=op.topic_of(Order))
    letters = pipe.dead_letters(Order)
    assert letters.replay().replayed == 0
    assert letters.replay(mend=lambda record: Order(**{**record, "updated": T0})).replayed == 1
    assert list(letters) == []
    with pipe.consumer(Order, until="end") as consumer:
        assert [record.id for record in consumer.records()] == ["O9"]


def test_what_would_not_merge_is_not_published_again(tmp_path: Path) -> None:
    @op.record(topic="Clicks")
    class Click:
        at: dt.datetime

    with connect(tmp_path) as pipe, pipe.producer(on_invalid="dead_letter") as producer:
        producer.publish({"at": "now"}, topic=op.topic_of(Click)).result()
        with pytest.raises(ConfigurationError, match="no identity and merge policy"):
            pipe.dead_letters(Click).replay(mend=lambda _: Click(at=T0))


def test_what_was_dropped_is_neither_open_nor_replayed(pipe: op.Pipeline) -> None:
    publish(pipe, 3)
    pipe.sink(Order, Refusing({"O0", "O2"}), name="crm", on_failure="dead_letter")
    letters = pipe.dead_letters(Order, consumer="crm")
    first, _ = letters
    assert letters.drop(first) == 1
    sink = Collecting()
    assert letters.replay(sink, letters=kept(pipe)).replayed == 1
    assert sorted(states(pipe)) == [State.DROPPED, State.REPLAYED]


def test_a_replay_names_its_consumer_and_says_a_wrong_state(pipe: op.Pipeline) -> None:
    pipe.register(Order)
    with pytest.raises(ConfigurationError, match="for one consumer"):
        pipe.dead_letters(Order).replay(Collecting())
    with pytest.raises(ConfigurationError, match="no state 'opened'"):
        pipe.dead_letters(Order, state="opened")
    with pytest.raises(ConfigurationError, match="consumer is a name"):
        pipe.dead_letters(Order, consumer="")


def test_a_sink_that_is_away_ends_the_replay_and_counts_no_attempt(pipe: op.Pipeline) -> None:
    publish(pipe, 2)
    pipe.sink(Order, Refusing({"O0", "O1"}), name="crm", on_failure="dead_letter")

    class Away(Collecting):
        def write(self, batch: op.SinkBatch[Any]) -> None:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        pipe.dead_letters(Order, consumer="crm").replay(Away())
    assert {(letter.state, letter.attempts) for letter in kept(pipe)} == {(State.OPEN, 1)}


def test_a_transactional_sink_is_not_given_what_it_may_have(pipe: op.Pipeline, tmp_path: Path) -> None:
    publish(pipe, 1)
    rows = Rows(tmp_path / "rows.db", refused={"O0"})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("onepipe.pipeline.sinks._Letters.passed", lambda *_: None)
        pipe.sink(Order, rows, name="crm", on_failure="dead_letter")
    rows.refused.clear()
    assert states(pipe) == [State.UNCONFIRMED]
    letters = pipe.dead_letters(Order, consumer="crm", state=None)
    assert letters.replay(rows, letters=letters).replayed == 0
    assert letters.replay(Collecting(), letters=letters).replayed == 1
    rows.close()


class Killed(BaseException):
    """What a kill is to the process it happens in."""


KILLS = ["letter before", "letter after", "sink before", "sink after", "none"]
STEPS = st.lists(st.tuples(st.sampled_from(["feed", "replay"]), st.booleans(), st.sampled_from(KILLS)), max_size=8)


class Doomed(Rows):
    """A sink whose process is killed before or after its next commit."""

    kill = "none"

    def write(self, batch: op.SinkBatch[Any]) -> None:
        kill, self.kill = self.kill, "none"
        if kill == "sink before":
            raise Killed
        super().write(batch)
        if kill == "sink after":
            raise Killed


def killed_at_a_letter(patched: pytest.MonkeyPatch, kill: str) -> None:
    send = LetterSender._send

    def doomed(self: LetterSender, topic: str, said: Any) -> None:
        if kill == "letter before":
            raise Killed
        send(self, topic, said)
        if kill == "letter after":
            raise Killed

    patched.setattr(LetterSender, "_send", doomed)


@pytest.mark.slow
@settings(max_examples=40)
@given(steps=STEPS, max_batch=st.integers(1, 4))
def test_no_kill_and_no_replay_lets_a_transactional_sink_store_a_record_twice_or_lose_it_in_silence(
    steps: list[tuple[str, bool, str]], max_batch: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder)) as pipe:
        publish(pipe, 5)
        rows = Doomed(Path(folder, "rows.db"))

        def step(action: str, mended: bool, kill: str) -> None:
            rows.refused, rows.kill = set() if mended else set(REFUSED), kill
            with pytest.MonkeyPatch.context() as patched:
                if kill.startswith("letter"):
                    killed_at_a_letter(patched, kill)
                try:
                    if action == "feed":
                        pipe.sink(Order, rows, name="crm", max_batch=max_batch, on_failure="dead_letter")
                    else:
                        pipe.dead_letters(Order, consumer="crm").replay(rows)
                except Killed:
                    rows.kill = "none"

        for each in steps:
            step(*each)
        step("feed", False, "none")
        step("replay", True, "none")
        effects, letters = rows.effects(), kept(pipe)
        rows.close()
    assert set(effects.values()) == {1}
    doubtful = {letter.state for letter in letters} - {State.REPLAYED}
    assert doubtful <= {State.UNCONFIRMED}
    assert len(letters) <= len(REFUSED)
    missing = len({record.id for record in orders(5)} - effects.keys())
    assert missing <= sum(letter.state is State.UNCONFIRMED for letter in letters)


def said(offset: int, replays: int, state: State, seconds: int) -> dict[str, Any]:
    message = Message("Orders", 0, offset, 0, b"k", b"v", ())
    at = T0 + dt.timedelta(seconds=seconds)
    fields = set_aside(message, "log", Stage.SINK, "crm", ValueError("no"), 1 + replays, at)
    return {**fields, "state": state.value, "version": len(STATES) * replays + STATES.index(state)}


SAID = st.lists(
    st.builds(said, st.integers(0, 2), st.integers(0, 2), st.sampled_from(State), st.integers(0, 9)), max_size=12
)


@given(messages=SAID, data=st.data())
def test_letters_are_the_same_in_any_order_and_with_any_repetition(messages: list[Any], data: st.DataObject) -> None:
    told = [(fields, Copy(TopicPartition("Orders.dead-letters", 0), n)) for n, fields in enumerate(messages)]
    again = data.draw(st.permutations([*told, *told[: data.draw(st.integers(0, len(told)))]]))
    assert fold("Orders", again) == fold("Orders", told)
    assert {letter.offset for letter in fold("Orders", told).values()} == {fields["offset"] for fields in messages}
    for letter in fold("Orders", told).values():
        versions = [fields["version"] for fields in messages if fields["letter"] == letter.name]
        assert letter.version == max(versions)


def test_two_processes_replay_at_once_and_the_sink_stores_once(pipe: op.Pipeline, tmp_path: Path) -> None:
    publish(pipe, 1)
    rows = Rows(tmp_path / "rows.db", refused={"O0"})
    pipe.sink(Order, rows, name="crm", on_failure="dead_letter")
    rows.refused.clear()
    letters = pipe.dead_letters(Order, consumer="crm")

    class Slower(Rows):
        """Another process replays the letter between this one's look at the progress and its write."""

        def write(self, batch: op.SinkBatch[Any]) -> None:
            assert letters.replay(rows).replayed == 1
            super().write(batch)

    slower = Slower(tmp_path / "rows.db")
    assert letters.replay(slower).replayed == 1
    assert rows.effects() == {"O0": 1}
    rows.close()
    slower.close()


def test_each_letter_is_a_log_of_its_own_to_the_sink(pipe: op.Pipeline) -> None:
    publish(pipe, 6)
    pipe.sink(Order, Refusing(REFUSED), name="crm", on_failure="dead_letter")
    seen: list[tuple[str, int, int, int]] = []

    class Noting(Collecting):
        def write(self, batch: op.SinkBatch[Any]) -> None:
            seen.append((batch.log, batch.partition, batch.first, batch.next))
            super().write(batch)

    letters = pipe.dead_letters(Order, consumer="crm")
    expected = [(f"{letter.log}.letter{letter.offset}", letter.partition, 0, 1) for letter in letters]
    letters.replay(Noting())
    assert seen == expected
