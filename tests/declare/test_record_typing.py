"""Type checkers see records as what they are: constructor arguments, frozen fields, types of defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from type_checkers import CHECKERS, assert_checked_as_marked

USER = """\
from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from onepipe.declaring import vocabulary as op


@op.record(topic="Widgets", merge=op.latest("updated"), checks={"c": "updated >= created"})
class Widget:
    sid: str = op.field(identity=True)
    created: dt.datetime
    updated: dt.datetime
    price: Annotated[Decimal, op.decimal(12, 2)] | None = op.field(default=None, ge=0)
    tags: list[str] = op.field(factory=list)
    count: int = op.field(default="none")  # E: incompatible
    names: list[str] = op.field(factory=dict)  # E: incompatible


@op.record
class Part:
    number: int = 0


@op.record(frozen=False, kw_only=False)
class Loose:
    number: int


now = dt.datetime.now(dt.timezone.utc)
widget = Widget(sid="W1", created=now, updated=now)
reveal_type(widget.price)  # R: Decimal | None
Widget(sid="W1", created=now)  # E: Missing
Widget(sid=1, created=now, updated=now)  # E: incompatible
Widget(sid="W1", created=now, updated=now, sidd="W1")  # E: Unexpected
Widget("W1", now, now)  # E: positional
widget.sid = "W2"  # E: read-only
Part().number = 2  # E: read-only
assert Part(number=1) != Part(number=2)
Loose(1).number = 2
op.field(default=1, factory=int)  # E: overload
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", CHECKERS)
def test_a_type_checker_finds_what_is_wrong_and_nothing_else(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert_checked_as_marked(USER, command, tmp_path)
