"""A member of a group in a process of its own: commits each message it reads, and writes it to a file.

Arguments: the transport's URL, the topic, the group, the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kinesis_world import QUICK

from onepipe.plugins import open_transport
from onepipe.transport import TopicPartition


def main(url: str, topic: str, group: str, path: str) -> None:
    transport = open_transport(url, {**QUICK, "session.timeout.ms": "8000"})
    reader = transport.group_reader([topic], group)
    with Path(path).open("a", encoding="utf-8") as handled:
        while True:
            for message in reader.poll(1, 0.2):
                handled.write(f"{message.partition} {message.offset} {(message.value or b'').decode()}\n")
                handled.flush()
                reader.commit({TopicPartition(topic, message.partition): message.offset + 1})


if __name__ == "__main__":
    main(*sys.argv[1:])
