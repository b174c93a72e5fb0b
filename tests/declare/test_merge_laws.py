"""Merge policies obey their laws: the result depends neither on order nor on batching nor on redelivery."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topic_strategies import topics

from onepipe.declaring.fold import Arrival, State, combine, fold, lift
from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError
from onepipe.merge import field_merge, first, latest, latest_non_null, maximum, minimum, register_field_merge, union
from onepipe.schema.model import Array, Enum, Node, Primitive, Schema
from onepipe.testing.merges import check_field_merge

VALUES = {
    "max": st.floats(),
    "min": st.floats(),
    "union": st.lists(st.floats()) | st.lists(st.floats(width=16)),
}


@pytest.mark.parametrize("name", VALUES)
def test_built_in_field_merges_obey_the_laws(name: str) -> None:
    check_field_merge(field_merge(name), VALUES[name])


def test_extremes_and_unions_of_text_obey_the_laws() -> None:
    check_field_merge(field_merge("max"), st.text())
    check_field_merge(field_merge("min"), st.binary())
    check_field_merge(field_merge("union"), st.lists(st.text(max_size=2)))


def test_nan_is_greater_than_every_number_and_one_value() -> None:
    nan = float("nan")
    assert math.isnan(field_merge("max").combine(nan, math.inf))
    assert field_merge("min").combine(nan, math.inf) == math.inf
    assert len(field_merge("union").combine([nan, 1.0], [nan])) == 2


def test_there_is_one_zero() -> None:
    for name in ("max", "min"):
        for left, right in ((0.0, -0.0), (-0.0, 0.0), (-0.0, -0.0)):
            assert math.copysign(1, field_merge(name).combine(left, right)) == 1


class _Sum:
    """A sum, which no merge policy can be: redelivery would count twice."""

    name = "sum"

    def accepts(self, node: Node) -> bool:
        return isinstance(node, Primitive)

    def combine(self, left: Any, right: Any) -> Any:
        return left + right

    def sql(self, column: str) -> str:
        return f"sum({column})"


class _LeftMost(_Sum):
    name = "left"

    def combine(self, left: Any, right: Any) -> Any:
        return left


class _Longest(_Sum):
    """The longer text; the greater one of equal length."""

    name = "longest"

    def combine(self, left: Any, right: Any) -> Any:
        return max(left, right, key=lambda text: (len(text), text))

    def sql(self, column: str) -> str:
        return f"max_by({column}, (length({column}), {column}))"


def test_the_laws_find_what_is_no_merge_policy() -> None:
    with pytest.raises(AssertionError, match="'sum' is not idempotent"):
        check_field_merge(_Sum(), st.integers(1, 9))
    with pytest.raises(AssertionError, match="'left' is not commutative"):
        check_field_merge(_LeftMost(), st.integers())


def test_a_plugins_policy_is_found_by_name_and_used() -> None:
    register_field_merge(_Longest())
    register_field_merge(_Longest())
    check_field_merge(field_merge("longest"), st.text(max_size=4))
    topic = declare({"policy": "longest"})
    (state,) = fold(topic, [arrival(1, "abc"), arrival(2, "z"), arrival(3, None)]).values()
    assert row(topic, state)["x"] == "abc"


def test_built_in_names_are_not_given_away_and_unknown_ones_say_the_nearest() -> None:
    for name in ("max", "latest"):
        taken = _Longest()
        taken.name = name
        with pytest.raises(DeclarationError, match="built-in"):
            register_field_merge(taken)
    with pytest.raises(DeclarationError, match="did you mean 'union'"):
        field_merge("unions")


def test_only_types_of_one_order_are_accepted() -> None:
    enum = Enum("E", ("A",))
    assert not field_merge("max").accepts(enum)
    assert not field_merge("union").accepts(Array(enum))
    assert field_merge("union").accepts(Array(Primitive("long")))
    assert not field_merge("max").accepts(Primitive("null"))


def declare(merge: dict[str, Any] | None = None, record: Any = None) -> Topic:
    """A topic of an identity, a version that may be null, and a field x with a merge policy of its own."""
    fields = [
        {"name": "id", "type": "string"},
        {"name": "v", "type": ["null", "double"]},
        {"name": "x", "type": ["null", "string"], **({"onepipe": {"merge": merge}} if merge else {})},
    ]
    schema = Schema.parse({"type": "record", "name": "R", "fields": fields})
    return Topic.declare("T", schema, identity="id", merge=record or latest("v"))


def arrival(version: float | None, x: Any, *, digest: int = 0, deleted: bool = False) -> Arrival:
    values = {"id": "a", "v": version} if deleted else {"id": "a", "v": version, "x": x}
    return Arrival(values, (digest, 0), deleted)


def row(topic: Topic, state: State) -> dict[str, Any]:
    values = state.row(topic)
    assert values is not None
    return values


NAN = float("nan")


@pytest.mark.parametrize(
    ("policy", "arrivals", "x"),
    [
        (latest("v"), [(1, "a"), (2, "b")], "b"),
        (latest("v"), [(2, "a"), (None, "b")], "a"),
        (latest("v"), [(NAN, "a"), (math.inf, "b")], "a"),
        (latest("v"), [(2, None), (1, "b")], None),
        (first("v"), [(1, "a"), (2, "b")], "a"),
        (first("v"), [(1, "a"), (None, "b")], "b"),
        (latest_non_null("v"), [(3, None), (2, "b"), (1, "a")], "b"),
        (latest_non_null("v"), [(3, None)], None),
        (maximum(), [(3, "a"), (2, "b"), (1, None)], "b"),
        (minimum(), [(3, "a"), (2, "b"), (1, None)], "a"),
        (minimum(), [(3, None)], None),
    ],
)
def test_a_field_comes_to_what_its_policy_says(policy: Any, arrivals: list[tuple[Any, Any]], x: Any) -> None:
    topic = declare(policy.document())
    for order in (arrivals, arrivals[::-1]):
        (state,) = fold(topic, [arrival(v, value) for v, value in order]).values()
        assert row(topic, state)["x"] == x


def test_arrivals_of_equal_version_are_ordered_by_digest() -> None:
    topic = declare()
    arrivals = [arrival(1, "a", digest=-5), arrival(1, "b", digest=5)]
    for order in (arrivals, arrivals[::-1]):
        (state,) = fold(topic, order).values()
        assert row(topic, state)["x"] == "b"


def test_a_delete_of_the_highest_version_hides_the_row_and_a_later_record_brings_it_back() -> None:
    topic = declare(maximum().document())
    record, delete, later = arrival(1, "z"), arrival(2, None, deleted=True), arrival(3, "a")
    (hidden,) = fold(topic, [delete, record]).values()
    assert hidden.row(topic) is None
    (back,) = fold(topic, [later, delete, record]).values()
    assert row(topic, back)["x"] == "z"
    (stale,) = fold(topic, [later, delete]).values()
    assert row(topic, stale)["x"] == "a"


def test_union_gathers_the_items_of_all_arrivals() -> None:
    fields = [
        {"name": "id", "type": "string"},
        {"name": "x", "type": ["null", {"type": "array", "items": "long"}], "onepipe": {"merge": union().document()}},
    ]
    schema = Schema.parse({"type": "record", "name": "R", "fields": fields})
    topic = Topic.declare("T", schema, identity="id", merge=latest())
    arrivals = [Arrival({"id": "a", "x": x}, (n, n)) for n, x in enumerate(([3, 1, 3], None, [2]))]
    (state,) = fold(topic, arrivals).values()
    assert row(topic, state)["x"] == [1, 2, 3]
    (single,) = fold(topic, arrivals[:1]).values()
    assert row(topic, single)["x"] == [1, 3]


def test_nothing_is_folded_without_merge_policy() -> None:
    with pytest.raises(DeclarationError, match="without a merge policy"):
        fold(declare().evolve(merge=None), [])


@st.composite
def arrivals_of_a_topic(draw: st.DrawFn) -> tuple[Topic, list[Arrival]]:
    """A topic, and arrivals of one identity; equal digests are copies of one record."""
    topic = draw(topics())
    few = st.integers(0, 2)
    arrivals = []
    for number in range(draw(st.integers(1, 5))):
        values = {
            "id": "a",
            "region": "EU",
            "number": 1,
            "updated": draw(st.none() | few),
            "revision": draw(few),
            "score": draw(st.none() | st.sampled_from((NAN, 0.0, -0.0, 1.0, -math.inf))),
            "tags": draw(st.none() | st.lists(st.sampled_from("xyz"))),
            "note": draw(st.none() | st.sampled_from("pqr")),
            "created": draw(few),
        }
        arrivals.append(Arrival(values, (number, 0), draw(st.booleans())))
    return topic, arrivals


def comparable(state: State) -> Any:
    return repr((state.winner.digest, sorted(state.fields.items())))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(arrivals_of_a_topic(), st.randoms(use_true_random=False))
def test_folding_depends_neither_on_order_nor_batching_nor_redelivery(drawn: Any, random: Any) -> None:
    topic, arrivals = drawn
    (expected,) = fold(topic, arrivals).values()
    again = [*arrivals, *random.choices(arrivals, k=3)]
    random.shuffle(again)
    states = [lift(topic, one) for one in again]
    while len(states) > 1:  # combine any two neighbours, in any order
        at = random.randrange(len(states) - 1)
        states[at : at + 2] = [combine(topic, states[at], states[at + 1])]
    assert comparable(states[0]) == comparable(expected)
    assert comparable(combine(topic, states[0], states[0])) == comparable(expected)
