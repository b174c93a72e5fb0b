"""Whole numbers as they stand on a command line."""

from __future__ import annotations

import argparse
import re
from typing import Final

_FORM: Final = re.compile(r"[0-9]{1,18}")


def count(text: str) -> int:
    """A whole number from 0, for argparse.

    Raises:
        ArgumentTypeError: another form, or too large.
    """
    if not _FORM.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 0, of 18 digits at most")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1, for argparse.

    Raises:
        ArgumentTypeError: as `count`, or zero.
    """
    number = count(text)
    if not number:
        raise argparse.ArgumentTypeError("it is at least 1")
    return number
