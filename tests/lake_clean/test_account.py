from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_arrivals import Event, Raw, declare_thing, thing

from onepipe.lake import open_lake
from onepipe.lake.account import Account, account

TOPIC = declare_thing()
events = st.one_of(
    st.builds(thing, st.sampled_from("ab"), st.integers(0, 2), deleted=st.booleans()),
    st.sampled_from(["unreadable: cut off", "altered: digest differs", "unreadable: too long"]).map(
        lambda error: Event({}, error=error)
    ),
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, min_size=1, max_size=12))
def test_every_archived_row_is_accounted_for_once(batch):
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder, "lake"))
        Raw(lake, TOPIC).archive(batch)
        found = account(lake, TOPIC)
    good = [event for event in batch if not event.error]
    reasons = [event.error.split(":")[0] for event in batch if event.error]
    different = {(event.values["name"], event.digest) for event in good}
    identities = {event.values["name"] for event in good}
    assert found == Account(
        topic="Things",
        archived=len(batch),
        quarantined={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        duplicates=len(good) - len(different),
        superseded=len(different) - len(identities),
        deletes=sum(event.deleted for event in good),
        identities=len(identities),
    )
    parts = sum(found.quarantined.values()) + found.duplicates + found.superseded + found.identities
    assert parts == found.archived


def test_nothing_archived_is_an_account_of_nothing(tmp_path):
    assert account(open_lake(tmp_path / "lake"), TOPIC) == Account("Things", 0, {}, 0, 0, 0, 0)
