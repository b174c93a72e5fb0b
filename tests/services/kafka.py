"""A real Kafka: the broker that ONEPIPE_TEST_KAFKA names, else one started here (Java, and Maven for its jars).

The fixture `kafka` is the session's shared broker. A test that kills or configures one starts its own with
`KafkaProcess`. Java's console tools come along, as independent writers and readers.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from services import maven
from services.service import find_or_start, free_ports, require_command, wait_until_listening

VARIABLE: Final = "ONEPIPE_TEST_KAFKA"
VERSION: Final = "4.0.0"

_TOOLS: Final = {
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls": "kafka.admin.AclCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
}
_JARS: Final = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    f"org.apache.kafka:kafka-tools:{VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)
_LOGGING: Final = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
_QUICK: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_READY_SECONDS: Final = 60.0
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Kafka:
    """A running Kafka.

    Attributes:
        address: where its clients bootstrap: `host:port[,host:port]`.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def tool(self, name: str, *arguments: str, stdin: bytes = b"", seconds: float = 60.0) -> bytes:
        """Run one of Kafka's console tools against this Kafka; what it printed.

        Args:
            name: as its script is called, "kafka-console-consumer".
            *arguments: further ones than `--bootstrap-server`.
            stdin: what the tool reads.
            seconds: it is killed after this time.
        """
        command = [*_java("-Xmx256m"), _TOOLS[name], "--bootstrap-server", self.address, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr.decode()[-2000:]}"
        return done.stdout

    def stop(self) -> None:
        """Nothing: a Kafka that was found goes on."""


class KafkaProcess(Kafka):
    """A broker and its controller in one process, with a data folder that outlives it.

    Attributes:
        folder: its data, settings and log (`server.log`).
        process: the process, once started.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] = _NOTHING,
        ports: tuple[int, int] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Prepare a broker; `start` runs it.

        Args:
            folder: an empty folder, or that of an earlier broker, whose data goes on.
            settings: further settings of the server; `{port}` and `{controller}` in them are replaced.
            ports: for clients, and for the controller; free ones where None.
            options: further ones of its Java.

        Raises:
            Missing: Java, or what fetches the jars, is not there.
        """
        port, controller = ports or free_ports(2)
        super().__init__(f"127.0.0.1:{port}")
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._port = port
        self._options = options
        self._settings = folder / "server.properties"
        lines = {**_server(folder / "data", port, controller), **settings}
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        self._settings.write_text(text.replace("{port}", str(port)).replace("{controller}", str(controller)))
        storage = [*_java("-Xmx256m"), "kafka.tools.StorageTool", "format", "-c", str(self._settings)]
        if not (folder / "data" / "meta.properties").exists():
            identity = urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
            subprocess.run([*storage, "-t", identity], capture_output=True, check=True)

    def start(self) -> None:
        """Run the broker on its data folder, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            command = [*_java("-Xmx1g", *self._options), "kafka.Kafka", str(self._settings)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        if not wait_until_listening(self._port, _READY_SECONDS, lambda: self._running):
            self.kill()
            raise AssertionError(f"Kafka did not start: {(self.folder / 'server.log').read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill the broker as a power failure of its process would: nothing is flushed or closed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End the broker in order."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15.0)
            self.kill()

    @property
    def _running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@contextlib.contextmanager
def kafka_process(settings: Mapping[str, str] = _NOTHING, options: Sequence[str] = ()) -> Iterator[KafkaProcess]:
    """A broker of one's own, running; its folder goes with it.

    Args:
        settings: further settings of the server.
        options: further ones of its Java.

    Raises:
        Missing: Java, or what fetches the jars, is not there.
    """
    folder = Path(tempfile.mkdtemp(prefix="onepipe-kafka-"))
    try:
        own = KafkaProcess(folder, settings, options=options)
        own.start()
        try:
            yield own
        finally:
            own.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The session's Kafka."""
    with contextlib.ExitStack() as stack:
        yield find_or_start("Kafka", VARIABLE, lambda: stack.enter_context(kafka_process()), Kafka)


def _server(data: Path, port: int, controller: int) -> dict[str, str]:
    """Settings of a broker for tests: one process, replication 1, no waiting; all else as Kafka's defaults are."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        "log.initial.task.delay.ms": "1000",  # what a test leaves to retention is gone in each run, or in none
        "log.retention.check.interval.ms": "1000",
        "num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "2",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "broker.heartbeat.interval.ms": "300",
        "broker.session.timeout.ms": "1500",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
    }


def _java(*options: str) -> Sequence[str]:
    jars = maven.jars(f"kafka-{VERSION}", _JARS)
    return [require_command("java", "a JRE, 17 or later"), *_QUICK, *options, *_LOGGING, "-cp", f"{jars}/*"]
