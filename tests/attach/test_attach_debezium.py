"""Debezium's change events: the row as it is now, whatever order and repetition they come in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_world import MICROS_TYPE, World, avro, record, text, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onepipe as op

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
VALUE = {
    **record("Value", id="long", name=(["null", "string"], None), seen=(["null", MICROS_TYPE], None)),
    "namespace": "db",
}
KEY = record("Key", id="long")
SOURCE = record("Source", lsn="long", table="string")
EVENT = {
    **record("Envelope", before=(["null", VALUE], None), after=(["null", "Value"], None), source=SOURCE,
             op="string", ts_ms=(["null", "long"], None)),
    "namespace": "db",
}  # fmt: skip
LIFT = {"lsn": "source.lsn", "changed": "ts_ms"}


class Table:
    """A table whose changes are written as events, by JSON or by Avro."""

    def __init__(self, company: World, how: str) -> None:
        self.company = company
        self.how = how
        self.lsn = 0
        self.value_id = company.register("shop.orders-value", EVENT)
        self.key_id = company.register("shop.orders-key", KEY)

    def topic(self, **declared: Any) -> op.Topic:
        declared = {"identity": "id", "merge": op.latest("lsn"), "lift": LIFT, "envelope": "debezium"} | declared
        if self.how == "avro":
            url = self.company.company.url
            return op.Topic.attach("shop.orders", value="registry", registry=url, **declared)
        fields = {"id": "long", "name": ["null", "string"], "seen": ["null", MICROS_TYPE], "lsn": "long"}
        schema = record("Row", **fields, changed=["null", "long"])
        return op.Topic.attach("shop.orders", schema, value="json", **declared)

    def key(self, row: int) -> bytes:
        return avro(self.key_id, KEY, {"id": row}) if self.how == "avro" else text({"id": row})

    def change(self, kind: str, row: int, name: str | None = None, **more: Any) -> tuple[bytes, bytes]:
        self.lsn += 1
        image = {"id": row, "name": name, "seen": None}
        event = {
            "before": image if kind == "d" else None,
            "after": None if kind == "d" else image,
            "source": {"lsn": self.lsn, "table": "t"},
            "op": kind,
            "ts_ms": 1_767_225_600_000,
            **more,
        }
        return self.key(row), avro(self.value_id, EVENT, event) if self.how == "avro" else text(event)


@pytest.fixture(params=["avro", "json"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Table]:
    with world(tmp_path) as company:
        yield Table(company, request.param)


def test_rows_are_as_the_last_change_left_them(table: Table) -> None:
    changes = [
        table.change("r", 1, "one"), table.change("c", 2, "two"), table.change("u", 1, "uno"),
        table.change("c", 3, "three"), table.change("d", 2, "two"), (table.key(2), None),
        table.change("d", 4), table.change("c", 4, "again"), (table.key(5), None),
    ]  # fmt: skip
    table.company.write(*changes)
    topic = table.topic()
    table.company.lake_it(topic)
    assert [(row["id"], row["name"]) for row in table.company.clean(topic)] == [(1, "uno"), (3, "three"), (4, "again")]
    assert table.company.errors(topic) == [None] * len(changes)
    table.company.require_balanced(topic)
    with table.company.pipe.consumer(topic, until="end") as consumer:
        read = list(consumer)
    assert sorted(m.record["id"] for m in read if m.deleted) == [2, 2, 4, 5]
    assert {m.record["lsn"] for m in read if m.record["id"] == 1} == {1, 3}


def test_what_is_no_change_of_a_row_is_kept_aside(table: Table) -> None:
    table.company.write(
        table.change("t", 1), table.change("m", 1), table.change("c", 1, after=None), table.change("?", 1),
        table.change("d", 1, before=None), (None, table.change("d", 2, before=None)[1]), (None, None), (b"\xff", None),
    )  # fmt: skip
    topic = table.topic()
    table.company.lake_it(topic)
    reasons = sorted(str(error).split(":")[0] for error in table.company.errors(topic))
    assert reasons.count("None") == 1  # a delete whose row is said by its key
    assert reasons.count("unreadable") == 5
    assert len(reasons) == 8
    assert table.company.clean(topic) == []
    table.company.require_balanced(topic)


def test_tombstones_may_be_kept_aside(table: Table) -> None:
    table.company.write(table.change("c", 1), (table.key(1), None))
    topic = table.topic(tombstones="quarantine")
    table.company.lake_it(topic)
    assert sorted(str(error).split(":")[0] for error in table.company.errors(topic)) == ["None", "tombstone"]
    table.company.require_balanced(topic)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(st.data())
@pytest.mark.parametrize("how", ["avro", "json"])
def test_order_and_repetition_change_nothing(tmp_path_factory: pytest.TempPathFactory, how: str, data: Any) -> None:
    """Any order, with any event twice, in any number of steps, gives what the table's last changes say."""
    kinds = st.tuples(st.sampled_from("crud"), st.integers(1, 3), st.sampled_from(["a", "b", None]))
    history = data.draw(st.lists(kinds, min_size=1, max_size=8))
    with world(tmp_path_factory.mktemp("w")) as company:
        table = Table(company, how)
        events, wanted = [], {}
        for kind, row, name in history:
            events.append(table.change(kind, row, name))
            wanted[row] = name
            if kind == "d":
                del wanted[row]
                events.append((table.key(row), None))
        written = data.draw(st.permutations([*events, *data.draw(st.lists(st.sampled_from(events), max_size=3))]))
        cut = data.draw(st.integers(0, len(written)))
        topic = table.topic()
        for part in (written[:cut], written[cut:]):
            company.write(*part)
            company.lake_it(topic)
        assert {row["id"]: row["name"] for row in company.clean(topic)} == wanted
        company.require_balanced(topic)
        company.pipe.dedup(topic, rebuild=True)
        assert {row["id"]: row["name"] for row in company.clean(topic)} == wanted


def test_what_connect_wraps_with_a_schema_is_unwrapped(tmp_path: Path) -> None:
    with world(tmp_path) as company:
        table = Table(company, "json")
        event = {"op": "c", "after": {"id": 1, "name": "x"}, "source": {"lsn": 1}}
        key = text({"schema": {"type": "struct"}, "payload": {"id": 1}})
        company.write((key, text({"schema": {}, "payload": event})), (key, None))
        topic = table.topic()
        company.lake_it(topic)
        assert [(row["id"], row["name"], row["changed"]) for row in company.clean(topic)] == [(1, "x", None)]
        assert company.errors(topic) == [None, None]
        company.require_balanced(topic)


def test_a_row_that_grew_a_column_is_read_by_what_was_declared(tmp_path: Path) -> None:
    with world(tmp_path) as company:
        table = Table(company, "avro")
        topic = table.topic()
        wider_row = {
            **VALUE,
            "fields": [VALUE["fields"][0], {"name": "age", "type": "int", "default": 0}, *VALUE["fields"][1:]],
        }
        wider = {**EVENT, "fields": [{**EVENT["fields"][0], "type": ["null", wider_row]}, *EVENT["fields"][1:]]}
        created = table.change("c", 1, "one")
        schema_id = company.register("shop.orders-value", wider)
        after = {"id": 2, "age": 7, "name": "two", "seen": T0}
        event = {"before": None, "after": after, "source": {"lsn": 9, "table": "t"}, "op": "c", "ts_ms": None}
        company.write(created, (table.key(2), avro(schema_id, wider, event)))
        company.lake_it(topic)
        assert [(row["id"], row["name"], row["seen"]) for row in company.clean(topic)] == [
            (1, "one", None),
            (2, "two", T0),
        ]
        company.require_balanced(topic)
        assert [field.name for field in table.topic().record.fields] == ["id", "age", "name", "seen", "lsn", "changed"]
