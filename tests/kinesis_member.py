"""A member of a group in a process of its own: writes each message it reads to a file, and commits it.

kinesis_member.py URL TOPIC GROUP FILE        until it is killed
kinesis_member.py URL TOPIC GROUP FILE hold   the same, stopped (SIGSTOP) once, between its third message and the commit

Each line of the file is a message that was handled, or, begun by "refused", one whose commit was refused.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kinesis_world import QUICK

from onepipe.errors import CommitRefused
from onepipe.plugins import open_transport
from onepipe.transport import TopicPartition

_HELD_AT = 3


def start(url: str, topic: str, group: str, path: Path, *words: str) -> subprocess.Popen[bytes]:
    """Run this script."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, __file__, url, topic, group, str(path), *words], env=environment)


def main(url: str, topic: str, group: str, path: str, words: Sequence[str]) -> None:
    transport = open_transport(url, {**QUICK, "session.timeout.ms": "5000"})
    reader = transport.group_reader([topic], group)
    count = 0
    with Path(path).open("a", encoding="utf-8") as handled:

        def note(line: str) -> None:
            handled.write(f"{line}\n")
            handled.flush()

        while True:
            for message in reader.poll(1, 0.2):
                count += 1
                line = f"{message.partition} {message.offset} {(message.value or b'').decode()}"
                note(line)
                if "hold" in words and count == _HELD_AT:
                    os.kill(os.getpid(), signal.SIGSTOP)
                try:
                    reader.commit({TopicPartition(topic, message.partition): message.offset + 1})
                except CommitRefused:  # taken for dead meanwhile: who took over handles it again
                    note(f"refused {line}")


if __name__ == "__main__":
    main(*sys.argv[1:5], sys.argv[5:])
