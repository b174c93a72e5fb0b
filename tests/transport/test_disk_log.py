"""What the log on disk does beyond the contract: kills, torn tails, damage, several processes, segments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from onepipe.errors import ConfigurationError, DeliveryError, PositionLost, TransportError
from onepipe.plugins import open_transport
from onepipe.testing.clock import ManualClock
from onepipe.transport import Bounds, Headers, Outcome, Outgoing, TopicPartition
from onepipe_memory.frames import BatchHeader, decode_batch, encode_batch, is_whole, read_header
from onepipe_memory.transport import MemoryTransport

P0 = TopicPartition("Widgets", 0)


def connect(folder: Path, **wanted: Any) -> MemoryTransport:
    transport = open_transport(f"memory://{folder}", wanted)
    assert isinstance(transport, MemoryTransport)
    return transport


def append(transport: MemoryTransport, *values: bytes, together: bool = True, timestamp: int = 0) -> list[Outcome]:
    outcomes: list[Outcome] = []
    writer = transport.writer()
    for value in values:
        writer.append(Outgoing("Widgets", 0, None, value, (), timestamp), outcomes.append)
        if not together:
            writer.flush()
    writer.flush()
    writer.close()
    return outcomes


def values(transport: MemoryTransport) -> list[bytes | None]:
    reader = transport.reader([P0])
    messages = reader.poll(100_000)
    assert [message.offset for message in messages] == list(range(*reader.bounds(P0)))
    reader.close()
    return [message.value for message in messages]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("topics/Widgets@*/0/*.log"))


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


# frames

MESSAGES = st.lists(
    st.builds(
        Outgoing,
        st.just("Widgets"),
        st.just(0),
        st.none() | st.binary(max_size=20),
        st.none() | st.binary(max_size=40),
        st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=10)), max_size=3).map(tuple),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=50)
@given(MESSAGES, st.integers(0, 2**40))
def test_a_batch_is_read_back_as_it_was_written(messages: list[Outgoing], first: int) -> None:
    header, batch = encode_batch(first, messages)
    assert read_header(batch) == header
    assert is_whole(header, batch)
    for offset, (sent, read) in enumerate(zip(messages, decode_batch("Widgets", 0, header, batch), strict=True), first):
        assert read == (sent.topic, 0, offset, sent.timestamp, sent.key, sent.value, sent.headers)


@settings(deadline=None, max_examples=50)
@given(MESSAGES, st.data())
def test_any_changed_byte_of_a_batch_is_found(messages: list[Outgoing], data: st.DataObject) -> None:
    _, batch = encode_batch(0, messages)
    place = data.draw(st.integers(0, len(batch) - 1))
    changed = bytearray(batch)
    changed[place] ^= data.draw(st.integers(1, 255))
    header: BatchHeader | None = read_header(bytes(changed))
    assert header is None or not is_whole(header, bytes(changed))


# kills and torn tails

APPENDER = """
import sys
from onepipe.plugins import open_transport
from onepipe.transport import Outgoing

transport = open_transport(f"memory://{sys.argv[1]}", {"batch_bytes": 500, "segment_bytes": 20000})
transport.create_topic("Widgets", partitions=1)
writer = transport.writer()
acknowledged = lambda outcome: outcome.error or print(outcome.offset, flush=True)
number = 0
while True:
    writer.append(Outgoing("Widgets", 0, None, str(number).encode() * 5, (), 0), acknowledged)
    number += 1
"""


def test_acknowledged_messages_survive_kill_9(tmp_path: Path) -> None:
    acknowledged, base = -1, 0
    for count in (1, 333, 2000):
        with run(APPENDER, tmp_path / "log") as process:
            assert process.stdout is not None
            for _ in range(count):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = (
                process.stdout.read()
            )  # not by communicate, which leaves out what the lines before brought into the buffer
        for line in rest.splitlines(keepends=True):
            acknowledged = int(line) if line.endswith("\n") else acknowledged
        transport = connect(tmp_path / "log")
        stored = values(transport)
        assert len(stored) > acknowledged
        assert stored[base:] == [str(number).encode() * 5 for number in range(len(stored) - base)]
        base = len(stored)
        transport.close()
    assert len(segments(tmp_path / "log")) > 1


@example(batches=[1], torn=1, junk=b"v")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.integers(1, 5), min_size=1, max_size=5), torn=st.integers(0, 400), junk=st.binary(max_size=60)
)
def test_a_torn_tail_is_cut_to_the_last_whole_batch(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], torn: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("torn") / "log"
    transport = connect(folder, sync="os")
    transport.create_topic("Widgets", partitions=1)
    ends: list[tuple[int, int]] = [(0, 0)]
    for count in batches:
        append(transport, *[b"v" * count] * count)
        ends.append((segments(folder)[0].stat().st_size, ends[-1][1] + count))
    transport.close()
    (path,) = segments(folder)
    content = path.read_bytes()
    damaged = content[: max(0, ends[-1][0] - torn)] + junk  # which may be what was cut off
    path.write_bytes(damaged)
    whole = max(count for end, count in ends if damaged[:end] == content[:end])

    again = connect(folder, sync="os")
    assert again.reader([P0]).bounds(P0) == Bounds(0, whole)
    assert append(again, b"new")[0].offset == whole
    assert len(values(again)) == whole + 1
    again.close()


def test_damage_before_whole_batches_is_reported_and_nothing_is_cut(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    append(transport, b"first", b"second", b"third", together=False)
    transport.close()
    (path,) = segments(tmp_path / "log")
    data = bytearray(path.read_bytes())
    data[data.index(b"second")] ^= 1
    path.write_bytes(data)

    again = connect(tmp_path / "log")
    reader = again.reader([P0])
    assert [message.value for message in reader.poll(1)] == [b"first"]
    with pytest.raises(TransportError, match="is damaged at byte") as damaged:
        reader.poll()
    assert damaged.value.offset == 1
    with pytest.raises(TransportError, match="is damaged at byte"):
        append(again, b"fourth")
    assert path.read_bytes() == bytes(data)
    reader.seek(P0, 2)
    assert [message.value for message in reader.poll()] == [b"third"]
    again.close()


def test_a_damaged_header_before_whole_batches_is_reported(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    append(transport, b"first", b"second", together=False)
    transport.close()
    (path,) = segments(tmp_path / "log")
    data = path.read_bytes()
    path.write_bytes(b"X" + data[1:])
    again = connect(tmp_path / "log")
    for use in (lambda: values(again), lambda: append(again, b"third")):
        with pytest.raises(TransportError, match="is damaged at byte 0"):
            use()
    path.write_bytes(data)
    assert values(again) == [b"first", b"second"]
    again.close()


def test_a_segment_cut_short_is_reported(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log", segment_bytes=1)
    transport.create_topic("Widgets", partitions=1)
    append(transport, b"a", b"b", b"c", together=False)
    transport.close()
    segments(tmp_path / "log")[1].write_bytes(b"")
    again = connect(tmp_path / "log")
    reader = again.reader([P0])
    assert [message.value for message in reader.poll(1)] == [b"a"]
    with pytest.raises(TransportError, match="ends before offset 1"):
        reader.poll()
    again.close()


class FullDisk:
    """A file of a full disk, or of one whose sync fails."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: memoryview) -> int:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        self.room -= 10
        return int(self.file.write(data[:10]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_full_disk_fails_messages_and_leaves_no_half_batch(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    append(transport, b"a")
    partition: Any = transport._log.partition(P0)
    size = segments(tmp_path / "log")[0].stat().st_size
    partition._file = FullDisk(partition._file, room=25)
    (outcome,) = append(transport, b"b")
    assert isinstance(outcome.error, DeliveryError)
    assert not outcome.error.indeterminate
    assert segments(tmp_path / "log")[0].stat().st_size == size
    partition._file = partition._file.file
    assert append(transport, b"c")[0].offset == 1
    assert values(transport) == [b"a", b"c"]
    transport.close()


def test_after_a_failed_sync_the_outcome_is_open_and_nothing_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    with monkeypatch.context() as patched:
        patched.setattr("onepipe_memory.disk_partition._SYNC", fail)
        (outcome,) = append(transport, b"a")
    assert isinstance(outcome.error, DeliveryError)
    assert outcome.error.indeterminate
    (outcome,) = append(transport, b"b")
    assert isinstance(outcome.error, DeliveryError)
    assert not outcome.error.indeterminate
    transport.close()
    again = connect(tmp_path / "log")
    append(again, b"c")
    assert values(again) == [b"a", b"c"]
    again.close()


# segments and retention


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=12), limit=st.integers(1, 300), chunk=st.integers(1, 9))
def test_messages_are_read_across_segments_from_any_offset(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int, chunk: int
) -> None:
    transport = connect(tmp_path_factory.mktemp("segments") / "log", segment_bytes=limit, sync="os")
    transport.create_topic("Widgets", partitions=1)
    append(transport, *[b"x" * size for size in sizes], together=False)
    reader = transport.reader([P0])
    for offset in range(len(sizes) + 1):
        reader.seek(P0, offset)
        read: list[bytes | None] = []
        while batch := reader.poll(chunk):
            read.extend(message.value for message in batch)
        assert read == [b"x" * size for size in sizes[offset:]]
    transport.close()


def test_expired_segments_are_deleted_and_offsets_go_on(tmp_path: Path) -> None:
    clock = ManualClock(1000)
    transport = connect(tmp_path / "log", clock=clock, segment_bytes=1)
    transport.create_topic("Widgets", partitions=1, retention_ms=100)
    append(transport, b"a", timestamp=1000)
    append(transport, b"b", timestamp=1050)
    reader = transport.reader([P0])
    clock.advance(101)
    assert reader.bounds(P0) == Bounds(1, 2)
    with pytest.raises(PositionLost):
        reader.poll()
    clock.advance(1000)
    assert reader.bounds(P0) == Bounds(2, 2)
    assert len(segments(tmp_path / "log")) == 1
    transport.close()
    again = connect(tmp_path / "log", clock=clock)
    assert append(again, b"c", timestamp=clock())[0].offset == 2
    again.close()


def test_what_was_trimmed_stays_so(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log", segment_bytes=1)
    transport.create_topic("Widgets", partitions=1)
    append(transport, *[b"v"] * 5, together=False)
    transport.trim(P0, 3)
    assert len(segments(tmp_path / "log")) == 2
    transport.trim(P0, 1)
    transport.close()
    again = connect(tmp_path / "log")
    assert again.reader([P0]).bounds(P0) == Bounds(3, 5)
    again.trim(P0, 99)
    assert again.reader([P0]).bounds(P0) == Bounds(5, 5)
    again.close()


# several processes

FOLLOWER = """
import sys
from onepipe.plugins import open_transport
from onepipe.transport import TopicPartition

transport = open_transport(f"memory://{sys.argv[1]}")
reader = transport.reader([TopicPartition("Widgets", 0)])
print("ready", flush=True)
read = []
while len(read) < 6:
    read += [message.value.decode() for message in reader.poll(2, 30)]
print(*read, flush=True)
"""

HOLDER = """
import sys
from onepipe.plugins import open_transport

transport = open_transport(f"memory://{sys.argv[1]}")
if sys.argv[2] == "write":
    held = transport.writer()
else:
    held = transport.group_reader(["Widgets"], "billing")
print("ready", flush=True)
sys.stdin.read()
"""


def test_another_process_reads_while_this_one_writes(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log", segment_bytes=60)
    transport.create_topic("Widgets", partitions=1)
    append(transport, b"0")
    with run(FOLLOWER, tmp_path / "log") as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "ready\n"
        append(transport, b"1", b"2", b"3", together=False)
        append(transport, b"4", b"5")
        assert follower.stdout.readline() == "0 1 2 3 4 5\n"
    transport.close()


@pytest.mark.parametrize(
    ("what", "use", "said"),
    [
        ("write", lambda transport: transport.writer(), "writes to this log"),
        ("write", lambda transport: transport.create_topic("Gadgets", partitions=1), "writes to this log"),
        ("write", lambda transport: transport.delete_topic("Widgets"), "writes to this log"),
        ("write", lambda transport: transport.trim(P0, 1), "writes to this log"),
        ("group", lambda transport: transport.group_reader(["Widgets"], "billing"), "readers of group 'billing'"),
    ],
    ids=["write", "create", "delete", "trim", "group"],
)
def test_what_another_process_holds_is_refused_with_its_pid(
    tmp_path: Path, what: str, use: Callable[[MemoryTransport], object], said: str
) -> None:
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    transport.close()
    transport = connect(tmp_path / "log")
    with run(HOLDER, tmp_path / "log", what) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(TransportError, match=rf"another process \(pid {holder.pid}\).*{said}"):
            use(transport)
        assert transport.create_topic("Widgets", partitions=1).partitions == 1
        assert values(transport) == []
        holder.kill()
    use(transport)
    transport.close()


def test_a_topic_created_again_by_another_process_is_not_mistaken(tmp_path: Path) -> None:
    reading = connect(tmp_path / "log")
    code = """
import sys
from onepipe.plugins import open_transport
from onepipe.transport import Outgoing
transport = open_transport(f"memory://{sys.argv[1]}")
if "Widgets" in transport.topics():
    transport.delete_topic("Widgets")
transport.create_topic("Widgets", partitions=1)
writer = transport.writer()
for number in range(3):
    writer.append(Outgoing("Widgets", 0, None, b"v", (), 0), lambda _: None)
writer.flush()
"""
    with run(code, tmp_path / "log") as writing:
        assert writing.wait() == 0
    first = reading.describe_topic("Widgets")
    reader = reading.reader([P0])
    assert len(reader.poll(1)) == 1
    with run(code, tmp_path / "log") as writing:
        assert writing.wait() == 0
    assert reading.describe_topic("Widgets").log != first.log
    with pytest.raises(PositionLost, match="deleted and created again"):
        reader.poll()
    reading.close()


def test_a_forked_child_leaves_the_parents_lock_in_place(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    child = os.fork()
    if child == 0:
        try:
            connect(tmp_path / "log").writer()
        except TransportError as error:
            os._exit(0 if f"pid {os.getppid()}" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    append(transport, b"a")
    transport.close()
    connect(tmp_path / "log").writer().close()


def test_the_lock_goes_with_the_last_transport_of_the_process(tmp_path: Path) -> None:
    one, other = connect(tmp_path / "log"), connect(tmp_path / "log")
    one.create_topic("Widgets", partitions=1)
    one.close()
    with run(HOLDER, tmp_path / "log", "write") as refused:
        assert refused.wait() != 0
    other.close()
    with run(HOLDER, tmp_path / "log", "write") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        holder.kill()


# the folder


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="holds something else"):
        connect(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    connect(tmp_path / "log").close()
    (tmp_path / "log" / "log.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(ConfigurationError, match="upgrade onepipe"):
        connect(tmp_path / "log")


def test_a_relative_folder_begins_with_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_transport("memory://./logs/here").close()
    assert (tmp_path / "logs" / "here" / "log.json").exists()


def test_the_registry_of_a_log_on_disk_is_in_its_folder(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log")
    assert transport.default_registry == f"sqlite:///{tmp_path}/log/registry.db"
    transport.close()


@pytest.mark.parametrize("group", ["..", "a/b", ".", "über", "x y"])
def test_any_group_name_is_safe_in_paths(tmp_path: Path, group: str) -> None:
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    append(transport, b"a")
    reader = transport.group_reader(["Widgets"], group)
    reader.poll()
    reader.commit({P0: 1})
    transport.close()
    assert len(list((tmp_path / "log" / "groups").iterdir())) == 1
    assert len(list(tmp_path.rglob("offsets.json"))) == 1


def test_messages_wait_for_a_batch_a_poll_or_a_flush(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log", linger_ms=3_600_000, batch_bytes=50)
    transport.create_topic("Widgets", partitions=1)
    writer, told = transport.writer(), list[Outcome]()
    no_headers: Headers = ()
    message = Outgoing("Widgets", 0, None, bytes(20), no_headers, 0)
    writer.append(message, told.append)
    writer.poll()
    assert told == []
    writer.append(message, told.append)
    writer.append(message, told.append)
    assert [outcome.offset for outcome in told] == [0, 1, 2]
    writer.append(message, told.append)
    writer.poll(0.001)
    assert [outcome.offset for outcome in told] == [0, 1, 2, 3]
    transport.close()


def test_a_callback_that_raises_does_not_take_the_others_outcomes(tmp_path: Path) -> None:
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    writer, told = transport.writer(), list[Outcome]()

    def fail(_: Outcome) -> None:
        raise ZeroDivisionError

    message = Outgoing("Widgets", 0, None, b"", (), 0)
    for callback in (told.append, fail, told.append):
        writer.append(message, callback)
    with pytest.raises(ZeroDivisionError):
        writer.flush()
    assert writer.flush(5)
    assert [outcome.offset for outcome in told] == [0, 2]
    transport.close()
