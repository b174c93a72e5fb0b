"""Durations as they stand on a command line: 30s, 5m, 12h, 7d."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from typing import Final

_FORM: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNITS: Final = {
    "ms": dt.timedelta(milliseconds=1),
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
}
_LONGEST: Final = dt.timedelta(days=3650)


def duration(text: str) -> dt.timedelta:
    """A duration, for argparse: a whole number and its unit, `ms`, `s`, `m`, `h` or `d`; at most ten years.

    Raises:
        ArgumentTypeError: another form, or longer.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number with its unit, such as 30s, 5m, 12h or 7d")
    number, unit = int(found[1]), _UNITS[found[2]]
    if number > _LONGEST // unit:
        raise argparse.ArgumentTypeError(f"{text} is longer than ten years")
    return number * unit


def span(text: str) -> dt.timedelta:
    """A duration, for argparse, that is not zero.

    Raises:
        ArgumentTypeError: as `duration`, or zero.
    """
    given = duration(text)
    if not given:
        raise argparse.ArgumentTypeError(f"{text} is no time at all")
    return given
