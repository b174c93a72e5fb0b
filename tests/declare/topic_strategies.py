"""Hypothesis strategies of topics: declarations over schemas of which each field has its use."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from onepipe.declaring.topic import Topic
from onepipe.merge import MergePolicy, first, latest, latest_non_null, maximum, minimum, union
from onepipe.schema.model import Schema

_TIMESTAMP = {"type": "long", "logicalType": "timestamp-micros"}
_FIELDS: dict[str, Any] = {
    "id": "string",
    "region": {"type": "enum", "name": "Region", "symbols": ["EU", "US"]},
    "number": "int",
    "updated": ["null", _TIMESTAMP],
    "revision": "long",
    "score": ["null", "double"],
    "tags": ["null", {"type": "array", "items": "string"}],
    "note": ["null", "string"],
    "created": _TIMESTAMP,
}
_names = st.lists(st.sampled_from(("id", "region", "number")), min_size=1, unique=True)
_versions = st.lists(st.sampled_from(("updated", "revision")), unique=True)


def _policies(field: str, versions: list[str]) -> st.SearchStrategy[MergePolicy]:
    """Policies that a field can have."""
    positional = [policy(*versions) for policy in (latest, first, latest_non_null)]
    combining = {"score": [maximum(), minimum()], "tags": [union()], "note": [maximum()]}
    return st.sampled_from([*positional, *combining.get(field, [])])


@st.composite
def _rules(draw: st.DrawFn, field: str) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if draw(st.booleans()):
        rules["sensitivity"] = draw(st.lists(st.sampled_from(("pii", "internal", "ünïcode")), min_size=1))
    if field in ("score", "number", "revision") and draw(st.booleans()):
        rules[draw(st.sampled_from(("ge", "gt", "le", "lt")))] = draw(st.integers(-5, 5))
    if field in ("id", "note") and draw(st.booleans()):
        rules["max_length"] = draw(st.integers(0, 50))
    if field in ("score", "tags", "note") and draw(st.booleans()):
        rules["merge"] = draw(_policies(field, draw(_versions))).document()
    return rules


@st.composite
def topics(draw: st.DrawFn) -> Topic:
    """Any topic with a merge policy, over fields of many kinds."""
    fields = []
    for name in draw(st.permutations(list(_FIELDS))):
        rules = draw(_rules(name))
        fields.append({"name": name, "type": _FIELDS[name], **({"onepipe": rules} if rules else {})})
        if isinstance(_FIELDS[name], list) and draw(st.booleans()):
            fields[-1]["default"] = None
    record = {"type": "record", "name": "Thing", "namespace": draw(st.sampled_from(("", "a.b"))), "fields": fields}
    return Topic.declare(
        draw(st.sampled_from(("Things", "shop.things-v1", "T_1"))),
        Schema.parse({**record, "x-origin": {"team": 1}}),
        identity=draw(_names),
        merge=draw(st.sampled_from((latest, first)))(*draw(_versions)),
        event_time=draw(st.sampled_from((None, "created", "updated"))),
        checks=draw(st.sampled_from(({}, {"after": "updated >= created", "some score": "score > 1 OR revision = 0"}))),
        owner=draw(st.sampled_from((None, "team things"))),
        partition_key=draw(st.lists(st.sampled_from(("region", "id")), unique=True)),
        audit=draw(st.sampled_from(("counted", "named"))),
        codec=draw(st.sampled_from((None, "json"))),
    )
