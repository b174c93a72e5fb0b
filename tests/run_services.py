"""A Kafka and an S3 store on this machine, for trying things out: started here, as tests do, until Ctrl-C.

    python tests/run_services.py [--dir DIR] [--kafka-port N] [--s3-port N]

Prints, as lines for a shell, the variables by which clients find them and the demonstration's command. Whoever reaches
the loopback interface can use both. Run again over the same folder, with the same ports, everything is still there.
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

from services import kafka, s3
from services.service import Missing

BUCKET = "onepipe"


def main() -> int:
    """Run the services until told to end."""
    options = _options()
    folder = Path(options.dir or tempfile.mkdtemp(prefix="onepipe-services-")).absolute()
    ports = options.kafka_port, options.kafka_port + 1, options.s3_port
    taken = [str(port) for port in ports if _listens(port)]
    if taken:
        return _complain(f"somebody listens on {', '.join(taken)}; choose others: --kafka-port N, --s3-port N")
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, _end)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as running:
        try:
            broker = _kafka(folder / "kafka", (ports[0], ports[1]), running)
            store = _s3(folder / "s3", ports[2], running)
        except Missing as missing:
            return _complain(f"{missing}; docs/how-to/run-the-demo-on-kafka-and-s3.md says what will do instead")
        running.callback(sys.stderr.write, "ending …\n")
        _say(folder, broker, store)
        signal.pause()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a Kafka and an S3 store on this machine, until Ctrl-C.")
    parser.add_argument("--dir", metavar="DIR", help="where their data is (default: a new temporary folder)")
    parser.add_argument("--kafka-port", type=int, default=9092, metavar="N", help="9092; its controller's is the next")
    parser.add_argument("--s3-port", type=int, default=7070, metavar="N", help="7070")
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


def _say(folder: Path, broker: kafka.Kafka, store: s3.S3Store) -> None:
    variables = {**store.environment, kafka.VARIABLE: broker.address, s3.VARIABLE: store.endpoint}
    demo = [
        *("onepipe", "demo", "--transport", f"kafka+confluent://{broker.address}"),
        *("--lake", f"s3://{BUCKET}/demo"),
    ]
    lines = [
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        "",
        shlex.join(demo),
        "",
        f"# data: {folder}; Ctrl-C ends both",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(message: str) -> int:
    sys.stderr.write(f"run_services.py: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
