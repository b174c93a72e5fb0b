"""The store of positions, leases and checkpoints: what holds of it in SQL and in DynamoDB alike."""

from __future__ import annotations

import json
import re
import threading
import uuid
from pathlib import Path

import attrs
import pytest

from onepipe.errors import ConfigurationError, TransportError
from onepipe.url import Url
from onepipe_kinesis.config import KinesisConfig
from onepipe_kinesis.errors import NO_ANSWER, Failure
from onepipe_kinesis.opening import open_store
from onepipe_kinesis.store import Document, update


@pytest.fixture(params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.kinesis)])
def where(request, tmp_path):
    if request.param == "sqlite":
        return {"positions": f"sqlite:///{tmp_path}/positions.db"}
    return {"positions.endpoint": request.getfixturevalue("dynamodb"), "positions.table": f"t-{uuid.uuid4().hex}"}


@pytest.fixture
def config(where):
    return KinesisConfig.of(Url.parse("kinesis://us-east-1"), where)


@pytest.fixture
def store(config):
    store = open_store(config)
    yield store
    store.close()


def test_a_document_is_made_only_where_there_is_none(store):
    assert store.get("s", "n") is None
    assert store.put("s", "n", "one", None)
    assert not store.put("s", "n", "two", None)
    assert store.get("s", "n") == Document("one", 1)


def test_a_document_is_replaced_only_by_who_saw_the_present_one(store):
    store.put("s", "n", "one", None)
    assert store.put("s", "n", "two", 1)
    assert not store.put("s", "n", "three", 1)
    assert not store.put("s", "other", "three", 1)
    assert store.get("s", "n") == Document("two", 2)
    assert store.get("s", "other") is None


def test_clearing_a_space_leaves_the_others(store):
    for space in ("s", "t"):
        for number in range(3):
            store.put(space, f"n{number}", "x", None)
    store.clear("s")
    assert [store.get("s", f"n{number}") for number in range(3)] == [None] * 3
    assert store.get("t", "n0") is not None


def test_what_is_stored_is_there_for_those_who_open_it_later(store, config):
    store.put("s", "n", "é\n" * 1000, None)
    other = open_store(config)
    assert other.get("s", "n") == Document("é\n" * 1000, 1)
    other.close()


def test_changes_of_many_at_once_are_all_made(store):
    def add(name):
        for _ in range(5):
            update(store, "s", "n", lambda text: (json.dumps([*json.loads(text or "[]"), name]), None))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.get("s", "n")
    assert found is not None
    assert sorted(json.loads(found.text)) == sorted("abcd" * 5)


def test_a_change_that_changes_nothing_writes_nothing(store):
    store.put("s", "n", "one", None)
    assert update(store, "s", "n", lambda text: (text, "result")) == "result"
    assert update(store, "s", "m", lambda _: (None, 7)) == 7
    assert store.get("s", "n") == Document("one", 1)
    assert store.get("s", "m") is None


@pytest.mark.kinesis
def test_a_put_to_dynamodb_whose_answer_was_lost_counts_as_made(dynamodb, monkeypatch):
    settings = {"positions.endpoint": dynamodb, "positions.table": f"t-{uuid.uuid4().hex}"}
    store = open_store(KinesisConfig.of(Url.parse("kinesis://us-east-1"), settings))
    from onepipe_kinesis import store_dynamodb

    real, lost = store_dynamodb.call, []

    def lose_first(client, operation, arguments):
        answer = real(client, operation, arguments)
        if operation == "put_item" and not lost:
            lost.append(True)
            raise Failure(NO_ANSWER, "no answer came")
        return answer

    monkeypatch.setattr(store_dynamodb, "call", lose_first)
    assert store.put("s", "n", "one", None)
    assert lost
    assert store.get("s", "n") == Document("one", 1)
    store.close()


def test_a_database_that_cannot_be_opened_is_an_error_of_onepipe(tmp_path):
    with pytest.raises(TransportError):
        open_store(KinesisConfig(region="us-east-1", positions=f"sqlite:///{tmp_path}/none/positions.db"))


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("kinesis://us-east-1?no.such=1", {}),
        ("kinesis://us-east-1/path", {}),
        ("kinesis://user:hidden@us-east-1", {}),
        ("kinesis://us-east-1?endpoint=ftp://host", {}),
        ("kinesis://us-east-1", {"endpoint": "http://user:hidden@host"}),
        ("kinesis://us-east-1?positions=mysql://host/db", {}),
        ("kinesis://us-east-1?positions=postgresql://me:hidden@host/db", {}),
        ("kinesis://us-east-1?record.bytes=12", {}),
        ("kinesis://us-east-1?batch.bytes=many", {}),
        (f"kinesis://us-east-1?batch.bytes={'9' * 5000}", {}),
        ("kinesis://us-east-1?batch.bytes=\N{ARABIC-INDIC DIGIT FIVE}", {}),
        ("kinesis://us-east-1", {"session.timeout.ms": True}),
    ],
)
def test_a_wrong_setting_is_refused_without_its_secrets(url, settings):
    with pytest.raises(ConfigurationError) as refused:
        KinesisConfig.of(Url.parse(url), settings)
    assert "hidden" not in str(refused.value)


def test_every_setting_stands_in_the_reference_with_its_default():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "kinesis.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z.]+)` \| (.*?) \|", page.partition("## Settings")[2], re.MULTILINE))
    fields = {field.name.replace("_", "."): field.default for field in attrs.fields(KinesisConfig)}
    del fields["region"]
    assert rows.keys() == fields.keys()
    for name, default in fields.items():
        assert rows[name].strip("`") == ("AWS's" if default is None else str(default))


def test_settings_are_read_from_the_url_and_those_beside_it_win():
    url = Url.parse("kinesis://eu-west-1?endpoint=http://127.0.0.1:4568&batch.bytes=5&session.timeout.ms=7")
    config = KinesisConfig.of(url, {"batch.bytes": 6, "positions": "postgresql://me:hidden@host/db"})
    assert (config.region, config.endpoint) == ("eu-west-1", "http://127.0.0.1:4568")
    assert (config.batch_bytes, config.session_timeout_ms) == (6, 7)
    assert "hidden" not in repr(config)
