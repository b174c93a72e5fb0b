from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.lake.in_turn import in_turn


@given(st.lists(st.integers(), max_size=20), st.integers(1, 4))
def test_results_come_in_the_order_of_their_items(items, threads):
    assert list(in_turn(str, items, threads=threads, name="test")) == [str(item) for item in items]


def test_no_more_items_are_taken_than_threads_work_on_or_wait():
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    results = in_turn(str, items(), threads=2, name="test")
    assert next(results) == "0"
    assert len(taken) == 3
    results.close()
    assert len(taken) == 3


def test_an_error_is_raised_in_its_turn_and_ends_the_work():
    done = []
    failing = threading.Event()

    def work(number):
        if number == 1:
            failing.set()
            raise ValueError(number)
        done.append(number)
        return number

    results = in_turn(work, range(100), threads=1, name="test")
    assert next(results) == 0
    with pytest.raises(ValueError, match="1"):
        list(results)
    assert failing.is_set()
    assert len(done) <= 3
