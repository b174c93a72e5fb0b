"""Merge policies: which of several arrivals of one identity is true.

A record's policy picks one arrival by its version; a field's policy joins that field's values over all arrivals. Every
policy is associative, commutative and idempotent, so the result does not depend on order, batching or redelivery.
Arrivals of equal version are ordered by their digest, which makes the order total. `onepipe.declaring.fold` is the
reference.

A field's policy is either positional ("latest", "first", "latest_non_null": it picks the value of one arrival) or a
`FieldMerge` ("max", "min", "union", or a plugin's: it combines values).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

import attrs

from onepipe.errors import DeclarationError, nearest
from onepipe.schema.model import Array, Fixed, Node, Primitive

RECORD_POLICIES: Final = ("latest", "first")
"""What a record's policy can be."""

POSITIONAL: Final = ("latest", "first", "latest_non_null")
"""Policies of a field that pick the value of one arrival."""

_CALLS: Final[Mapping[str, str]] = {
    **{name: f"op.{name}('…')" for name in POSITIONAL},
    **{name: f"op.{name}()" for name in ("maximum", "minimum", "union")},
    "max": "op.maximum()",
    "min": "op.minimum()",
}
"""What to write for a policy that was named by text, or by its function."""


@attrs.frozen
class MergePolicy:
    """A merge policy as it is declared and published.

    Attributes:
        name: "latest" or "first" for a record; these, "latest_non_null", "max", "min", "union", or a plugin's for a
            field.
        by: names of the fields that make the version, most significant first; for a field's policy empty means the
            record's version. A null sorts before every value, NaN after every number. Without version the digest
            alone decides, which is right for records that never change.
    """

    name: str
    by: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The policy as it stands in a schema document."""
        return {"policy": self.name, **({"by": list(self.by)} if self.by else {})}

    @classmethod
    def from_document(cls, document: object) -> MergePolicy:
        """The policy that `document` says.

        Raises:
            DeclarationError: not of the form `{"policy": name, "by": [field, …]}`.
        """
        if not isinstance(document, Mapping) or not isinstance(document.get("policy"), str):
            raise DeclarationError("a merge policy is an object with 'policy' and perhaps 'by'")
        by = document.get("by", [])
        if not isinstance(by, list) or not all(isinstance(name, str) for name in by):
            raise DeclarationError("a merge policy's 'by' is a list of field names")
        unknown = [key for key in document if key not in ("policy", "by")]
        if unknown:
            raise DeclarationError(f"a merge policy has no {unknown[0]!r}{nearest(unknown[0], ['policy', 'by'])}")
        return cls(document["policy"], tuple(by))


def latest(*by: str) -> MergePolicy:
    """The arrival, or for a field the value, of the highest version wins."""
    return MergePolicy("latest", by)


def first(*by: str) -> MergePolicy:
    """The arrival, or for a field the value, of the lowest version wins."""
    return MergePolicy("first", by)


def latest_non_null(*by: str) -> MergePolicy:
    """For a field: the value of the highest version that is not null."""
    return MergePolicy("latest_non_null", by)


def maximum() -> MergePolicy:
    """For a field: the greatest value; null where there is none. NaN counts as greater than every number."""
    return MergePolicy("max")


def minimum() -> MergePolicy:
    """For a field: the least value; null where there is none. NaN counts as greater than every number."""
    return MergePolicy("min")


def union() -> MergePolicy:
    """For an array field: the set of all items, sorted."""
    return MergePolicy("union")


def require_policy(what: str, merge: object, *, topic: str | None = None) -> None:
    """Require a merge policy, or None.

    Args:
        what: what the policy is of, for the error.
        merge: what was given.
        topic: name of the topic, for the error.

    Raises:
        DeclarationError: neither; says what to write.
    """
    if merge is None:
        return
    if isinstance(merge, MergePolicy):
        by: object = merge.by
        if not isinstance(by, tuple) or not all(isinstance(name, str) for name in (merge.name, *by)):
            message = f"{what} has a name that is no text, or fields that are no tuple of text"
            raise DeclarationError(message, topic=topic, remedy="write merge=op.latest('…')")
        return
    name = merge if isinstance(merge, str) else getattr(merge, "__name__", "")
    call = _CALLS.get(name, "op.latest('…')")
    message = f"{what} is a merge policy, not {type(merge).__name__}"
    raise DeclarationError(message, topic=topic, remedy=f"write merge={call}")


@runtime_checkable
class FieldMerge(Protocol):
    """A policy that combines the values of one field: associative, commutative and idempotent.

    Values are logical ones and never null; where all arrivals are null the result is null. What a single value `x`
    stands for is `combine(x, x)`. `onepipe.testing.merges.check_field_merge` proves the laws.
    """

    @property
    def name(self) -> str:
        """The name by which fields ask for it."""

    def accepts(self, node: Node) -> bool:
        """Whether it can combine values of a type (not null, references resolved, an array's items too)."""

    def combine(self, left: Any, right: Any) -> Any:
        """The value that stands for both."""

    def sql(self, column: str) -> str:
        """The same as an aggregate over a column in DuckDB's SQL, skipping nulls.

        Args:
            column: the column as a quoted expression.
        """


def order_key(value: Any) -> Any:
    """What a value that is not null sorts by: NaN after every number, all else by itself, as DuckDB has it."""
    return (math.isnan(value), 0.0 if math.isnan(value) else value) if isinstance(value, float) else value


def _one_zero(value: Any) -> Any:
    """The value, with one zero instead of two that are equal."""
    return value + 0.0 if isinstance(value, float) else value


def is_ordered(node: Node) -> bool:
    """Whether values of a type have one order in every engine: numbers, text, bytes, dates and times, uuids, booleans.

    Enums have two (by symbol and by position), durations none.
    """
    if isinstance(node, Fixed):
        return node.logical is None or node.logical.name != "duration"
    return isinstance(node, Primitive) and node.name != "null"


@attrs.frozen
class _Extreme:
    """The greatest or the least value."""

    name: str

    def accepts(self, node: Node) -> bool:
        return is_ordered(node)

    def combine(self, left: Any, right: Any) -> Any:
        pick = max if self.name == "max" else min
        return _one_zero(pick(left, right, key=order_key))

    def sql(self, column: str) -> str:
        return f"{self.name}({column})"


@attrs.frozen
class _Union:
    """The distinct items of arrays, sorted."""

    name: str = "union"

    def accepts(self, node: Node) -> bool:
        return isinstance(node, Array) and is_ordered(node.items)

    def combine(self, left: Any, right: Any) -> Any:
        distinct = {order_key(item): _one_zero(item) for item in (*left, *right)}
        return [distinct[key] for key in sorted(distinct)]

    def sql(self, column: str) -> str:
        return f"list_sort(list_distinct(flatten(list({column}) FILTER ({column} IS NOT NULL))))"


_BUILT_IN: Final[Mapping[str, FieldMerge]] = {m.name: m for m in (_Extreme("max"), _Extreme("min"), _Union())}
_registered: dict[str, FieldMerge] = {}


def register_field_merge(merge: FieldMerge) -> None:
    """Make a plugin's policy known in this process. Registering it again replaces it.

    Raises:
        DeclarationError: the name is that of a built-in policy.
    """
    if merge.name in _BUILT_IN or merge.name in POSITIONAL:
        raise DeclarationError(f"{merge.name!r} is a built-in merge policy", remedy="choose another name")
    _registered[merge.name] = merge


def field_merge(name: str) -> FieldMerge:
    """The policy of that name; plugins are loaded where it is not known yet.

    Raises:
        DeclarationError: there is none; says the nearest match.
    """
    merge = _BUILT_IN.get(name) or _registered.get(name)
    if merge is None:
        from onepipe.plugins import default_plugins  # loaded only where there is something to look for

        installed = default_plugins().field_merges()
        merge = installed.get(name)
        if merge is None:
            known = [*POSITIONAL, *_BUILT_IN, *_registered, *installed]
            remedy = "a plugin may bring it: is it installed?"
            raise DeclarationError(f"there is no merge policy {name!r}{nearest(name, known)}", remedy=remedy)
        register_field_merge(merge)
    return merge
