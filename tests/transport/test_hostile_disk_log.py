"""The log on disk under bad circumstances: damaged small files, foreign files, interrupts amid a write."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from onepipe.errors import ConfigurationError, DeliveryError, TransportError
from onepipe.plugins import open_transport
from onepipe.transport import Outcome, Outgoing, TopicPartition
from onepipe_memory import disk_partition
from onepipe_memory.disk_partition import DiskPartition
from onepipe_memory.files import FileLock
from onepipe_memory.segment import Segment
from onepipe_memory.transport import MemoryTransport

P0 = TopicPartition("Widgets", 0)


def connect(folder: Path, **wanted: Any) -> MemoryTransport:
    transport = open_transport(f"memory://{folder}", wanted)
    assert isinstance(transport, MemoryTransport)
    return transport


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with a topic of one partition, three messages, and a group that committed."""
    transport = connect(tmp_path / "log")
    transport.create_topic("Widgets", partitions=1)
    publish(transport, b"a", b"b", b"c")
    reader = transport.group_reader(["Widgets"], "readers")
    reader.poll(10, 1.0)
    reader.commit({P0: 2})
    transport.close()
    return tmp_path / "log"


def publish(transport: MemoryTransport, *values: bytes) -> list[Outcome]:
    outcomes: list[Outcome] = []
    writer = transport.writer()
    for value in values:
        writer.append(Outgoing("Widgets", 0, None, value, (), 0), outcomes.append)
    assert writer.flush(10)
    writer.close()
    return outcomes


def stored(transport: MemoryTransport) -> list[bytes | None]:
    return [message.value for message in transport.reader([P0]).poll(100, 0.0)]


def use(folder: Path) -> None:
    """Read, join the group, and write."""
    transport = connect(folder)
    try:
        stored(transport)
        transport.group_reader(["Widgets"], "readers").poll(10, 0.0)
        publish(transport, b"d")
    finally:
        transport.close()


DAMAGE = [b"", b"garbage", b"\xff\xfe", b"null", b"[1, 2]", b"{}", b'{"format": "1"}', b"[" * 100_000]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
@pytest.mark.parametrize("name", ["log.json", "topics/*/topic.json", "groups/readers/offsets.json"])
def test_a_damaged_small_file_is_an_error_that_names_it(folder: Path, name: str, damage: bytes) -> None:
    (file,) = folder.glob(name)
    file.write_bytes(damage)
    with pytest.raises(TransportError, match=f"{file.name} does not hold what was written"):
        use(folder)


def test_a_topic_without_its_description_is_an_error_that_names_it(folder: Path) -> None:
    (file,) = folder.glob("topics/*/topic.json")
    file.unlink()
    with pytest.raises(TransportError, match=r"topic Widgets: .* has no topic\.json"):
        use(folder)


@pytest.mark.parametrize("name", ["topics/*/topic.json", "topics/*/0/*.log", "groups/readers/lock", "lock"])
def test_a_folder_in_place_of_a_file_is_a_transport_error(folder: Path, name: str) -> None:
    (file,) = folder.glob(name)
    file.unlink()
    file.mkdir()
    with pytest.raises(TransportError):
        use(folder)


def test_a_topic_that_cannot_be_created_is_a_transport_error(folder: Path) -> None:
    (folder / "staging").rmdir()
    (folder / "staging").write_bytes(b"")
    transport = connect(folder)
    with pytest.raises(TransportError, match="topic Gadgets: the topic cannot be created"):
        transport.create_topic("Gadgets", partitions=1)
    transport.close()


@pytest.mark.parametrize("name", ["notes.log", "-5.log", "9" * 30 + ".log", "copy of 00000000000000000000.log"])
def test_foreign_files_beside_segments_are_left_alone(folder: Path, name: str) -> None:
    (partition,) = folder.glob("topics/*/0")
    (partition / name).write_bytes(b"foreign")
    transport = connect(folder)
    assert stored(transport) == [b"a", b"b", b"c"]
    transport.close()
    assert (partition / name).read_bytes() == b"foreign"


def test_a_lock_file_with_odd_bytes_still_says_that_another_process_writes(folder: Path) -> None:
    transport = connect(folder)
    publish(transport, b"d")
    (folder / "lock").write_bytes(b"\xff")
    with pytest.raises(TransportError, match="another process"):
        FileLock(folder / "lock").hold("writes to this log")
    transport.close()


def test_a_group_named_by_no_text_is_refused(folder: Path) -> None:
    transport = connect(folder)
    with pytest.raises(ConfigurationError, match="surrogate"):
        transport.group_reader(["Widgets"], "\ud800")
    transport.close()


# what cannot be written, and interrupts


@pytest.mark.parametrize(
    "odd", [{"timestamp": 1 << 70}, {"timestamp": "now"}, {"headers": (("\ud800", b""),)}], ids=["far", "text", "name"]
)
def test_a_message_of_another_form_has_an_outcome_and_flush_comes_back(folder: Path, odd: dict[str, Any]) -> None:
    transport = connect(folder)
    writer = transport.writer()
    outcomes: list[Outcome] = []
    writer.append(Outgoing("Widgets", 0, None, b"d", (), 0)._replace(**odd), outcomes.append)
    assert writer.flush(10)
    (outcome,) = outcomes
    assert isinstance(outcome.error, DeliveryError)
    assert not outcome.error.indeterminate
    writer.close()
    publish(transport, b"e")
    assert stored(transport) == [b"a", b"b", b"c", b"e"]
    transport.close()


class Interrupted:
    """A function that is interrupted once: before it did its work, after half of it, or after all of it."""

    def __init__(self, function: Any, when: str) -> None:
        self.function = function
        self.when = when
        self.done = False

    def __call__(self, *arguments: Any) -> Any:
        if self.done:
            return self.function(*arguments)
        self.done = True
        if self.when == "half":
            file, data = arguments
            self.function(file, data[: len(data) // 2])
        if self.when == "after":
            self.function(*arguments)
        raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_an_interrupt_amid_a_write_leaves_the_log_whole_and_every_message_an_outcome(
    folder: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(disk_partition, "_write_all", Interrupted(disk_partition._write_all, when))
    transport = connect(folder)
    writer = transport.writer()
    outcomes: list[Outcome] = []
    for value in (b"d", b"e"):
        writer.append(Outgoing("Widgets", 0, None, value, (), 0), outcomes.append)
    with pytest.raises(KeyboardInterrupt):
        writer.flush(10)
    assert writer.flush(10)
    assert [getattr(outcome.error, "indeterminate", None) for outcome in outcomes] == [True, True]
    writer.append(Outgoing("Widgets", 0, None, b"f", (), 0), outcomes.append)
    assert writer.flush(10)
    interrupted = [b"d", b"e"] if when == "after" else []
    assert stored(transport) == [b"a", b"b", b"c", *interrupted, b"f"]
    assert outcomes[-1].offset == 3 + len(interrupted)
    transport.close()
    assert stored(connect(folder)) == [b"a", b"b", b"c", *interrupted, b"f"]


def test_an_interrupt_before_a_batch_is_noted_hides_nothing_from_readers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segment, "note", _once_interrupted(Segment.note))
    transport = connect(folder)
    writer = transport.writer()
    partition = transport._log.partition(P0)
    assert isinstance(partition, DiskPartition)
    partition.open_for_append()
    with pytest.raises(KeyboardInterrupt):
        partition.append([Outgoing("Widgets", 0, None, b"d", (), 0)])
    assert stored(transport) == [b"a", b"b", b"c", b"d"]
    writer.close()
    transport.close()


def _once_interrupted(function: Any) -> Any:
    """A method that is interrupted half way when it notes the fourth message."""

    def interrupted(self: Segment, header: Any) -> None:
        if header.first == 3 and not seen:
            seen.append(header)
            self._offsets.append(header.first)
            raise KeyboardInterrupt
        function(self, header)

    seen: list[Any] = []
    return interrupted


def test_an_outcome_whose_telling_was_interrupted_is_told_again(folder: Path) -> None:
    transport = connect(folder)
    writer = transport.writer()
    told: list[int | None] = []

    def tell(outcome: Outcome) -> None:
        told.append(outcome.offset)
        if len(told) == 1:
            raise KeyboardInterrupt

    for value in (b"d", b"e"):
        writer.append(Outgoing("Widgets", 0, None, value, (), 0), tell)
    with pytest.raises(KeyboardInterrupt):
        writer.flush(10)
    assert writer.flush(10)
    assert told == [3, 3, 4]
    transport.close()


def test_a_disk_that_is_full_fails_the_message_and_takes_the_next_once_there_is_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, data: bytes) -> None:
        file.write(data[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    transport = connect(folder)
    with monkeypatch.context() as patch:
        patch.setattr(disk_partition, "_write_all", full)
        (outcome,) = publish(transport, b"d")
    assert isinstance(outcome.error, DeliveryError)
    assert not outcome.error.indeterminate
    publish(transport, b"e")
    assert stored(transport) == [b"a", b"b", b"c", b"e"]
    transport.close()


# URLs


@pytest.mark.parametrize("url", ["memory://[", "memory://[::1", "memory://u:s3cret@[x/y"])
def test_a_url_out_of_form_is_an_error_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_transport(url)
    assert "s3cret" not in str(caught.value)


def test_a_folder_that_no_path_names_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for path in ("/%00", "/\ud800", f"{tmp_path}/circle/log"):
        with pytest.raises((ConfigurationError, TransportError)):
            open_transport(f"memory://{path}")


def test_a_setting_that_is_not_named_by_text_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="text"):
        open_transport("memory://", {5: 1})  # type: ignore[dict-item]  # what is tested
