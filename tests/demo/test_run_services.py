"""The command that runs services for developers: they are found as it says, end with it, and keep what they hold."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path

import pytest
import run_services
from services.service import Missing, free_ports, start_own

from onepipe.lake.storage import open_storage
from onepipe.plugins import open_transport

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.kinesis, pytest.mark.s3]


def start(folder: Path, ports: Sequence[int]) -> tuple[subprocess.Popen[str], list[str]]:
    """Run the command; the process, and what it said until its services were there.

    Raises:
        Missing: what a service needs is not installed.
        PortTaken: somebody else was given a port meanwhile.
    """
    words = zip(("--kafka-port", "--s3-port", "--kinesis-port"), map(str, ports), strict=True)
    process = subprocess.Popen(
        [sys.executable, run_services.__file__, "--dir", str(folder), "--kinesis", *chain.from_iterable(words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if "Ctrl-C" in line:
            return process, said
    _, complaint = process.communicate()
    if process.returncode == run_services.MISSING:
        raise Missing(complaint.strip())
    if process.returncode == run_services.PORT_TAKEN:
        raise PortTaken
    raise AssertionError(f"it ended with {process.returncode}: {complaint.strip() or 'it said nothing'}")


class PortTaken(Exception):
    """Somebody else was given a port that was free when it was chosen."""


@contextmanager
def running(folder: Path, ports: Sequence[int], end: signal.Signals) -> Iterator[list[str]]:
    process, said = start_own("services", lambda: start(folder, ports))
    try:
        yield said
    finally:
        process.send_signal(end)
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_services_are_found_as_they_say_and_keep_what_they_hold(tmp_path, monkeypatch):
    for _ in range(5):
        try:
            return see_that_services_are_kept(tmp_path, some_ports(), monkeypatch)
        except PortTaken:
            continue
    raise AssertionError("others took the ports, time and again")


def see_that_services_are_kept(folder, ports, monkeypatch):
    for end in (signal.SIGINT, signal.SIGTERM):
        with running(folder, ports, end) as said:
            for line in said:
                if line.startswith("export "):
                    monkeypatch.setenv(*shlex.split(line)[1].split("=", 1))
            kafka, kinesis = (option_values(line) for line in said if line.startswith("onepipe demo"))
            transport, storage = open_transport(kafka["--transport"]), open_storage(kafka["--lake"])
            if end is signal.SIGINT:
                transport.create_topic("kept", partitions=3)
                storage.write_new("kept/note", b"here")
            assert transport.describe_topic("kept").partitions == 3
            assert storage.read("kept/note") == b"here"
            transport.close()
            streams = open_transport(kinesis["--transport"])
            assert streams.topics() == []
            assert streams.create_topic("gone", partitions=2).partitions == 2
            streams.close()
        assert not any(map(listens, ports))


def option_values(line):
    """The words of a command, each with the one behind it."""
    return dict(pairwise(shlex.split(line)))


def test_ports_that_somebody_has_are_said_and_nothing_is_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, run_services.__file__, "--dir", str(tmp_path), "--s3-port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == run_services.PORT_TAKEN
    assert str(port) in done.stderr
    assert not list(tmp_path.iterdir())


def some_ports() -> tuple[int, int, int]:
    """Three free ports, of which the first and the last have a free one next to them, as those services take two."""
    while True:
        ports = kafka, s3, kinesis = free_ports(3)
        taken = {*ports, kafka + 1, kinesis + 1}
        if len(taken) == 5 and not any(map(listens, taken)):
            return kafka, s3, kinesis
