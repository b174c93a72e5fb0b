"""A Kafka, an S3 store, and a Kinesis if asked for, on this machine, for trying things out; until Ctrl-C.

    python tests/run_services.py [--dir DIR] [--kafka-port N] [--s3-port N] [--kinesis] [--kinesis-port N]

They are started as tests do. Prints, as lines for a shell, the variables by which clients find them and the
demonstration's commands. Whoever reaches the loopback interface can use them. Run again over the same folder, with the
same ports, everything is still there, but for what Kinesis held, which keeps it in memory.

Exit codes: 0 ended as told, 2 a port is somebody else's, 3 what a service needs is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType

from services import kafka, kinesis, s3
from services.service import Missing

BUCKET = "onepipe"
PORT_TAKEN = 2
MISSING = 3


def main() -> int:
    """Run the services until told to end."""
    options = _options()
    folder = Path(options.dir or tempfile.mkdtemp(prefix="onepipe-services-")).absolute()
    ports = [options.kafka_port, options.kafka_port + 1, options.s3_port]
    if options.kinesis:
        ports += [options.kinesis_port, options.kinesis_port + 1]
    taken = [str(port) for port in ports if _listens(port)]
    if taken:
        return _complain(PORT_TAKEN, f"somebody listens on {', '.join(taken)}; choose others: --kafka-port N, …")
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, _end)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as running:
        try:
            broker = _kafka(folder / "kafka", (ports[0], ports[1]), running)
            store = _s3(folder / "s3", ports[2], running)
            streams = _kinesis((ports[3], ports[4]), running) if options.kinesis else None
        except Missing as missing:
            remedy = "docs/how-to/run-the-demo-on-kafka-and-s3.md says what will do instead"
            return _complain(MISSING, f"{missing}; {remedy}")
        running.callback(sys.stderr.write, "ending …\n")
        _say(folder, broker, store, streams)
        signal.pause()
    return 0


def _options() -> argparse.Namespace:
    about = "Run a Kafka, an S3 store, and a Kinesis if asked for, on this machine, until Ctrl-C."
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--dir", metavar="DIR", help="where their data is (default: a new temporary folder)")
    parser.add_argument("--kafka-port", type=int, default=9092, metavar="N", help="9092; its controller's is the next")
    parser.add_argument("--s3-port", type=int, default=7070, metavar="N", help="7070")
    parser.add_argument("--kinesis", action="store_true", help="run a Kinesis, too; needs Node.js and npm")
    parser.add_argument(
        "--kinesis-port", type=int, default=4568, metavar="N", help="4568; its encrypted one is the next"
    )
    return parser.parse_args()


def _kafka(folder: Path, ports: tuple[int, int], running: contextlib.ExitStack) -> kafka.Kafka:
    folder.mkdir(parents=True, exist_ok=True)
    sys.stderr.write("starting Kafka …\n")
    broker = kafka.KafkaProcess(folder, ports=ports)
    running.callback(broker.stop)
    broker.start()
    return broker


def _s3(folder: Path, port: int, running: contextlib.ExitStack) -> s3.S3Store:
    folder.mkdir(parents=True, exist_ok=True)
    sys.stderr.write("starting the S3 store (the first time, it is built: some minutes) …\n")
    store = s3.Versitygw(folder, port)
    running.callback(store.kill)
    store.start()
    (folder / "buckets" / BUCKET).mkdir(exist_ok=True)  # to versitygw, a folder is a bucket
    return store


def _kinesis(ports: tuple[int, int], running: contextlib.ExitStack) -> kinesis.Kinesis:
    sys.stderr.write("starting Kinesis (the first time, it is installed) …\n")
    return running.enter_context(kinesis.kinesis_mock(ports))


def _say(folder: Path, broker: kafka.Kafka, store: s3.S3Store, streams: kinesis.Kinesis | None) -> None:
    variables = {**store.environment, kafka.VARIABLE: broker.address, s3.VARIABLE: store.endpoint}
    logs = [f"kafka+confluent://{broker.address}"]
    if streams is not None:
        variables[kinesis.VARIABLE] = streams.endpoint
        logs.append(streams.url(f"sqlite:///{folder}/positions.db"))
    demos = [shlex.join(["onepipe", "demo", "--transport", log, "--lake", f"s3://{BUCKET}/demo"]) for log in logs]
    lines = [
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        "",
        *demos,
        "",
        f"# data: {folder}; Ctrl-C ends all",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(code: int, message: str) -> int:
    sys.stderr.write(f"run_services.py: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
