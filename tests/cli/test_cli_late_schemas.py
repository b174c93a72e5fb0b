"""`onepipe maintain` decodes what was archived before its schema was known, by the registry that knows it now."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_world import MILLIS_TYPE, World, avro, record, world
from raw_messages import declare, values

import onepipe as op
from onepipe.cli import main
from onepipe.errors import NotRegistered
from onepipe.registry.stored import StoredRegistry

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ORDER = record("Order", order_id="string", amount="int", updated=MILLIS_TYPE)
LATE = record("Order", order_id="string", amount="int", updated=MILLIS_TYPE, note=("string", ""))


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("ONEPIPE_REGISTRY", raising=False)
    with world(tmp_path) as company:
        yield company


def archived(company: World, **declared: Any) -> op.Topic:
    """A topic with one row of a schema that is known, and one of a schema that its registry learns afterwards."""
    known = company.register("shop.orders-value", ORDER)
    topic = op.Topic.attach(
        "shop.orders", **{"value": "registry", "registry": f"{company.company.url}?attempts=1", **declared}
    )
    order = {"order_id": "O1", "amount": 1, "updated": T0}
    company.write((b"k", avro(known, ORDER, order)), (b"k", avro(known + 1, LATE, {**order, "note": ""})))
    company.pipe.archive(topic)
    company.register("shop.orders-value", LATE)
    return topic


def maintained(capsys: pytest.CaptureFixture[str], folder: Path, *words: str, topic: str = "shop.orders") -> Any:
    assert main(["maintain", topic, "--lake", str(folder / "lake"), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)["topics"][0]["reread"]


def test_a_topic_that_others_write_names_its_registry_itself(
    company: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = archived(company)
    assert company.errors(topic).count(None) == 1
    assert maintained(capsys, tmp_path)["rows"] == 1
    assert company.errors(topic) == [None, None]
    assert maintained(capsys, tmp_path)["rows"] == 0
    company.require_balanced(topic)


def test_the_line_says_what_was_decoded(company: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archived(company)
    assert main(["maintain", "shop.orders", "--lake", str(tmp_path / "lake")]) == 0
    assert capsys.readouterr().out == "shop.orders: nothing to join, 0 files deleted, 1 rows decoded late\n"


def test_a_registry_that_is_down_is_said_once_all_else_is_done(
    company: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = archived(company)
    company.company.stop()
    assert main(["maintain", "shop.orders", "--lake", str(tmp_path / "lake")]) == 2
    assert "cannot be asked" in capsys.readouterr().err
    assert company.errors(topic).count(None) == 1


def test_no_registry_is_opened_where_no_row_asks_for_it(
    company: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = company.register("shop.orders-value", ORDER)
    topic = op.Topic.attach("shop.orders", value="registry", registry=company.company.url)
    company.write((b"k", avro(known, ORDER, {"order_id": "O1", "amount": 1, "updated": T0})))
    company.pipe.archive(topic)
    company.company.stop()
    assert maintained(capsys, tmp_path) == {"topic": "shop.orders", "rows": 0, "files": 0, "conflicts": 0}


def not_registered(*_: object) -> Any:
    raise NotRegistered("not yet")


@pytest.mark.parametrize("named", ["option", "variable", "nowhere"])
def test_other_topics_have_the_registry_that_is_named_and_so_has_the_evidence_about_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.delenv("ONEPIPE_REGISTRY", raising=False)
    topic, registry = declare(), f"sqlite:///{tmp_path}/registry.db"
    with op.connect(f"memory://{tmp_path}/log", registry=registry, lake=tmp_path / "lake") as pipe:
        with pipe.producer() as producer:
            producer.publish_many([values(number) for number in range(3)], topic=topic)
        with monkeypatch.context() as outage:
            outage.setattr(StoredRegistry, "schema", not_registered)
            assert pipe.archive(topic).quarantined == 3
        pipe.dedup(topic)
        before = pipe.verify(topic)
        if named == "variable":
            monkeypatch.setenv("ONEPIPE_REGISTRY", registry)
        words = ["--registry", registry] if named == "option" else []
        reread = maintained(capsys, tmp_path, *words, topic=topic.name)
        pipe.dedup(topic)
        after = pipe.verify(topic)
        assert (before.equation.published, before.equation.quarantined, before.state.value) == (None, 3, "unknown")
        if named == "nowhere":
            assert reread is None
            assert after.equation == before.equation
        else:
            assert reread["rows"] == 3
            assert after.balanced, str(after)
            assert (after.equation.published, after.equation.stored) == (3, 3)
