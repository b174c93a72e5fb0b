"""A real S3 store: the one that ONEPIPE_TEST_S3 names, else versitygw over a local folder, built here with Go.

The fixture `s3` is the session's shared store. A test that kills one starts its own with `versitygw_process`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from services.service import Missing, cache_folder, find_or_start, free_ports, require_command, wait_until_listening

VARIABLE: Final = "ONEPIPE_TEST_S3"
VERSION: Final = "v1.8.0"
REGION: Final = "us-east-1"

_READY_SECONDS: Final = 120.0


class S3Store:
    """A running store.

    Attributes:
        endpoint: its URL.
        access_key: of a user who may do everything.
        secret_key: of the same.
    """

    def __init__(self, endpoint: str, access_key: str, secret_key: str) -> None:
        self.endpoint = endpoint
        self.access_key = access_key
        self.secret_key = secret_key

    @property
    def environment(self) -> Mapping[str, str]:
        """AWS's variables by which a client finds the store."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self) -> Any:
        """A client of boto3's own."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
        )

    def new_bucket(self) -> str:
        """Make a bucket; its name."""
        name = f"onepipe-{uuid.uuid4().hex[:16]}"
        self.client().create_bucket(Bucket=name)
        return name


class Versitygw(S3Store):
    """A store over a local folder that outlives its process.

    Attributes:
        folder: its buckets are below `folder/buckets`.
        process: the process, once started.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """Prepare a store; `start` runs it.

        Args:
            folder: an empty folder, or that of an earlier store, whose data goes on.
            port: where it listens; a free one where None.

        Raises:
            Missing: the program is not there, and cannot be built.
        """
        self._program = _program()
        self._port = port or free_ports(1)[0]
        super().__init__(f"http://127.0.0.1:{self._port}", "onepipe-access", "onepipe-secret-of-the-tests")
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "buckets").mkdir(exist_ok=True)

    def start(self) -> None:
        """Run the store on its folder, and wait until it answers."""
        address = f"127.0.0.1:{self._port}"
        keys = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        command = [str(self._program), "--quiet", "--region", REGION, "--port", address, "posix"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "buckets")], stdout=log, stderr=log, env={**os.environ, **keys}
            )
        if not wait_until_listening(self._port, _READY_SECONDS, lambda: self._running):
            self.kill()
            raise AssertionError(f"versitygw did not start: {(self.folder / 'server.log').read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill the store: nothing is closed."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def _running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@contextlib.contextmanager
def versitygw_process() -> Iterator[Versitygw]:
    """A store of one's own, running; its folder goes with it.

    Raises:
        Missing: the program is not there, and cannot be built.
    """
    folder = Path(tempfile.mkdtemp(prefix="onepipe-s3-"))
    try:
        own = Versitygw(folder)
        own.start()
        try:
            yield own
        finally:
            own.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Store]:
    """The session's store."""
    with contextlib.ExitStack() as stack:
        yield find_or_start("S3 store", VARIABLE, lambda: stack.enter_context(versitygw_process()), _named)


def _named(endpoint: str) -> S3Store:
    keys = [os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    if None in keys:
        pytest.fail(f"{VARIABLE} names a store; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say who may use it")
    return S3Store(endpoint, *map(str, keys))


def _program() -> Path:
    """Where versitygw is, built at first use.

    Raises:
        Missing: it is not there, and Go cannot build it.
    """
    folder = cache_folder(f"versitygw-{VERSION}")
    if not (folder / "versitygw").exists():
        go = require_command("go", "Go")
        folder.mkdir(parents=True, exist_ok=True)
        built = Path(tempfile.mkdtemp(prefix="build-", dir=folder))
        try:
            done = subprocess.run(
                [go, "install", f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"],
                env={**os.environ, "GOBIN": str(built)},
                capture_output=True,
                check=False,
            )
            if done.returncode:
                raise Missing(f"Go could not build versitygw: {done.stderr.decode()[-500:]}")
            (built / "versitygw").replace(folder / "versitygw")
        finally:
            shutil.rmtree(built, ignore_errors=True)
    return folder / "versitygw"
