"""Validity rules: SQL boolean expressions of a small closed grammar, the same in Python and in the lake.

A check is text in the schema document, so any language can follow it. It is parsed and typed where it is declared; the
publisher runs it as generated Python, and it can be had as SQL over the lake's columns; archive and dedup run none, so
that what arrived is kept. Its grammar and meaning: docs/reference/checks.md.
"""

from onepipe.checks.builder import Expression, col, lit
from onepipe.checks.check import Check, parse_check

__all__ = ["Check", "Expression", "col", "lit", "parse_check"]
