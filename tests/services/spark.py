"""A Spark cluster of its own: a standalone master and workers of the installed pyspark, each a process of its own.

All are on this machine, but share no memory, no folder and no environment, so that a worker can go down as a machine
does: with its executors, and with what is on its disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from services.service import Missing, free_ports

_READY_SECONDS: Final = 90.0
_JAVA: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Quick to start, which is what takes most of the time here."""
_SETTINGS: Final = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.extraJavaOptions": _JAVA,
    "spark.driver.memory": "512m",
    "spark.executor.cores": "1",
    "spark.executor.extraJavaOptions": _JAVA,
    "spark.executor.memory": "512m",
    "spark.pyspark.driver.python": sys.executable,
    "spark.pyspark.python": sys.executable,
    "spark.shuffle.io.retryWait": "1s",
    "spark.ui.enabled": "false",
}


def spark_home() -> Path:
    """The folder of the installed Spark.

    Raises:
        Missing: pyspark, or Java, is not installed.
    """
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    if shutil.which(java) is None:
        raise Missing("Java is not installed")
    try:
        import pyspark
    except ImportError:
        raise Missing("pyspark is not installed") from None
    return Path(pyspark.__file__).parent


class SparkCluster:
    """A running cluster of workers with one core each.

    Args:
        folder: where its processes write.
        environment: what workers, and so executors, have in their environment beside this process's.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._home = spark_home()
        self._folder = folder
        self._environment = environment
        self._running: list[subprocess.Popen[bytes]] = []
        self._workers: list[tuple[subprocess.Popen[bytes], Path]] = []
        port, self._page = free_ports(2)
        self.master = f"spark://127.0.0.1:{port}"
        self._start("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(self._page))

    def have_workers(self, count: int) -> None:
        """Start workers until there are so many, and wait until the master knows them."""
        self._wait_for(len(self._workers))  # a worker that finds no master tries again only after many seconds
        while len(self._workers) < count:
            folder = Path(tempfile.mkdtemp(prefix="machine-", dir=self._folder))
            (folder / "tmp").mkdir()
            places = {
                "SPARK_LOCAL_DIRS": folder / "local",
                "TMPDIR": folder / "tmp",
                "XDG_CACHE_HOME": folder / "cache",
            }
            given = ["--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0"]
            own = {**self._environment, **{name: str(path) for name, path in places.items()}}
            worker = self._start("worker.Worker", *given, "--work-dir", str(folder), self.master, environment=own)
            self._workers.append((worker, folder))
        self._wait_for(count)

    def kill_worker(self) -> None:
        """Kill a worker and its executors, and take away what they wrote to disk: nothing is closed."""
        process, folder = self._workers.pop(0)
        kill(process)
        shutil.rmtree(folder, ignore_errors=True)

    def submit(
        self, program: Path, *arguments: str, environment: Mapping[str, str], settings: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Run a program by spark-submit, its driver in a process of its own; `kill` ends it at any point.

        Args:
            program: a Python program.
            *arguments: its arguments.
            environment: what the driver has in its environment beside this process's.
            settings: options of spark-submit.
        """
        options = [word for name, value in _SETTINGS.items() for word in ("--conf", f"{name}={value}")]
        return subprocess.Popen(
            [self._home / "bin" / "spark-submit", "--master", self.master, *options, *settings, program, *arguments],
            env={**os.environ, "SPARK_HOME": str(self._home), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Kill all."""
        for process in self._running:
            kill(process)

    def _start(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        command = [self._home / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *arguments]
        daemon = {"SPARK_HOME": str(self._home), "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": _JAVA}
        own = {**os.environ, **daemon, **(environment or {})}
        with (self._folder / "cluster.log").open("ab") as log:
            process = subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True)
        self._running.append(process)
        return process

    def _wait_for(self, workers: int) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while self._alive() != workers:
            if time.monotonic() > deadline or any(worker.poll() is not None for worker, _ in self._workers):
                raise AssertionError(f"Spark did not start: {(self._folder / 'cluster.log').read_text()[-3000:]}")
            time.sleep(0.1)

    def _alive(self) -> int | None:
        """How many workers the master has; None where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._page}/json/", timeout=5) as page:
                return int(json.load(page)["aliveworkers"])
        except OSError:
            return None


@contextlib.contextmanager
def spark_cluster(environment: Mapping[str, str]) -> Iterator[SparkCluster]:
    """A cluster of one's own, running, without workers yet; its folder goes with it.

    Raises:
        Missing: pyspark, or Java, is not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="onepipe-spark-"))
    try:
        cluster = SparkCluster(folder, environment)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a session, and those it started there; wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
