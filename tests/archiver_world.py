"""Archives as a group over processes that tests kill, stop and add to, between a log and a lake; and the final count.

The count shares no code with onepipe: the log is read by its own client, the lake's table by deltalake, and what either
holds is compared message by message. Each test says its counts in one line (`pytest -rP`) and as properties of its
report. ONEPIPE_TEST_ROUNDS says how often each fault is made; a long run needs `--timeout=0`, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import archiver_process
import attrs
import deltalake
from archiver_process import Places
from raw_messages import values

import onepipe as op
from onepipe.declaring.topic import Topic
from onepipe.lake.archive import app_id

ROUNDS: Final = "ONEPIPE_TEST_ROUNDS"
PATIENCE: Final = 150.0

Logged: TypeAlias = tuple[int, int | None, bytes, bytes]
"""A message that the log holds: its partition, its offset where the log has such, its key and its value."""


def rounds(default: int) -> range:
    """How often to make a fault: as often as the environment says, else `default` times."""
    return range(int(os.environ.get(ROUNDS, default)))


@attrs.define
class ArchiverWorld:
    """A topic in a log, a lake, and the archivers between them.

    Attributes:
        places: where all of that is.
        topic: the topic, registered.
        published: messages that were published so far.
        running: the archivers.
        refused: commits that archivers which ended in order were refused.
    """

    places: Places
    topic: Topic
    published: int = 0
    running: list[subprocess.Popen[str]] = attrs.field(factory=list)
    refused: int = 0

    @property
    @abstractmethod
    def title(self) -> str:
        """What the log is called in the line of counts."""

    @abstractmethod
    def messages(self) -> list[Logged]:
        """Every message that the log holds, as a client of its own reads it."""

    def connect(self) -> op.Pipeline:
        return self.places.connect()

    def publish(self, count: int) -> None:
        with self.connect() as pipe, pipe.producer() as producer:
            for number in range(self.published, self.published + count):
                producer.publish(values(number), topic=self.topic)
        self.published += count

    def start(self, count: int = 1, *words: str) -> None:
        """Run more archivers, and wait until they are connected."""
        started = [archiver_process.start(self.topic.name, self.places, *words) for _ in range(count)]
        self.running += started
        for process in started:
            assert process.stdout.readline() == "ready\n", process.communicate()[1]

    def start_zombie(self) -> subprocess.Popen[str]:
        """Run one more archiver, and publish until it is stopped as it is about to commit rows; it is not `running`."""
        self.start(1, "hold")
        zombie = self.running.pop()
        deadline = time.monotonic() + PATIENCE
        while not os.waitpid(zombie.pid, os.WNOHANG | os.WUNTRACED)[0]:
            assert time.monotonic() < deadline, "it was given no partitions"
            self.publish(60)
        return zombie

    def revive(self, zombie: subprocess.Popen[str]) -> None:
        """Let a stopped archiver go on, as the archiver that runs longest."""
        zombie.send_signal(signal.SIGCONT)
        self.running.insert(0, zombie)

    def await_progress(self, done: Callable[[int], bool]) -> None:
        """Wait until the lake holds enough of the log's messages, which someone archives meanwhile."""
        deadline = time.monotonic() + PATIENCE
        with self.connect() as pipe:
            while True:
                description = pipe.transport.describe_topic(self.topic.name)
                names = [app_id(description.log, number) for number in range(description.partitions)]
                table = pipe.lake.raw(self.topic.name)
                progress = table.progress(names) if table else {}
                if done(sum(offset or 0 for offset in progress.values())):
                    return
                self.check_running()
                assert time.monotonic() < deadline, f"{progress}\n{self._stuck()}"
                time.sleep(0.1)

    def _stuck(self) -> str:
        """How much the log holds, and where each archiver stands; it ends them."""
        said = [f"the log holds {len(self.messages())} messages"]
        for process in self.running:
            process.send_signal(signal.SIGUSR1)
            time.sleep(1.0)
            process.kill()
            said.append(process.communicate()[1])
        self.running = []
        return "\n".join(said)

    def await_all(self) -> None:
        """Wait until the lake holds what was published."""
        self.await_progress(lambda done: done >= self.published)

    def check_running(self) -> None:
        for process in self.running:
            assert process.poll() is None, process.stderr.read()

    def kill(self) -> None:
        """Kill the archiver that runs longest."""
        killed = self.running.pop(0)
        killed.kill()
        killed.communicate()

    def end(self, count: int | None = None) -> None:
        """Stop archivers in order, those that run longest first: all where None."""
        ending = self.running[:count]
        for process in ending:
            process.send_signal(signal.SIGTERM)
        for process in ending:
            said, complaint = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, complaint
            self.refused += json.loads(said)["conflicts"]
        self.running = self.running[len(ending) :]

    def check(self, fault: str, survived: int, record_property: Callable[[str, object], None]) -> None:
        """The lake equals the log: by the pipeline's verdict, and by a count of its own; says the counts."""
        with self.connect() as pipe:
            pipe.archive(self.topic)
            pipe.dedup(self.topic)
            verdict = pipe.verify(self.topic)
        rows, logged = self._rows(), Counter(self.messages())
        twice = len(rows) - len({(partition, offset) for partition, offset, _, _ in rows})
        if all(offset is None for _, offset, _, _ in logged):
            rows = [(partition, None, key, body) for partition, _, key, body in rows]
        lost, repeated = (logged - Counter(rows)).total(), (Counter(rows) - logged).total()
        counts: dict[str, Any] = {"survived": survived, "checked": logged.total(), "lost": lost, "repeated": repeated}
        for name, count in counts.items():
            record_property(name, count)
        print(  # noqa: T201 - what these tests are for
            f"{self.title}: {fault} survived {survived} times, {self.refused} late commits refused, "
            f"{logged.total()} records checked, lost {lost}, repeated {repeated}"
        )
        assert (lost, repeated, twice) == (0, 0, 0)
        assert len(logged) == self.published
        assert verdict.state.value == "balanced", str(verdict)

    def _rows(self) -> list[Logged]:
        """The rows of the raw table."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "")
        options = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"} if self.places.lake.startswith("s3:") else {}
        table = deltalake.DeltaTable(f"{self.places.lake}/raw/{self.topic.name}", storage_options=options)
        columns = [f"_op_{name}" for name in ("partition", "offset", "key", "body")]
        found = table.to_pyarrow_table(columns=columns)
        return list(zip(*(found[name].to_pylist() for name in columns), strict=True))

    def abandon(self) -> None:
        """Kill what still runs."""
        while self.running:
            self.kill()
