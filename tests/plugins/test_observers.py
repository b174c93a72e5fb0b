from __future__ import annotations

import attrs
import pytest

from onepipe.observe.events import Event, Observers


@attrs.frozen
class Flushed(Event):
    messages: int = 0


def test_every_observer_is_told_in_order() -> None:
    told: list[tuple[str, Event]] = []
    observers = Observers.of([lambda event: told.append(("a", event)), lambda event: told.append(("b", event))])
    event = Flushed("Widgets", 3)
    observers(event)
    assert told == [("a", event), ("b", event)]


def test_an_observer_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []

    def fail(event: Event) -> None:
        raise ValueError("inside")

    Observers.of([fail, told.append])(Flushed("Widgets"))
    assert told == [Flushed("Widgets")]
    assert "failed on Flushed" in caplog.text


def test_event_data_is_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Flushed("Widgets").topic = "Gadgets"  # type: ignore[misc]  # the very thing that must not work
