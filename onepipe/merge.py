"""Merge policies: which of several arrivals of one identity is true.

A record's policy picks one arrival by its version; a field's policy joins that field's values over all arrivals. Every
policy is associative, commutative and idempotent, so the result does not depend on order, batching or redelivery.
Arrivals of equal version are ordered by their digest, which makes the order total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from onepipe.errors import DeclarationError


@attrs.frozen
class MergePolicy:
    """A merge policy as it is declared and published.

    Attributes:
        name: "latest" or "first" for a record; these, "latest_non_null", "max", "min", "union", or a plugin's for a
            field.
        by: names of the fields that make the version, most significant first; for a field's policy empty means the
            record's version. A null sorts before every value.
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
