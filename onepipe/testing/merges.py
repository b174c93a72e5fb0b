"""Proof, by property test, that a field's merge policy obeys its laws."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.merge import FieldMerge, order_key


def check_field_merge(merge: FieldMerge, values: st.SearchStrategy[Any], *, max_examples: int = 200) -> None:
    """Check that a policy is associative, commutative and idempotent.

    A value `x` stands as `combine(x, x)`. Results are compared with NaN equal to itself.

    Args:
        merge: the policy.
        values: draws the values that a field may have, none of them null.
        max_examples: how many triples of values are tried.

    Raises:
        AssertionError: a law is broken; says which.
    """
    combine = merge.combine

    @settings(max_examples=max_examples, deadline=None, database=None)
    @given(values, values, values)
    def obeys(x: Any, y: Any, z: Any) -> None:
        a, b, c = combine(x, x), combine(y, y), combine(z, z)
        _require(merge, "idempotent", combine(a, a), a)
        _require(merge, "commutative", combine(a, b), combine(b, a))
        _require(merge, "associative", combine(combine(a, b), c), combine(a, combine(b, c)))
        _require(merge, "idempotent over what it has seen", combine(combine(a, b), b), combine(a, b))

    obeys()


def _require(merge: FieldMerge, law: str, left: Any, right: Any) -> None:
    if _comparable(left) != _comparable(right):
        raise AssertionError(f"merge policy {merge.name!r} is not {law}")


def _comparable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    return order_key(value)
