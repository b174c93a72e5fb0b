"""Bounds on what a check may ask. Checks come with schema documents from registries and files, so from anyone."""

from __future__ import annotations

MAX_LENGTH = 4096
"""Characters of a check."""

MAX_DEPTH = 32
"""Nesting of a check's expression: `a + b + c` counts two, `a AND b AND c` one."""

MAX_NODES = 1000
"""Operands, operators and functions of a check."""

MAX_DIGITS = 38
"""Digits an exact number may need: what DECIMAL holds in DuckDB, Spark and Arrow's 128-bit decimals."""

MAX_PATTERN_POSITIONS = 500
"""Characters and character classes of a regular expression, repetitions written out."""
