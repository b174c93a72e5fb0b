"""Declarations whose arguments are of another type, at the class: each is a DeclarationError, nothing else."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import onepipe as op
from onepipe.errors import CheckError, DeclarationError
from onepipe.schema.model import Schema


def declare(annotations: dict[str, Any], body: dict[str, Any] | None = None, **options: Any) -> type:
    plain = type("Widget", (), {"__annotations__": annotations, "__module__": __name__, **(body or {})})
    made: type = op.record(topic="Widgets", **options)(plain)
    return made


ARGUMENTS: list[tuple[str, Any]] = [
    *[(name, 5) for name in ("identity", "event_time", "partition_key", "name", "namespace", "doc", "owner", "codec")],
    *[(name, 5) for name in ("aliases", "attributes", "checks")],
    ("identity", [5]),
    ("checks", ["sid <> ''"]),
    ("attributes", {"x": object()}),
    ("attributes", {"x": math.nan}),
    ("attributes", {"x": b"1"}),
    ("merge", op.MergePolicy(5)),  # type: ignore[arg-type]  # what is tested
    ("merge", op.MergePolicy("latest", 5)),  # type: ignore[arg-type]  # what is tested
    ("merge", op.MergePolicy("latest", "sid")),  # type: ignore[arg-type]  # what is tested
    ("merge", op.latest(5)),  # type: ignore[arg-type]  # what is tested
]


@pytest.mark.parametrize(("name", "value"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_an_argument_of_another_type_is_a_declaration_error(name: str, value: Any) -> None:
    with pytest.raises(DeclarationError):
        declare({"sid": str}, **{"identity": "sid", name: value})


def test_a_topic_named_by_no_text_is_a_declaration_error() -> None:
    with pytest.raises(DeclarationError, match="topic is text, not int"):
        op.record(topic=5)(type("Widget", (), {}))  # type: ignore[call-overload]  # what is tested


FIELDS: list[dict[str, Any]] = [{"aliases": 5}, {"sensitivity": 5}, {"attributes": 5}, {"factory": 5}]


@pytest.mark.parametrize("options", FIELDS, ids=str)
def test_an_option_of_a_field_of_another_type_is_a_declaration_error(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        op.field(**options)


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "a\n", "1a", "", "class"])
def test_a_field_whose_name_is_no_identifier_is_a_declaration_error(name: str) -> None:
    with pytest.raises(DeclarationError):
        declare({"sid": str, name: int})


@pytest.mark.parametrize("annotation", ["1/0", "list[", "[][0]", "open('/nonexistent')", typing.List, typing.Dict])  # noqa: UP006 (what is tested)
def test_an_annotation_that_is_no_type_is_a_declaration_error(annotation: Any) -> None:
    with pytest.raises(DeclarationError):
        declare({"sid": str, "x": annotation})


def test_a_field_that_the_constructor_does_not_take_is_a_declaration_error() -> None:
    with pytest.raises(DeclarationError, match=r"field sid: .*init=False"):
        declare({"sid": str}, {"sid": attrs.field(init=False, default="x")})


@pytest.mark.parametrize("decorator", [op.record, op.record(topic="Widgets"), op.enumeration()])
def test_decorating_what_is_no_class_is_a_declaration_error(decorator: Callable[[Any], Any]) -> None:
    with pytest.raises(DeclarationError, match="decorates"):
        decorator(5)


SCHEMA = Schema.parse({"type": "record", "name": "Widget", "fields": [{"name": "sid", "type": "string"}]})
TOPIC_ARGUMENTS: list[tuple[str, Any]] = [
    *[(name, 5) for name in ("name", "schema", "identity", "merge", "event_time", "owner", "partition_key", "audit")],
    *[(name, 5) for name in ("checks", "codec", "source")],
    *[(name, None) for name in ("name", "schema", "identity", "partition_key")],
    *[(name, ["sid"]) for name in ("name", "event_time", "owner", "codec", "checks", "source")],
    *[("identity", value) for value in ([5], [["sid"]], b"sid")],
    ("schema", SCHEMA.document()),
    ("checks", {5: "sid <> ''"}),
    ("checks", {"known": None}),
]


@pytest.mark.parametrize(("name", "value"), TOPIC_ARGUMENTS, ids=range(len(TOPIC_ARGUMENTS)))
def test_a_topic_declared_or_evolved_with_another_type_is_a_declaration_error(name: str, value: Any) -> None:
    with pytest.raises(DeclarationError):
        op.Topic.declare(**{"name": "Widgets", "schema": SCHEMA, name: value})
    with pytest.raises(DeclarationError):
        op.Topic.declare("Widgets", SCHEMA, identity="sid").evolve(**{name: value})


def test_evolving_what_no_topic_declares_names_what_was_meant() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'identity'"):
        op.Topic.declare("Widgets", SCHEMA).evolve(identitty="sid")


@pytest.mark.parametrize("document", [5, None, [5], b"\xff", object()], ids=type)
def test_a_document_of_another_type_is_a_declaration_error(document: Any) -> None:
    with pytest.raises(DeclarationError):
        op.Topic.from_document(document)


@pytest.mark.parametrize("name", [5, ["Widgets"], b"Widgets"], ids=repr)
def test_a_document_named_by_no_text_is_a_declaration_error(name: Any) -> None:
    with pytest.raises(DeclarationError, match="name is text"):
        op.Topic.from_document(SCHEMA.document(), name=name)


def test_text_that_is_empty_declares_nothing() -> None:
    named = op.Topic.declare("Widgets", SCHEMA, event_time="", owner="", codec="")
    assert named == op.Topic.declare("Widgets", SCHEMA)


@pytest.mark.parametrize("name", [5, None, ["sid"], b"sid"], ids=repr)
def test_a_column_named_by_no_text_is_a_check_error(name: Any) -> None:
    with pytest.raises(CheckError, match="named by text"):
        op.col(name)
