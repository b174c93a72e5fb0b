r"""Regular expressions of checks: a subset that Python and RE2 read alike, written anew for either.

A pattern describes whole texts. Its parts are characters, `.` (any but a line feed), classes `[a-z]` and `[^…]`,
`\d \w \s` and their opposites (ASCII only), groups `(…)` and `(?:…)`, `|`, and the quantifiers
`? * + {n} {n,} {n,m}`. Nothing else is taken: no references, no look-around, no flags, no lazy or possessive
quantifiers. `^` and `$` may stand at the ends, where they change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

import attrs

from onepipe.checks import limits

LAST: Final = 0x10FFFF
Ranges: TypeAlias = tuple[tuple[int, int], ...]

_ESCAPES: Final = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11}
_DIGIT: Final[Ranges] = ((48, 57),)
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Final[Ranges] = ((9, 13), (32, 32))
_CLASSES: Final = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_SPECIAL: Final = frozenset(".^$*+?{}[]()|\\")
_QUANTIFIERS: Final = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class PatternError(ValueError):
    """A regular expression outside the subset.

    Args:
        message: what is wrong.
        at: index of the character in the pattern.
        remedy: what to write instead, where known.
    """

    def __init__(self, message: str, at: int, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.remedy = remedy


@attrs.frozen
class Characters:
    """One character out of some ranges of code points, which are sorted and apart."""

    ranges: Ranges


@attrs.frozen
class Sequence:
    """Parts one after the other; none is the empty text."""

    parts: tuple[Pattern, ...]


@attrs.frozen
class Choice:
    """One of several."""

    branches: tuple[Pattern, ...]


@attrs.frozen
class Repeat:
    """A part `least` to `most` times; `most` None for any number."""

    part: Pattern
    least: int
    most: int | None


Pattern: TypeAlias = Characters | Sequence | Choice | Repeat


@lru_cache(maxsize=256)
def parse_pattern(text: str) -> Pattern:
    """The pattern a regular expression says.

    Raises:
        PatternError: outside the subset, or beyond the limits; says where.
    """
    parser = _Parser(text)
    pattern = parser.choice()
    if parser.at < len(text):
        raise PatternError("this ')' closes nothing", parser.at)
    if positions(pattern) > limits.MAX_PATTERN_POSITIONS:
        allowed = limits.MAX_PATTERN_POSITIONS
        raise PatternError(f"repetitions written out, the pattern has more than {allowed} characters", 0)
    return pattern


def positions(pattern: Pattern) -> int:
    """How many characters and classes a pattern has, repetitions written out; a part without any counts one."""
    match pattern:
        case Characters():
            return 1
        case Sequence(parts=parts) | Choice(branches=parts):
            return max(1, sum(map(positions, parts)))
        case Repeat(part=part, least=least, most=most):
            return positions(part) * max(1, least if most is None else most)


def python_pattern(pattern: Pattern) -> str:
    """The pattern for Python's `re`, to be used with `fullmatch`."""
    return _written(pattern, "\\U{:08x}")


def re2_pattern(pattern: Pattern) -> str:
    """The pattern for RE2, to be used as a full match."""
    return _written(pattern, "\\x{{{:x}}}")


def _written(pattern: Pattern, escape: str) -> str:
    match pattern:
        case Characters(ranges=((low, high),)) if low == high:
            return _code(low, escape)
        case Characters(ranges=ranges):
            return f"[{''.join(_code(low, escape) + '-' + _code(high, escape) for low, high in ranges)}]"
        case Sequence(parts=parts):
            return "".join(_written(part, escape) for part in parts)
        case Choice(branches=branches):
            return f"(?:{'|'.join(_written(branch, escape) for branch in branches)})"
        case Repeat(part=part, least=least, most=most):
            return f"(?:{_written(part, escape)}){{{least},{'' if most is None else most}}}"


def _code(code: int, escape: str) -> str:
    character = chr(code)
    return character if character.isascii() and character.isalnum() else escape.format(code)


def complement(ranges: Ranges) -> Ranges:
    """Every code point that is in none of the ranges."""
    gaps, start = [], 0
    for low, high in ranges:
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        gaps.append((start, LAST))
    return tuple(gaps)


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges sorted, those that touch joined."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return tuple(joined)


class _Parser:
    """Parses one pattern: the place reached and the nesting."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> bool:
        found = self.text.startswith(expected, self.at)
        self.at += len(expected) * found
        return found

    def choice(self) -> Pattern:
        branches = [self.sequence()]
        while self.take("|"):
            branches.append(self.sequence())
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def sequence(self) -> Pattern:
        if self.depth == 0:
            self.take("^")
        parts: list[Pattern] = []
        while self.next not in ("", "|", ")"):
            if self.next == "$" and self.depth == 0 and self.text[self.at + 1 : self.at + 2] in ("", "|"):
                self.at += 1
                break
            parts.append(self.repeated())
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def repeated(self) -> Pattern:
        part = self.part()
        start = self.at
        bounds = self.quantifier()
        if bounds is None:
            return part
        if self.next in ("*", "+", "?", "{"):
            remedies = {"?": "leave it out: a whole text matches or does not", "+": "leave it out"}
            raise PatternError("a quantifier follows a quantifier", self.at, remedies.get(self.next, "use a group"))
        least, most = bounds
        if most is not None and most < least:
            raise PatternError("the most is less than the least", start)
        if max(least, most or 0) > limits.MAX_PATTERN_POSITIONS:
            raise PatternError(f"more than {limits.MAX_PATTERN_POSITIONS} repetitions", start)
        return Repeat(part, least, most)

    def quantifier(self) -> tuple[int, int | None] | None:
        if self.next in _QUANTIFIERS:
            self.at += 1
            return _QUANTIFIERS[self.text[self.at - 1]]
        if not self.take("{"):
            return None
        least = self.integer()
        most: int | None = least
        if self.take(","):
            most = None if self.next == "}" else self.integer()
        if not self.take("}"):
            raise PatternError("'}' is expected", self.at)
        return least, most

    def integer(self) -> int:
        start = self.at
        while self.next and self.next in "0123456789":
            self.at += 1
        if not 1 <= self.at - start <= 6:
            raise PatternError("a number is expected", start, "a brace that stands for itself is written \\{")
        return int(self.text[start : self.at])

    def part(self) -> Pattern:
        start, character = self.at, self.next
        self.at += 1
        match character:
            case "(":
                return self.group(start)
            case "[":
                return Characters(self.set(start))
            case ".":
                return Characters(complement(((10, 10),)))
            case "\\":
                return Characters(self.escape(start))
            case "*" | "+" | "?":
                raise PatternError("this quantifier repeats nothing", start)
            case "^" | "$":
                remedy = f"the whole text is matched; a {character} that stands for itself is written \\{character}"
                raise PatternError(f"{character!r} stands at an end of the pattern only", start, remedy)
            case _ if character in _SPECIAL:
                remedy = f"to stand for itself it is written \\{character}"
                raise PatternError(f"{character!r} cannot stand here", start, remedy)
            case _:
                return Characters(((ord(character), ord(character)),))

    def group(self, start: int) -> Pattern:
        if self.next == "?" and not self.take("?:"):
            raise PatternError("no flags, named groups or look-around", start, "a group is (…) or (?:…)")
        self.depth += 1
        if self.depth > limits.MAX_DEPTH:
            raise PatternError(f"groups are nested deeper than {limits.MAX_DEPTH}", start)
        inner = self.choice()
        self.depth -= 1
        if not self.take(")"):
            raise PatternError("this '(' is not closed", start)
        return inner

    def escape(self, start: int) -> Ranges:
        character = self.next
        self.at += 1
        if character.lower() in _CLASSES:
            ranges = _CLASSES[character.lower()]
            return ranges if character.islower() else complement(ranges)
        if character in _ESCAPES:
            return ((_ESCAPES[character], _ESCAPES[character]),)
        if not character or not character.isascii() or character.isalnum():
            remedy = "there are \\d \\w \\s \\D \\W \\S \\n \\t \\r \\f \\v, and \\ before punctuation"
            raise PatternError(f"'\\{character}' is outside the subset", start, remedy)
        return ((ord(character), ord(character)),)

    def set(self, start: int) -> Ranges:
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        while not self.take("]"):
            if not self.next:
                raise PatternError("this '[' is not closed", start)
            ranges.extend(self.range())
        if not ranges:
            raise PatternError("the class is empty", start, "a ] that stands for itself is written \\]")
        found = union(ranges)
        if negated:
            found = complement(found)
        if not found:
            raise PatternError("no character is in this class", start)
        return found

    def range(self) -> Ranges:
        start = self.at
        low = self.member()
        if self.next != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return low
        self.at += 1
        high = self.member()
        if len(low) > 1 or len(high) > 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
            raise PatternError("a range is between two characters", start)
        if low[0][0] > high[0][0]:
            raise PatternError("the range runs backwards", start)
        return ((low[0][0], high[0][0]),)

    def member(self) -> Ranges:
        start, character = self.at, self.next
        self.at += 1
        if character == "\\":
            return self.escape(start)
        if character == "[":
            raise PatternError("'[' cannot stand here", start, "to stand for itself it is written \\[")
        return ((ord(character), ord(character)),)
