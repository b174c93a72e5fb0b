"""Regular expressions of checks: what the subset has, and that Python, RE2 and the position automaton agree on it."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.checks import limits
from onepipe.checks.automaton import _KEPT, PositionAutomaton, _Matcher, matcher
from onepipe.checks.pattern import PatternError, parse_pattern, positions, python_pattern, re2_pattern

_atoms = st.sampled_from(
    [
        *(
            "a",
            "b",
            "é",
            "\U0001f986",
            ".",
            r"\d",
            r"\D",
            r"\w",
            r"\W",
            r"\s",
            r"\S",
            r"\n",
            r"\.",
            r"\\",
            " ",
            "-",
            "'",
        ),
        *("[ab]", "[^a]", "[a-c\\d]", "[^\\w]", "[é-ü]", "[\\]\\-\\^]", "[-a]", "[a-]", "[^\n]"),
    ]
)
_quantifiers = st.sampled_from(("*", "+", "?", "{2}", "{0,2}", "{1,3}", "{2,}", "{0}"))
patterns = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        inner.map(lambda part: f"({part}|)"),
        st.tuples(inner, _quantifiers).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)
texts = st.lists(st.text(st.sampled_from("aabbcé\U0001f9861 \n\t\v\\.-A_'"), max_size=8), min_size=1, max_size=20)


def agree(pattern: str, samples: list[str]) -> None:
    try:
        parsed = parse_pattern(pattern)
    except PatternError as error:
        assert "repetitions" in error.message  # noqa: PT017  long ones are drawn too
        return
    find, automaton = matcher(pattern), _Matcher(PositionAutomaton(parsed))
    with duckdb.connect() as connection:
        statement = "SELECT regexp_full_match(unnest($1::VARCHAR[]), $2)"
        by_re2 = [row[0] for row in connection.execute(statement, [samples, re2_pattern(parsed)]).fetchall()]
    assert [find(sample) is not None for sample in samples] == by_re2
    assert [automaton(sample) is not None for sample in samples] == by_re2


@pytest.mark.slow
@given(patterns, texts)
@settings(max_examples=150, deadline=None)
def test_python_re2_and_the_automaton_agree_on_any_pattern_and_text(pattern: str, samples: list[str]) -> None:
    agree(pattern, samples)


@pytest.mark.slow
@given(patterns, texts)
@settings(max_examples=1000, deadline=None)
def test_python_re2_and_the_automaton_agree_on_very_many_patterns_and_texts(pattern: str, samples: list[str]) -> None:
    agree(pattern, samples)


@pytest.mark.parametrize(
    ("pattern", "at", "says"),
    [
        ("a(?=b)", 1, "look-around"),
        ("(?i)a", 0, "no flags"),
        ("(?P<x>a)", 0, "named groups"),
        (r"(a)\1", 3, "outside the subset"),
        (r"\bword", 0, "outside the subset"),
        (r"\p{L}", 0, "outside the subset"),
        (r"\x41", 0, "outside the subset"),
        ("a\\", 1, "outside the subset"),
        ("a*?", 2, "a quantifier follows"),
        ("a++", 2, "a quantifier follows"),
        ("a**", 2, "a quantifier follows"),
        ("*a", 0, "repeats nothing"),
        ("a{,3}", 2, "a number is expected"),
        ("a{3,2}", 1, "less than"),
        ("a{x}", 2, "a number is expected"),
        ("a{2", 3, "'}' is expected"),
        ("a{501}", 1, "more than 500"),
        ("(a{100}){100}", 0, "repetitions written out"),
        ("((){400}){400}", 0, "repetitions written out"),
        ("(a", 0, "not closed"),
        ("a)", 1, "closes nothing"),
        ("[a", 0, "not closed"),
        ("[]", 0, "empty"),
        ("[[:alpha:]]", 1, "cannot stand here"),
        ("[z-a]", 1, "backwards"),
        (r"[a-\d]", 1, "between two characters"),
        (r"[^\d\D]", 0, "no character"),
        ("a^b", 1, "at an end"),
        ("a$b", 1, "at an end"),
        ("(^a)", 1, "at an end"),
        ("a}", 1, "cannot stand here"),
        ("(" * 40 + ")" * 40, limits.MAX_DEPTH, "nested deeper"),
    ],
)
def test_what_is_outside_the_subset_is_refused_at_its_place(pattern: str, at: int, says: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_pattern(pattern)
    assert says in caught.value.message
    assert caught.value.at == at


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("[A-Z]{3}", ["ABC"], ["AB", "ABCD", "abc", "ABC\n"]),
        ("^[A-Z]+$", ["ABC"], ["", "ABC\n"]),
        ("^a|b$", ["a", "b"], ["ab", "a\n"]),
        (".*", ["", "abc"], ["a\nb"]),
        (r"\d+", ["12"], ["\u0663"]),
        (r"\w", ["_"], ["é"]),
        (r"\s", ["\v", " "], ["\u00a0"]),
        (r"\$\{x\}", ["${x}"], []),
        ("", [""], ["a"]),
        ("(|a)b?", ["", "a", "b", "ab"], ["ba"]),
    ],
)
def test_a_pattern_describes_whole_texts(pattern: str, yes: list[str], no: list[str]) -> None:
    find = matcher(pattern)
    assert all(find(text) is not None for text in yes)
    assert all(find(text) is None for text in no)
    agree(pattern, [*yes, *no])


@pytest.mark.parametrize("pattern", ["(a*)*", "(a+)+", "(a|a)*", "(a|ab|b)*", "(a+b?)*", "a*a*a*", ".*a.*"])
def test_what_backtracking_would_try_again_and_again_is_matched_by_the_automaton(pattern: str) -> None:
    find = matcher(pattern)
    assert isinstance(find, _Matcher)
    assert find("a" * 2000) is not None
    assert find("a" * 2000 + "\n") is None


@pytest.mark.parametrize("pattern", ["[A-Z]{3}-[0-9]+", "[^@]+@[^@]+", "(ab|cd)*", "a{2,50}b", "(a|b)?c"])
def test_what_needs_no_second_try_is_matched_by_python(pattern: str) -> None:
    assert not isinstance(matcher(pattern), _Matcher)


def test_an_automaton_keeps_a_bounded_part_of_itself() -> None:
    find = matcher("(.|..)*")
    assert isinstance(find, _Matcher)
    for start in range(0, 3 * _KEPT, 1000):
        assert find("".join(chr(0x20000 + start + n) for n in range(1000))) is not None
    assert find.kept <= _KEPT
    assert sum(map(len, find.states.values())) <= _KEPT + 1


def test_the_largest_pattern_allowed_is_taken_by_both_engines() -> None:
    pattern = rf"([^\w]|é){{{limits.MAX_PATTERN_POSITIONS // 2}}}"
    assert positions(parse_pattern(pattern)) == limits.MAX_PATTERN_POSITIONS
    agree(pattern, ["é" * 250, "é" * 249])


def test_patterns_are_written_in_ascii_for_either_engine() -> None:
    parsed = parse_pattern("[é-ü]'\"")
    assert python_pattern(parsed).isascii()
    assert re2_pattern(parsed).isascii()
    assert "'" not in re2_pattern(parsed)
