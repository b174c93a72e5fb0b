"""The expression tree of a check as written, before its names and types are known."""

from __future__ import annotations

from typing import TypeAlias

import attrs


@attrs.frozen
class Name:
    """A field.

    Attributes:
        path: names from the record down.
        places: index of each name's first character.
        quoted: whether the first is quoted.
    """

    path: tuple[str, ...]
    places: tuple[int, ...]
    quoted: bool = False

    @property
    def at(self) -> int:
        """Index of the first character."""
        return self.places[0]


@attrs.frozen
class Constant:
    """A literal.

    Attributes:
        kind: "number", "text", "boolean", "null", or the word before a text: "TIMESTAMP", "DATE", "TIME".
        text: as written, without quotes.
        at: index of its first character.
    """

    kind: str
    text: str
    at: int


@attrs.frozen
class Unary:
    """`NOT x` or `-x`."""

    operator: str
    operand: Tree
    at: int


@attrs.frozen
class Binary:
    """Two operands with a comparison or an arithmetic operator between them."""

    operator: str
    left: Tree
    right: Tree
    at: int


@attrs.frozen
class Chain:
    """Two or more operands joined by AND, or by OR."""

    operator: str
    operands: tuple[Tree, ...]
    at: int


@attrs.frozen
class Null:
    """`x IS NULL`, or negated `x IS NOT NULL`."""

    operand: Tree
    negated: bool
    at: int


@attrs.frozen
class Between:
    """`x BETWEEN low AND high`, perhaps negated."""

    operand: Tree
    low: Tree
    high: Tree
    negated: bool
    at: int


@attrs.frozen
class In:
    """`x IN (a, b, …)`, perhaps negated."""

    operand: Tree
    items: tuple[Constant, ...]
    negated: bool
    at: int


@attrs.frozen
class Call:
    """A function of arguments; its name in small letters."""

    function: str
    arguments: tuple[Tree, ...]
    at: int


Tree: TypeAlias = Name | Constant | Unary | Binary | Chain | Null | Between | In | Call
