"""Rows whose schema becomes known after they were archived: decoded by maintenance, as if it had been known at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_world import MILLIS_TYPE, World, avro, record, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onepipe as op
from onepipe.audit.verdict import Hop
from onepipe.errors import CommitConflict
from onepipe.lake.table import LakeTable

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ORDER = record("Order", order_id="string", amount="int", updated=MILLIS_TYPE)
LATE = record("Order", order_id="string", amount="int", updated=MILLIS_TYPE, note=("string", ""))


def attach(company: World) -> op.Topic:
    return op.Topic.attach(
        "shop.orders", value="registry", registry=company.company.url, identity="order_id", merge=op.latest("updated")
    )


def order(number: int) -> dict[str, Any]:
    return {"order_id": f"O{number % 3}", "amount": number, "updated": T0 + dt.timedelta(seconds=number * 7 % 10)}


def write(company: World, known: int, *orders: tuple[int, bool]) -> None:
    """Write orders by their number, with the schema that is known from the start or with the late one, the next id."""
    company.write(
        *(
            (b"k", avro(known + 1, LATE, {**order(number), "note": "n"}) if late else avro(known, ORDER, order(number)))
            for number, late in orders
        )
    )


def raw(company: World, topic: op.Topic) -> list[dict[str, Any]]:
    rows = [{name: value for name, value in row.items() if name != "_op_log"} for row in company.rows(topic)]
    return sorted(rows, key=lambda row: (row["_op_partition"], row["_op_offset"]))


def clean(company: World, topic: op.Topic) -> list[dict[str, Any]]:
    rows = company.pipe.table(topic).system_columns().to_arrow().to_pylist()
    return sorted(
        ({name: value for name, value in row.items() if name != "_op_log"} for row in rows),
        key=lambda row: row["order_id"],
    )


@pytest.fixture
def company(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as company:
        yield company


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=6)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=10), st.integers(0, 10))
def test_both_tables_are_as_if_the_schema_had_been_known(
    tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[int, bool]], cut: int
) -> None:
    results = []
    for late in (True, False):
        with world(tmp_path_factory.mktemp("w")) as company:
            known = company.register("shop.orders-value", ORDER)
            topic = attach(company)
            if not late:
                company.register("shop.orders-value", LATE)
            for part in (orders[:cut], orders[cut:]):
                write(company, known, *part)
                company.lake_it(topic)
            company.register("shop.orders-value", LATE)
            company.pipe.maintain(topic)
            company.pipe.dedup(topic)
            company.require_balanced(topic)
            assert company.pipe.maintain(topic).reread.rows == 0
            results.append((raw(company, topic), clean(company, topic)))
    assert results[0] == results[1]


@pytest.fixture
def late(company: World) -> op.Topic:
    """A topic with rows that are archived and merged, of which some could be decoded by now."""
    known = company.register("shop.orders-value", ORDER)
    topic = attach(company)
    write(company, known, (1, False), (2, True), (3, True), (4, False), (5, True))
    company.lake_it(topic)
    company.register("shop.orders-value", LATE)
    return topic


def test_the_clean_table_is_open_until_what_was_read_again_is_merged(company: World, late: op.Topic) -> None:
    assert company.errors(late).count(None) == 2
    report = company.pipe.maintain(late).reread
    assert (report.rows, report.files, report.conflicts) == (3, 2, 0)
    assert company.errors(late).count(None) == 5
    verdict = company.pipe.verify(late)
    states = {hop.hop: hop.state.value for hop in verdict.hops}
    assert (states[Hop.RAW], states[Hop.CLEAN], verdict.findings) == ("balanced", "open", ())
    assert company.pipe.dedup(late).rebuilt
    assert [row["amount"] for row in company.clean(late)] == [3, 4, 5]
    company.require_balanced(late)
    assert not company.pipe.dedup(late).rebuilt


@pytest.mark.slow
@pytest.mark.parametrize("commits", [0, 1, 2])
def test_it_may_end_at_any_commit_and_is_gone_on_with(
    company: World, late: op.Topic, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    real, left = LakeTable.commit, [commits]

    def dying(self: LakeTable, *arguments: Any, **options: Any) -> int:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(self, *arguments, **options)

    monkeypatch.setattr(LakeTable, "commit", dying)
    with pytest.raises(KeyboardInterrupt):
        company.pipe.maintain(late)
        company.pipe.dedup(late)
    monkeypatch.undo()
    assert company.pipe.verify(late).findings == ()
    company.pipe.dedup(late)
    company.require_balanced(late)
    company.pipe.maintain(late)
    company.pipe.dedup(late)
    assert company.errors(late) == [None] * 5
    company.require_balanced(late)


def test_a_file_that_another_process_replaced_first_is_left_alone(
    company: World, late: op.Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: Any, **_options: Any) -> int:
        raise CommitConflict("another process removed it first")

    before = sorted(company.pipe.lake.raw(late.name).snapshot().paths())
    with monkeypatch.context() as patched:
        patched.setattr(LakeTable, "commit", refused)
        assert company.pipe.maintain(late).reread.conflicts == 2
    stored = company.pipe.lake.storage.list("raw/shop.orders")
    assert sorted(file.path for file in stored if "/part" in file.path) == before
    assert company.pipe.maintain(late).reread.files == 2


def test_a_dedup_that_began_before_merges_again(
    company: World, late: op.Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its progress is of the rows as they were when it began, whatever was read again before it committed."""
    write(company, 1, (6, False))
    company.pipe.archive(late)
    real = LakeTable.commit

    def late_commit(self: LakeTable, *arguments: Any, **options: Any) -> int:
        if "clean" in self.root:
            monkeypatch.undo()
            company.pipe.maintain(late)
        return real(self, *arguments, **options)

    monkeypatch.setattr(LakeTable, "commit", late_commit)
    assert not company.pipe.dedup(late).rebuilt
    assert {hop.state.value for hop in company.pipe.verify(late).hops if hop.hop is Hop.CLEAN} == {"open"}
    assert company.pipe.dedup(late).rebuilt
    company.require_balanced(late)


def test_rows_that_were_read_stay_as_they_were_read_and_the_others_are_read_by_todays_declaration(
    company: World, late: op.Topic
) -> None:
    wider = attach(company)
    assert "note" in {field.name for field in wider.record.fields} - {field.name for field in late.record.fields}
    company.pipe.maintain(wider)
    company.pipe.dedup(wider)
    notes = {row["amount"]: row["note"] for row in company.rows(wider)}
    assert notes == {1: None, 2: "n", 3: "n", 4: None, 5: "n"}
    company.require_balanced(wider)


def test_a_registry_that_cannot_be_asked_leaves_the_rows_for_the_next_time(company: World) -> None:
    known = company.register("shop.orders-value", ORDER)
    topic = op.Topic.attach(
        "shop.orders", value="registry", registry=f"{company.company.url}?attempts=1", identity="order_id"
    )
    write(company, known, (1, False), (2, True))
    company.pipe.archive(topic)
    company.register("shop.orders-value", LATE)
    company.company.registry.faults += [503]
    with pytest.raises(op.errors.RegistryUnavailable):
        company.pipe.maintain(topic)
    assert company.pipe.maintain(topic).reread.rows == 1
    assert company.errors(topic) == [None, None]
