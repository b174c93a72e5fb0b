"""Matching in time linear in the text, whatever the pattern: checks come with schema documents, so from anyone.

A pattern becomes its position automaton (Glushkov 1961), one state for each character or class of it. Where at each
state at most one next state takes any given character, in one way only (strongly one-unambiguous: Brüggemann-Klein
and Wood 1998, Koch and Scherzinger 2007), Python's backtracking `re` has nothing to try twice and matches. Any other
pattern is matched by a deterministic automaton, made on the way from sets of those states, as RE2 does; a bounded part
of it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import attrs

from onepipe.checks.pattern import Characters, Choice, Pattern, Ranges, Repeat, Sequence, parse_pattern, python_pattern

_KEPT: Final = 10_000
"""Transitions that are kept of one deterministic automaton."""


@attrs.frozen
class _Part:
    """A part of a pattern: whether it can be empty, and the sets of states it can begin and end with, as bits."""

    empty: bool
    first: int
    last: int


_EMPTY: Final = _Part(empty=True, first=0, last=0)


class PositionAutomaton:
    """The position automaton of a pattern.

    Attributes:
        classes: by state, the code points that lead into it; none lead into the first, where matching starts.
        follow: by state, the set of states that can come next, as bits.
        final: the set of states in which a text may end.
        simple: whether nothing is repeated that can be empty, and each step from state to state has one reason.
    """

    def __init__(self, pattern: Pattern) -> None:
        self.classes: list[Ranges] = [()]
        self.follow: list[int] = [0]
        self.simple = True
        whole = self._part(pattern)
        self.follow[0] = whole.first
        self.final = whole.last | whole.empty

    @property
    def unambiguous(self) -> bool:
        """Whether no character leads from one state into two."""
        return all(self._disjoint(states) for states in set(self.follow))

    def entered(self, character: str) -> int:
        """The set of all states that a character leads into."""
        code = ord(character)
        return sum(
            1 << state for state, ranges in enumerate(self.classes) if any(low <= code <= high for low, high in ranges)
        )

    def after(self, states: int) -> int:
        """The set of states that can come next after any of some."""
        found = 0
        for state in _bits(states):
            found |= self.follow[state]
        return found

    def _disjoint(self, states: int) -> bool:
        ranges = sorted(pair for state in _bits(states) for pair in self.classes[state])
        return all(high < low for (_, high), (low, _) in pairwise(ranges))

    def _part(self, pattern: Pattern) -> _Part:
        match pattern:
            case Characters(ranges=ranges):
                self.classes.append(ranges)
                self.follow.append(0)
                state = 1 << (len(self.classes) - 1)
                return _Part(empty=False, first=state, last=state)
            case Sequence(parts=parts):
                found = _EMPTY
                for part in parts:
                    found = self._joined(found, self._part(part))
                return found
            case Choice(branches=branches):
                return self._either([self._part(branch) for branch in branches])
            case Repeat():
                return self._repeated(pattern)

    def _joined(self, left: _Part, right: _Part) -> _Part:
        for state in _bits(left.last):
            # One step in two ways, as in (a+)*, is what makes `re` try again and again.
            self.simple = self.simple and not self.follow[state] & right.first
            self.follow[state] |= right.first
        return _Part(
            left.empty and right.empty,
            left.first | (right.first if left.empty else 0),
            right.last | (left.last if right.empty else 0),
        )

    def _either(self, parts: list[_Part]) -> _Part:
        first = last = 0
        for part in parts:
            first, last = first | part.first, last | part.last
        return _Part(any(part.empty for part in parts), first, last)

    def _repeated(self, repeat: Repeat) -> _Part:
        """The repetition written out: what must be there, then nested options, x(x(x)?)?, or a loop."""
        tail = _EMPTY
        if repeat.most is None:
            loop = self._part(repeat.part)
            self.simple = self.simple and not loop.empty
            self._joined(loop, loop)
            tail = attrs.evolve(loop, empty=True)
        else:
            for _ in range(repeat.most - repeat.least):
                option = self._part(repeat.part)
                self.simple = self.simple and not option.empty
                tail = attrs.evolve(self._joined(option, tail), empty=True)
        found = _EMPTY
        for _ in range(repeat.least):
            found = self._joined(found, self._part(repeat.part))
        return self._joined(found, tail)


class _Matcher:
    """The deterministic automaton of a pattern, made as texts need it. Safe for threads: at worst work is done twice.

    Attributes:
        positions: the automaton whose sets of states are its states.
        states: the states made so far.
        start: the state before the first character.
        kept: number of transitions made so far.
    """

    def __init__(self, positions: PositionAutomaton) -> None:
        self.positions = positions
        self.forget()

    def forget(self) -> None:
        """Start anew with no states."""
        self.states: dict[int, _State] = {}
        self.kept = 0
        self.start = self.state(1)

    def state(self, members: int) -> _State:
        """The state that stands for a set of states."""
        return self.states.setdefault(members, _State(self, members))

    def __call__(self, text: str) -> bool | None:
        """True where the pattern describes the whole text, else None."""
        state = self.start
        for character in text:
            state = state[character]
        return True if state.members & self.positions.final else None


class _State(dict[str, "_State"]):
    """A state of a deterministic automaton: the next state by character, found at the first use."""

    __slots__ = ("matcher", "members")

    def __init__(self, matcher: _Matcher, members: int) -> None:
        super().__init__()
        self.matcher = matcher
        self.members = members

    def __missing__(self, character: str) -> _State:
        matcher = self.matcher
        matcher.kept += 1
        if matcher.kept > _KEPT:
            matcher.forget()
        members = matcher.positions.after(self.members) & matcher.positions.entered(character) if self.members else 0
        found = self[character] = matcher.state(members)
        return found


def matcher(pattern: str) -> Callable[[str], Any]:
    """A function of a text that returns None where a pattern of the subset does not describe the whole of it.

    Its time is linear in the text.

    Raises:
        PatternError: outside the subset.
    """
    parsed = parse_pattern(pattern)
    positions = PositionAutomaton(parsed)
    if positions.simple and positions.unambiguous:
        return re.compile(python_pattern(parsed)).fullmatch
    return _Matcher(positions)


def _bits(states: int) -> Iterator[int]:
    while states:
        lowest = states & -states
        yield lowest.bit_length() - 1
        states ^= lowest
