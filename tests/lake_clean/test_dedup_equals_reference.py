from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_arrivals import START, Event, Raw, clean_rows, declare_thing, expected

from onepipe.lake import open_lake
from onepipe.lake.dedup import dedup
from onepipe.merge import first, latest, latest_non_null, maximum, minimum, union

TOPICS = [
    declare_thing(),
    declare_thing(first("version", "weight")),
    declare_thing(latest("weight", "version")),
    declare_thing(latest(), event_time=None, identity="name"),
    declare_thing(weight=maximum(), status=first(), tags=union()),
    declare_thing(weight=minimum(), status=latest("weight"), tags=latest_non_null()),
    declare_thing(first("version"), weight=maximum(), status=latest_non_null("created"), created=minimum()),
]

values = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "ü|\\"]),
        "number": st.integers(0, 1),
        "version": st.none() | st.integers(0, 2),
        "weight": st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("-inf")]),
        "created": st.none()
        | st.sampled_from([START, START + dt.timedelta(hours=1), START - dt.timedelta(days=40000)]),
        "status": st.none() | st.sampled_from(["new", "old"]),
        "tags": st.none() | st.lists(st.sampled_from(["x", "y", "z"]), max_size=3),
    }
)


@st.composite
def events(draw, topic):
    drawn = draw(values)
    kind = draw(st.sampled_from(["record", "record", "record", "delete", "bad"]))
    if kind == "delete":
        kept = {*topic.identity, *topic.version_fields, topic.event_time}
        drawn = {name: value for name, value in drawn.items() if name in kept}
    return Event(drawn, kind == "delete", "unreadable: cut off" if kind == "bad" else None)


@st.composite
def histories(draw):
    """A topic, and batches of events, each for a partition, with whether a dedup follows it."""
    topic = draw(st.sampled_from(TOPICS))
    pool = draw(st.lists(events(topic), min_size=1, max_size=12))
    batch = st.tuples(st.lists(st.sampled_from(pool), min_size=1, max_size=8), st.integers(0, 1), st.booleans())
    return topic, draw(st.lists(batch, min_size=1, max_size=4))


def check_history(history, target_rows):
    topic, batches = history
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder, "lake"))
        raw = Raw(lake, topic)
        for batch, partition, dedup_now in batches:
            raw.archive(batch, partition)
            if dedup_now:
                dedup(lake, topic, target_rows=target_rows)
                assert clean_rows(lake, topic) == expected(topic, raw.placed)
        report = dedup(lake, topic, target_rows=target_rows)
        incremental = clean_rows(lake, topic, states=True)
        assert clean_rows(lake, topic) == expected(topic, raw.placed)
        assert dedup(lake, topic).version == report.version
        rebuilt = dedup(lake, topic, rebuild=True)
        assert rebuilt.arrivals == sum(at.event.error is None for at in raw.placed)
        assert clean_rows(lake, topic, states=True) == incremental


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=CHECKS)
@given(histories(), st.sampled_from([1, 3, 1000]))
def test_dedup_in_any_batches_and_a_rebuild_both_give_the_rows_of_the_reference(history, target_rows):
    check_history(history, target_rows)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=CHECKS)
@given(histories(), st.sampled_from([1, 3, 1000]))
def test_many_histories_come_to_the_rows_of_the_reference(history, target_rows):
    check_history(history, target_rows)
