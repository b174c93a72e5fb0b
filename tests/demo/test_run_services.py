"""The command that runs services for developers: they are found as it says, end with it, and keep what they hold."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import run_services
from services.service import Missing, free_ports, start_own

from onepipe.lake.storage import open_storage
from onepipe.plugins import open_transport

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.s3]


def start(folder: Path, kafka_port: int, s3_port: int) -> tuple[subprocess.Popen[str], list[str]]:
    """Run the command; the process, and what it said until its services were there."""
    ports = ["--kafka-port", str(kafka_port), "--s3-port", str(s3_port)]
    process = subprocess.Popen(
        [sys.executable, run_services.__file__, "--dir", str(folder), *ports],
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
    raise Missing(complaint.strip() or f"it ended with {process.returncode} and said nothing")


@contextmanager
def running(folder: Path, ports: tuple[int, int], end: signal.Signals) -> Iterator[list[str]]:
    process, said = start_own("services", lambda: start(folder, *ports))
    try:
        yield said
    finally:
        process.send_signal(end)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_services_are_found_as_they_say_and_keep_what_they_hold(tmp_path, monkeypatch):
    kafka_port, _, s3_port = ports_in_a_row()
    for end in (signal.SIGINT, signal.SIGTERM):
        with running(tmp_path, (kafka_port, s3_port), end) as said:
            for line in said:
                if line.startswith("export "):
                    monkeypatch.setenv(*shlex.split(line)[1].split("=", 1))
            words = dict(zip(shlex.split(said[-3]), shlex.split(said[-3])[1:], strict=False))
            transport, storage = open_transport(words["--transport"]), open_storage(words["--lake"])
            if end is signal.SIGINT:
                transport.create_topic("kept", partitions=3)
                storage.write_new("kept/note", b"here")
            assert transport.describe_topic("kept").partitions == 3
            assert storage.read("kept/note") == b"here"
            transport.close()
        assert not listens(kafka_port)
        assert not listens(s3_port)


def test_ports_that_somebody_has_are_said_and_nothing_is_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, run_services.__file__, "--dir", str(tmp_path), "--s3-port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert not list(tmp_path.iterdir())


def ports_in_a_row() -> tuple[int, int, int]:
    """A free port whose next one is free too, as the broker takes both, and another."""
    while True:
        port, other = free_ports(2)
        if not listens(port + 1) and port + 1 != other:
            return port, port + 1, other
