"""A real Kinesis: the one that ONEPIPE_TEST_KINESIS names, else kinesis-mock, installed here with npm.

The fixture `kinesis` is the session's shared service; `dynamodb` is a DynamoDB, which moto's server gives.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from services.service import Missing, cache_folder, find_or_start, free_ports, require_command, wait_until_listening

VARIABLE: Final = "ONEPIPE_TEST_KINESIS"
VERSION: Final = "0.6.2"
REGION: Final = "us-east-1"
ENVIRONMENT: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": "onepipe-access",
    "AWS_SECRET_ACCESS_KEY": "onepipe-secret-of-the-tests",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""AWS's variables with which clients sign; the services here take any."""

_READY_SECONDS: Final = 120.0
_QUICK: Final = {
    f"{what}_DURATION": "5ms"
    for what in ("CREATE_STREAM", "DELETE_STREAM", "MERGE_SHARDS", "SPLIT_SHARD", "UPDATE_SHARD_COUNT")
}


class Kinesis:
    """A running Kinesis.

    Attributes:
        endpoint: its URL.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def url(self, positions: str, **settings: str) -> str:
        """The URL of a transport; `positions` is the URL of a database, or "dynamodb"."""
        query = {"endpoint": self.endpoint, "positions": positions, **settings}
        return f"kinesis://{REGION}?{'&'.join(f'{name}={value}' for name, value in query.items())}"

    def client(self) -> Any:
        """A client of boto3's own."""
        import boto3

        return boto3.client(
            "kinesis",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        )


@contextlib.contextmanager
def process(
    name: str, port: int, command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a port of the loopback interface, running; it is stopped behind the block."""
    folder = Path(tempfile.mkdtemp(prefix=f"onepipe-{name}-"))
    try:
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **(environment or {})}, stdout=log, stderr=log
            )
        try:
            if not wait_until_listening(port, _READY_SECONDS, lambda: server.poll() is None):
                raise AssertionError(f"{name} did not start: {(folder / 'server.log').read_text()[-3000:]}")
            yield server
        finally:
            server.kill()
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def kinesis_mock(ports: tuple[int, int] | None = None) -> Iterator[Kinesis]:
    """A kinesis-mock of one's own, running; what it holds ends with it.

    Args:
        ports: for plain and for encrypted requests; free ones where None.

    Raises:
        Missing: Node, or what installs the package, is not there.
    """
    node, package = require_command("node", "Node.js, 20 or later"), _package()
    plain, encrypted = ports or free_ports(2)
    environment = {
        **_QUICK,
        "KINESIS_MOCK_PLAIN_PORT": str(plain),
        "KINESIS_MOCK_TLS_PORT": str(encrypted),
        "SHARD_LIMIT": "100000",
        "LOG_LEVEL": "ERROR",
    }
    with process("kinesis-mock", plain, [node, "main.js"], package, environment):
        yield Kinesis(f"http://127.0.0.1:{plain}")


@contextlib.contextmanager
def moto_dynamodb() -> Iterator[str]:
    """A DynamoDB of one's own, running: its URL."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process("moto", port, command, Path.cwd()):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def kinesis() -> Iterator[Kinesis]:
    """The session's Kinesis."""
    with contextlib.ExitStack() as stack:
        yield find_or_start("Kinesis", VARIABLE, lambda: stack.enter_context(kinesis_mock()), Kinesis)


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[str]:
    """URL of the session's DynamoDB."""
    with moto_dynamodb() as url:
        yield url


def _package() -> Path:
    """The folder of kinesis-mock, installed at first use.

    Raises:
        Missing: it is not there, and npm cannot install it.
    """
    folder = cache_folder(f"kinesis-local-{VERSION}")
    if not folder.exists():
        npm = require_command("npm", "npm")
        folder.parent.mkdir(parents=True, exist_ok=True)
        fetched = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        try:
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(fetched), f"kinesis-local@{VERSION}"]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                raise Missing(f"npm could not install kinesis-local: {done.stderr.decode()[-500:]}")
            with contextlib.suppress(OSError):  # another run was faster
                os.rename(fetched / "node_modules" / "kinesis-local", folder)  # noqa: PTH104 - must fail where it exists
        finally:
            shutil.rmtree(fetched, ignore_errors=True)
    return folder
