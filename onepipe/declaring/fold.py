"""The reference of merging: what all arrivals of an identity come to, in plain Python.

The lake does the same in SQL and is tested against this. A state stands for any number of arrivals of one identity;
combining states is associative, commutative and idempotent, so order, batching and redelivery do not matter.

A delete competes by its version like any arrival: where it wins, the row is hidden. It has no say in a field's own
policy, which joins the values of all records that ever arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import attrs

from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError
from onepipe.merge import POSITIONAL, MergePolicy, field_merge, order_key

Version = tuple[Any, ...]


@attrs.frozen
class Arrival:
    """A record, or a delete, as it arrived.

    Attributes:
        values: logical values by field; of a delete identity, version and perhaps event time.
        digest: both lanes of its digest; arrivals of equal version and digest are copies of one record.
        deleted: whether it is a delete.
    """

    values: Mapping[str, Any]
    digest: tuple[int, int]
    deleted: bool = False


@attrs.frozen
class FieldState:
    """What a field with its own policy has come to; `version` is empty where values are combined."""

    value: Any
    version: Version = ()


@attrs.frozen
class State:
    """What some arrivals of one identity come to.

    Attributes:
        winner: the arrival that the record's policy picks.
        fields: by name, the state of each field with a policy of its own; none while all had nothing to say.
    """

    winner: Arrival
    fields: Mapping[str, FieldState]

    def row(self, topic: Topic) -> dict[str, Any] | None:
        """The true values by field; None where the identity is deleted."""
        if self.winner.deleted:
            return None
        own = dict.fromkeys(_policies(topic))
        return {**self.winner.values, **own, **{name: state.value for name, state in self.fields.items()}}


def lift(topic: Topic, arrival: Arrival) -> State:
    """The state that stands for one arrival."""
    fields: dict[str, FieldState] = {}
    for name, policy in _policies(topic).items():
        value = arrival.values.get(name)
        if arrival.deleted or (value is None and policy.name not in ("latest", "first")):
            continue
        if policy.name in POSITIONAL:
            fields[name] = FieldState(value, _version(topic, policy, arrival))
        else:
            fields[name] = FieldState(field_merge(policy.name).combine(value, value))
    return State(arrival, fields)


def combine(topic: Topic, left: State, right: State) -> State:
    """The state that stands for the arrivals of both."""
    policy = _policy(topic)
    pick = min if policy.name == "first" else max
    winner = pick((left.winner, right.winner), key=lambda arrival: _version(topic, policy, arrival))
    fields = {**left.fields, **right.fields}
    for name, own in _policies(topic).items():
        if name in left.fields and name in right.fields:
            fields[name] = _combined(own, left.fields[name], right.fields[name])
    return State(winner, fields)


def fold(topic: Topic, arrivals: Iterable[Arrival]) -> dict[tuple[Any, ...], State]:
    """What arrivals come to, by the values of their identity.

    Raises:
        DeclarationError: the topic has no merge policy.
    """
    _policy(topic)
    groups: dict[tuple[Any, ...], list[State]] = {}
    for arrival in arrivals:
        groups.setdefault(tuple(arrival.values[name] for name in topic.identity), []).append(lift(topic, arrival))
    return {identity: reduce(lambda a, b: combine(topic, a, b), states) for identity, states in groups.items()}


def _policy(topic: Topic) -> MergePolicy:
    if topic.merge is None:
        raise DeclarationError("nothing is merged without a merge policy", topic=topic.name, remedy="declare one")
    return topic.merge


def _policies(topic: Topic) -> dict[str, MergePolicy]:
    """The fields with a policy of their own."""
    rules = {field.name: topic.rules(field.name).merge for field in topic.record.fields}
    return {name: merge for name, merge in rules.items() if merge is not None}


def _version(topic: Topic, policy: MergePolicy, arrival: Arrival) -> Version:
    """What orders arrivals: the version, a null before every value, then the digest."""
    values = [arrival.values.get(name) for name in policy.by or topic.version_fields]
    return (*((value is not None, 0 if value is None else order_key(value)) for value in values), arrival.digest)


def _combined(policy: MergePolicy, left: FieldState, right: FieldState) -> FieldState:
    if policy.name not in POSITIONAL:
        return FieldState(field_merge(policy.name).combine(left.value, right.value))
    pick = min if policy.name == "first" else max
    return pick((left, right), key=lambda state: state.version)
