"""Type checkers see what a pipeline takes and gives: records of a class as instances, those of a name as dicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from type_checkers import CHECKERS, assert_checked_as_marked

USER = """\
from __future__ import annotations

import datetime as dt
from typing import Any

import onepipe as op


@op.record(topic="Widgets")
class Widget:
    sid: str


class Widgets:
    def write(self, batch: op.SinkBatch[Widget]) -> None: ...


class Dicts:
    def write(self, batch: op.SinkBatch[dict[str, Any]]) -> None: ...


pipe = op.connect("memory://")
now = dt.datetime.now(dt.timezone.utc)
reveal_type(pipe.consumer("Widgets"))  # R: Consumer[dict[str, Any]]
reveal_type(pipe.consumer(Widget))  # R: Consumer[Widget]
for widget in pipe.consumer(Widget, group="g", start=now, until="end", auto_commit=False).records():
    reveal_type(widget.sid)  # R: str
pipe.consumer("Widgets", Widget.__name__, start=op.Start.LATEST, resolve=False, on_undecodable="yield")
pipe.consumer(Widget, gruop="g")  # E: overload
pipe.consumer(Widget, until="ends")  # E: overload
pipe.consumer("Widgets", group=7)  # E: overload
reveal_type(pipe.sink(Widget, Widgets(), name="w", max_batch=10))  # R: dict[int, int]
pipe.sink("Widgets", Dicts(), until="stopped", on_undecodable=lambda message, error: None)
pipe.sink("Widgets", "by-name", settings={"table": "widgets"})
pipe.sink(Widget, Dicts())  # E: mismatch
pipe.sink(Widget, Widgets(), max_batsch=10)  # E: overload
pipe.sink("Widgets", Dicts(), name=b"w")  # E: overload
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", CHECKERS)
def test_a_type_checker_finds_what_is_wrong_and_nothing_else(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert_checked_as_marked(USER, command, tmp_path)
