"""What changes between two declarations, and what each change asks."""

from __future__ import annotations

import pytest

from onepipe.declaring.changes import WORDS, ChangeKind, Severity, allowed_words, blocking, diff
from onepipe.declaring.topic import Topic
from onepipe.errors import ConfigurationError
from onepipe.merge import first, latest
from onepipe.schema.model import Schema

SID = {"name": "sid", "type": "string"}
AT = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
TO = {"name": "to", "type": {"type": "long", "logicalType": "timestamp-micros"}}
N = {"name": "n", "type": "int"}


def topic(*fields, name="T", doc=None, **declared):
    record = {"type": "record", "name": "R", "fields": list(fields) or [SID, AT, TO, N]}
    if doc:
        record["doc"] = doc
    return Topic.declare(name, Schema.parse(record), **{"identity": "sid", "merge": latest("at"), **declared})


def told(old, new):
    return [(change.kind, change.severity, change.field) for change in diff(old, new)]


@pytest.mark.parametrize(
    ("changed", "kind", "severity"),
    [
        ({"name": "U"}, ChangeKind.TOPIC, Severity.REFUSED),
        ({"identity": ("sid", "n")}, ChangeKind.IDENTITY, Severity.REFUSED),
        ({"identity": "n"}, ChangeKind.IDENTITY, Severity.REFUSED),
        ({"merge": first("at")}, ChangeKind.MERGE, Severity.ASK),
        ({"merge": latest("to")}, ChangeKind.MERGE, Severity.ASK),
        ({"merge": None}, ChangeKind.MERGE, Severity.ASK),
        ({"checks": {"c": "n > 0"}}, ChangeKind.CHECKS, Severity.ASK),
        ({"event_time": "at"}, ChangeKind.EVENT_TIME, Severity.ASK),
        ({"partition_key": "n"}, ChangeKind.PARTITION_KEY, Severity.ASK),
        ({"owner": "team"}, ChangeKind.OWNER, Severity.NOTE),
        ({"doc": "Doc."}, ChangeKind.DOCS, Severity.NOTE),
        ({"audit": "named"}, ChangeKind.AUDIT, Severity.NOTE),
        ({"codec": "json"}, ChangeKind.CODEC, Severity.REFUSED),
    ],
)
def test_each_change_of_a_topic_is_told_both_ways_with_its_severity(changed, kind, severity):
    assert told(topic(), topic(**changed)) == [(kind, severity, None)]
    assert told(topic(**changed), topic()) == [(kind, severity, None)]


@pytest.mark.parametrize(
    ("rules", "kind", "severity"),
    [
        ({"onepipe": {"ge": 0}}, ChangeKind.CONSTRAINTS, Severity.ASK),
        ({"onepipe": {"sensitivity": ["pii"]}}, ChangeKind.SENSITIVITY, Severity.NOTE),
        ({"onepipe": {"merge": {"policy": "max"}}}, ChangeKind.FIELD_MERGE, Severity.ASK),
        ({"doc": "How many."}, ChangeKind.DOCS, Severity.NOTE),
    ],
)
def test_each_change_of_a_field_is_told_both_ways_with_its_severity(rules, kind, severity):
    changed = topic(SID, AT, TO, {**N, **rules})
    assert told(topic(), changed) == [(kind, severity, "n")]
    assert told(changed, topic()) == [(kind, severity, "n")]


def test_nothing_changes_between_equal_declarations_and_none():
    assert diff(topic(), topic()) == diff(None, None) == ()


def test_the_order_of_the_identity_is_part_of_it():
    (change,) = diff(topic(identity=("sid", "n")), topic(identity=("n", "sid")))
    assert str(change) == (
        "the identity changes from sid as string, n as integer to n as integer, sid as string "
        "(keep it as it is; what needs another one is another topic)"
    )


def test_an_identity_that_would_be_written_otherwise_is_another_identity():
    number, wide = topic(SID, AT, N, identity="n"), topic(SID, AT, {**N, "type": "long"}, identity="n")
    raw = topic(SID, AT, {**N, "type": "bytes"}, identity="n")
    text = topic(SID, AT, {**N, "type": "string"}, identity="n")
    assert diff(number, wide) == ()
    assert told(text, raw) == [(ChangeKind.IDENTITY, Severity.REFUSED, None)]


def test_the_partition_key_is_the_identity_where_none_is_declared():
    assert diff(topic(), topic(partition_key="sid")) == ()


def test_a_renamed_field_keeps_its_rules():
    old = topic(SID, AT, {**N, "onepipe": {"ge": 0, "le": 9}})
    new = topic(SID, AT, {"name": "count", "type": "int", "aliases": ["n"], "onepipe": {"ge": 1, "lt": 10}})
    assert [(change.field, change.message) for change in diff(old, new)] == [
        ("count", "constraint 'ge' changes from 0 to 1"),
        ("count", "constraint 'le' is removed: 9"),
        ("count", "constraint 'lt' is added: 10"),
    ]


def test_rules_of_an_added_field_change_nothing_that_was():
    added = {"name": "x", "type": "int", "default": 0, "doc": "X.", "onepipe": {"ge": 0, "sensitivity": ["pii"]}}
    assert diff(topic(), topic(SID, AT, TO, N, added)) == ()


def test_a_first_declaration_is_a_note_and_dropping_it_is_refused():
    bare = Topic("T", Schema.parse({"type": "record", "name": "R", "fields": [SID, AT, TO, N]}))
    for nothing in (None, bare):
        assert told(nothing, topic()) == [(ChangeKind.DECLARATION, Severity.NOTE, None)]
        assert told(topic(), nothing) == [(ChangeKind.DECLARATION, Severity.REFUSED, None)]


def test_the_gravest_change_comes_first():
    changes = diff(topic(), topic(identity="n", merge=first("at"), owner="team"))
    assert [change.severity for change in changes] == [Severity.REFUSED, Severity.ASK, Severity.NOTE]


def test_a_change_says_the_word_that_allows_it_and_what_it_does():
    (change,) = diff(topic(), topic(merge=first("at", "to")))
    assert str(change) == (
        "the merge policy changes from latest by at to first by at, to "
        "(if it is meant, allow=('merge',): the clean table is to be built again)"
    )


def test_only_the_words_given_let_changes_pass_and_none_lets_a_refused_one():
    changes = diff(topic(), topic(identity="n", merge=first("at"), event_time="at", owner="team"))
    assert [change.kind for change in blocking(changes, ())] == [
        ChangeKind.IDENTITY,
        ChangeKind.MERGE,
        ChangeKind.EVENT_TIME,
    ]
    assert [change.kind for change in blocking(changes, "merge")] == [ChangeKind.IDENTITY, ChangeKind.EVENT_TIME]
    assert [change.kind for change in blocking(changes, set(WORDS.values()))] == [ChangeKind.IDENTITY]


def test_a_word_that_allows_nothing_is_refused_with_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'event_time'"):
        allowed_words(["merge", "eventtime"])
