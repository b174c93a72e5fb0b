"""Declares, publishes and consumes with the core alone; to be run where no optional package is installed."""

from __future__ import annotations

import datetime as dt
from importlib.util import find_spec

import onepipe as op


@op.record(topic="Orders", merge=op.latest("updated"), checks={"paid in full": "paid <= total"})
class Order:
    id: str = op.field(identity=True)
    updated: dt.datetime
    total: int = op.field(ge=0)
    paid: int = 0


def main() -> None:
    """Publish, be refused, delete, consume; and be told which extra brings a lake."""
    for heavy in ("pyarrow", "duckdb", "numpy", "sqlalchemy", "rich"):
        assert find_spec(heavy) is None, f"{heavy} is installed: this proves nothing"
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    with op.connect("memory://", lake="lake") as pipe:
        with pipe.producer() as producer:
            producer.publish(Order(id="1", updated=now, total=3))
            try:
                producer.publish(Order(id="2", updated=now, total=3, paid=4))
            except op.errors.InvalidRecord as refused:
                assert [fault.rule for fault in refused.faults] == ["paid in full"]
            producer.delete(Order, id="1", updated=now + dt.timedelta(hours=1))
        with pipe.consumer(Order, until="end") as consumer:
            assert [received.deleted for received in consumer] == [False, True]
        try:
            pipe.archive(Order)
        except op.errors.MissingDependency as missing:
            assert "onepipe[lake]" in str(missing)
        else:
            raise AssertionError("a lake was made without its packages")
    print("light core: publish, refuse, delete, consume: 4 passed, 0 failed")  # noqa: T201 - says that it ran


if __name__ == "__main__":
    main()
