"""What a job notes in its folder, by which one that was killed goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from onepipe.errors import ConfigurationError

_JOB: Final = "job.json"
_PUBLISHED: Final = "published.json"


@attrs.frozen
class Published:
    """What was published.

    Attributes:
        published: records that were acknowledged.
        rejected: by rule, how often it refused a spoiled copy.
    """

    published: int
    rejected: Mapping[str, int]


@attrs.frozen
class Earlier:
    """A job that began in the folder before.

    Attributes:
        topic: name of its topic.
        published: what it had published; None where it did not come to the end of that.
    """

    topic: str
    published: Published | None


class Notes:
    """The notes of one job. Each is written whole, or not at all.

    Args:
        folder: the job's folder.
        figures: what must be the same for a job to be continued, as a JSON object.
    """

    def __init__(self, folder: Path, figures: Mapping[str, Any]) -> None:
        self._folder = folder
        self._figures = dict(figures)

    def earlier(self) -> Earlier | None:
        """The job that began in the folder before; None where it is new or empty.

        Raises:
            ConfigurationError: the folder is not empty, and no job of these figures began in it.
        """
        job = self._folder / _JOB
        if not job.exists():
            if self._folder.exists() and any(path != _unfinished(job) for path in self._folder.iterdir()):
                remedy = "name a new or empty folder: --dir DIR"
                message = f"{self._folder} holds something else, or a job that cannot be continued"
                raise ConfigurationError(message, remedy=remedy)
            return None
        noted = json.loads(job.read_text("utf-8"))
        if {name: value for name, value in noted.items() if name != "topic"} != self._figures:
            raise ConfigurationError(
                f"{self._folder} holds a job of other figures", remedy="name another folder: --dir DIR"
            )
        published = self._folder / _PUBLISHED
        if not published.exists():
            return Earlier(noted["topic"], None)
        return Earlier(noted["topic"], Published(**json.loads(published.read_text("utf-8"))))

    def begin(self, topic: str) -> None:
        """Note that the folder is the job's own, and how its topic is called."""
        _write_whole(self._folder / _JOB, {**self._figures, "topic": topic})

    def end_publishing(self, published: Published) -> None:
        """Note that everything was published."""
        _write_whole(self._folder / _PUBLISHED, attrs.asdict(published))


def _write_whole(path: Path, value: Any) -> None:
    """Write JSON to a file whole, or not at all."""
    unfinished = _unfinished(path)
    unfinished.write_text(json.dumps(value), "utf-8")
    unfinished.replace(path)


def _unfinished(path: Path) -> Path:
    return path.with_suffix(".writing")
