"""Through an outage of the registry, what was found is found, and what was not counts as unknown for the time."""

from __future__ import annotations

import logging
from uuid import UUID

import pytest

from onepipe.errors import NotRegistered, RegistryUnavailable, SchemaError
from onepipe.registry.outage import PAUSE_SECONDS, ThroughOutage
from onepipe.schema.model import Schema

FOUND = Schema.parse("string")


class Source:
    """A registry that knows everything, unless it is down or says otherwise; counts what it is asked."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.asked = 0

    def _answer(self) -> Schema:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return FOUND

    def schema(self, schema_id: int) -> Schema:
        return self._answer()

    def schema_by_guid(self, guid: UUID) -> Schema:
        return self._answer()

    def schema_by_fingerprint(self, fingerprint: int, subjects: object) -> Schema:
        return self._answer()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def moment() -> list[float]:
    return [100.0]


@pytest.fixture
def schemas(source: Source, moment: list[float]) -> ThroughOutage:
    return ThroughOutage(source, "archive of T", clock=lambda: moment[0])


def every(schemas: ThroughOutage, number: int) -> list[Schema]:
    return [
        schemas.schema(number),
        schemas.schema_by_guid(UUID(int=number)),
        schemas.schema_by_fingerprint(number, ["T-value"]),
    ]


def test_what_was_found_once_is_found_without_the_registry(source: Source, schemas: ThroughOutage) -> None:
    assert every(schemas, 1) == [FOUND] * 3
    source.fault = RegistryUnavailable("down")
    assert every(schemas, 1) == [FOUND] * 3
    assert source.asked == 3


def test_what_was_not_found_is_unknown_and_asked_for_once_in_a_pause(
    source: Source, schemas: ThroughOutage, moment: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    source.fault = RegistryUnavailable("the registry at http://r cannot be asked: refused")
    with caplog.at_level(logging.WARNING):
        for number in range(1, 4):
            with pytest.raises(NotRegistered):
                schemas.schema(number)
    assert source.asked == 1
    (warning,) = caplog.messages
    assert warning.startswith("archive of T: schemas that are not known yet count as unknown: the registry at http://r")
    moment[0] += PAUSE_SECONDS
    with pytest.raises(NotRegistered):
        schemas.schema(1)
    assert source.asked == 2
    source.fault = None
    with pytest.raises(NotRegistered):
        schemas.schema(1)
    moment[0] += PAUSE_SECONDS
    assert every(schemas, 1) == [FOUND] * 3


@pytest.mark.parametrize("said", [NotRegistered("no schema has the id 1"), SchemaError("of type PROTOBUF")])
def test_what_the_registry_says_is_said_on_and_asked_again(
    source: Source, schemas: ThroughOutage, said: Exception
) -> None:
    source.fault = said
    for asked in (1, 2):
        with pytest.raises(type(said), match=str(said)):
            schemas.schema(1)
        assert source.asked == asked
    source.fault = None
    assert schemas.schema(1) == FOUND
