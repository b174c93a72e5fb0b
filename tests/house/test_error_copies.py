from __future__ import annotations

import copy
import pickle

import pytest

from onepipe.errors import DeliveryError, Fault, Incompatible, InvalidRecord, NotRegistered, OnepipeError

ERRORS = [
    InvalidRecord([Fault("price", "ge", "below 0"), Fault(None, "check", "is false")], topic="Orders"),
    Incompatible(["price: the type changed", "sku: no default"], topic="Orders", remedy="evolve it"),
    DeliveryError("no answer", topic="Orders", partition=3, indeterminate=True),
    NotRegistered("no such topic", topic="Orders"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - made here
def test_an_error_says_the_same_in_another_process(error: OnepipeError, copied) -> None:
    other = copied(error)
    assert type(other) is type(error)
    assert (str(other), repr(other), other.args, vars(other)) == (str(error), repr(error), error.args, vars(error))
