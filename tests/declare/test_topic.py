"""A topic and its schema document say the same; a document with another form is refused."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from topic_strategies import topics

from onepipe.declaring.topic import Topic
from onepipe.errors import DeclarationError, SchemaError
from onepipe.merge import latest
from onepipe.schema.model import Schema

RECORD: dict[str, Any] = {
    "type": "record",
    "name": "Thing",
    "fields": [{"name": "id", "type": "string"}, {"name": "n", "type": "long"}, {"name": "f", "type": "double"}],
}


def with_declaration(**declared: Any) -> dict[str, Any]:
    return {**RECORD, "onepipe": {"topic": "Things", **declared}}


@settings(max_examples=100, deadline=None)
@given(topics())
def test_a_document_carries_the_whole_declaration(topic: Topic) -> None:
    text = json.dumps(topic.document())
    again = Topic.from_document(text)
    assert again == topic
    assert hash(again) == hash(topic)
    assert again.document() == topic.document()
    assert topic.evolve() == topic


@settings(max_examples=50, deadline=None)
@given(topics())
def test_a_topic_comes_back_from_a_copy_and_a_pickle(topic: Topic) -> None:
    assert copy.deepcopy(topic) == topic
    assert pickle.loads(pickle.dumps(topic)) == topic  # noqa: S301 - pickled right here


@pytest.mark.parametrize("field", [5, None, ("sid",), b"sid"])
def test_asking_for_the_rules_of_what_is_no_field_is_a_schema_error(field: Any) -> None:
    topic = Topic.from_document(with_declaration())
    assert topic.rules("id").constraints == {}
    with pytest.raises(SchemaError, match="has no field"):
        topic.rules(field)


def test_evolving_changes_one_part_and_checks_it() -> None:
    topic = Topic.declare("Things", Schema.parse(RECORD), identity="id", merge=latest("n"))
    assert topic.evolve(owner="me").document()["onepipe"]["owner"] == "me"
    assert topic.evolve(merge=None).merge is None
    with pytest.raises(DeclarationError, match="which is not a field"):
        topic.evolve(identity="idd")


def test_a_document_without_declaration_gets_the_name_it_is_given() -> None:
    assert Topic.from_document(RECORD, name="Things").document()["onepipe"] == {"version": 1, "topic": "Things"}
    with pytest.raises(DeclarationError, match="no name was given"):
        Topic.from_document(RECORD)
    with pytest.raises(DeclarationError, match="declares topic 'Things'"):
        Topic.from_document(with_declaration(), name="Others")


def test_what_a_topic_does_not_declare_of_its_record_stays() -> None:
    document = {**with_declaration(), "doc": "What.", "aliases": ["Old"], "x": {"y": [1]}}
    assert Topic.from_document(document).document() == {**document, "onepipe": {"version": 1, "topic": "Things"}}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("string", "a topic's schema is a record"),
        ({**RECORD, "onepipe": []}, "'onepipe' is an object"),
        (with_declaration(identiy=["id"]), "unknown declaration 'identiy'; did you mean 'identity'?"),
        (with_declaration(version=2), "upgrade"),
        (with_declaration(identity="id"), "'identity' is a list of field names"),
        (with_declaration(identity=[1]), "'identity' is a list of field names"),
        (with_declaration(partition_key={}), "'partition_key' is a list of field names"),
        (with_declaration(owner=1), "'owner' is text"),
        (with_declaration(audit="loud"), "audit is 'counted' or 'named'"),
        (with_declaration(checks=["n > 0"]), "'checks' is an object"),
        (with_declaration(checks={"n": 0}), "'checks' is an object"),
        (with_declaration(merge="latest"), "a merge policy is an object"),
        (with_declaration(merge={"policy": "latest", "by": "n"}), "'by' is a list of field names"),
        (with_declaration(merge={"policy": "latest", "bye": ["n"]}), "did you mean 'by'?"),
        (with_declaration(identity=["f"]), "double values cannot identify"),
        ({**RECORD, "fields": [{"name": "a", "type": "int", "onepipe": 1}]}, "'onepipe' is an object"),
        ({**RECORD, "fields": [{"name": "a", "type": "int", "onepipe": {"gte": 1}}]}, "unknown rule 'gte'"),
        ({**RECORD, "fields": [{"name": "a", "type": "int", "onepipe": {"sensitivity": "pii"}}]}, "is a list of tags"),
    ],
)
def test_a_declaration_of_another_form_is_refused(document: Any, says: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        Topic.from_document(document, name="Things")
    assert says in str(caught.value)


def test_a_document_that_is_no_schema_is_a_schema_error() -> None:
    with pytest.raises(SchemaError):
        Topic.from_document("{", name="Things")
