"""The peak memory of a step, measured in a process of its own: `python -m benchmarks.peak STEP URL LAKE TOPIC`."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import onepipe as op


def peak_of(step: str, url: str, lake: str, topic: str) -> int:
    """Run a step in a process of its own; the most bytes that were resident in memory."""
    command = [sys.executable, "-m", "benchmarks.peak", step, url, lake, topic]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode:
        raise RuntimeError(f"{step} failed in its own process:\n{done.stderr}")
    return int(done.stdout)


def own_peak() -> int:
    """The most bytes of this process that were resident.

    On Linux not by `getrusage`, whose figure begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(step: str, url: str, lake: str, topic: str) -> None:
    """Run a step, and print the peak in bytes."""
    with op.connect(url, lake=lake) as pipe:
        match step:
            case "archive":
                pipe.archive(topic)
            case "rebuild":
                pipe.dedup(pipe.lake.topic(topic), rebuild=True)
            case "dedup":
                pipe.dedup(pipe.lake.topic(topic))
            case "verify":
                pipe.verify(pipe.lake.topic(topic))
            case _:
                raise ValueError(step)
    print(own_peak())


if __name__ == "__main__":
    main(*sys.argv[1:])
