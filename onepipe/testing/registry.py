"""The contract of a registry, as a suite to inherit: a registry is one when every scenario passes.

    class TestMyRegistry(RegistryContract):
        @pytest.fixture
        def registry(self):
            with open_registry("…") as registry:
                yield registry      # empty, a new one for each test

Scenarios are numbered in the tests' docstrings, R1 to R29.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from onepipe.declaring.changes import ChangeKind
from onepipe.declaring.topic import Topic
from onepipe.errors import (
    ClosedError,
    ConfigurationError,
    DeclarationError,
    Incompatible,
    NotRegistered,
    SchemaError,
)
from onepipe.merge import first, latest
from onepipe.registry.port import Registry, schema_guid
from onepipe.schema.compatibility import Kind, Level
from onepipe.schema.model import Schema

STRING: dict[str, Any] = {"name": "sid", "type": "string"}
UPDATED: dict[str, Any] = {"name": "updated", "type": {"type": "long", "logicalType": "timestamp-micros"}}
PRICE: dict[str, Any] = {"name": "price", "type": "double", "default": 0.0}


def record(*fields: dict[str, Any], name: str = "Widget", **rest: Any) -> Schema:
    """A record's schema of these fields."""
    return Schema.parse({"type": "record", "name": name, "fields": list(fields), **rest})


def widgets(*fields: dict[str, Any], doc: str | None = None, **declared: Any) -> Topic:
    """A declaration of topic Widgets: identity sid, latest by updated, and whatever `declared` says otherwise."""
    schema = record(STRING, UPDATED, *fields, **({"doc": doc} if doc else {}))
    return Topic.declare("Widgets", schema, **{"identity": "sid", "merge": latest("updated"), **declared})


class RegistryContract:
    """Inherit, and give a fixture `registry`: an empty registry for each test."""

    @pytest.fixture
    def registry(self) -> Registry:
        """An empty registry; to be overridden."""
        raise NotImplementedError

    def test_r1_the_first_schema_of_a_subject_is_version_1(self, registry: Registry) -> None:
        """R1: an empty registry takes any schema as version 1, with an id from 1 to 2**31 - 1."""
        registered = registry.register(widgets())
        assert (registered.subject, registered.version, registered.schema) == ("Widgets-value", 1, widgets().schema)
        assert 1 <= registered.schema_id < 2**31

    def test_r2_registering_again_is_nothing(self, registry: Registry) -> None:
        """R2: the same declaration again gives the same id and version."""
        assert registry.register(widgets()) == registry.register(widgets())
        assert registry.versions("Widgets") == (1,)

    def test_r3_one_schema_has_one_id_under_any_subject(self, registry: Registry) -> None:
        """R3: the same schema under another subject has the same id."""
        one, two = (registry.register_schema(subject, record()) for subject in ("a", "b"))
        assert one.schema_id == two.schema_id
        assert (one.subject, two.subject) == ("a", "b")

    def test_r4_another_schema_is_the_next_version(self, registry: Registry) -> None:
        """R4: versions count up by one, ids differ, and both stay as they are."""
        one, two = registry.register(widgets()), registry.register(widgets(PRICE))
        assert (one.version, two.version) == (1, 2)
        assert one.schema_id != two.schema_id
        assert registry.version("Widgets-value", 1) == one
        assert registry.version("Widgets-value") == two

    def test_r5_an_earlier_schema_is_found_where_it_is(self, registry: Registry) -> None:
        """R5: registering an earlier version's schema gives that version; the latest stays the latest."""
        one = registry.register(widgets())
        registry.register(widgets(PRICE))
        assert registry.register(widgets()) == one
        assert registry.version("Widgets-value").version == 2

    def test_r6_a_schema_is_found_by_its_id_as_it_was(self, registry: Registry) -> None:
        """R6: a schema keeps every attribute, known or not."""
        schema = record({**STRING, "doc": "naïve 🦋\u0000", "custom": [1, {"x": None}]}, other={"a": "b"})
        found = registry.schema(registry.register_schema("any", schema).schema_id)
        assert found.text == schema.text

    @pytest.mark.parametrize("schema_id", [0, -1, 4711, 2**31 - 1])
    def test_r7_an_unknown_id_is_not_registered(self, registry: Registry, schema_id: int) -> None:
        """R7: an id nobody was given is refused, with the id in the message."""
        registry.register(widgets())
        with pytest.raises(NotRegistered, match=str(schema_id)):
            registry.schema(schema_id)

    def test_r8_what_readers_cannot_follow_is_refused_whole(self, registry: Registry) -> None:
        """R8: every problem is named with its field, and nothing is registered."""
        registry.register(widgets())
        changed = widgets({"name": "a", "type": "int"}, {"name": "b", "type": "int"})
        with pytest.raises(Incompatible) as caught:
            registry.register(changed)
        assert [problem.split(":")[0] for problem in caught.value.problems] == ["a", "b"]
        assert caught.value.topic == "Widgets"
        assert registry.versions("Widgets") == (1,)
        with pytest.raises(NotRegistered):
            registry.lookup("Widgets-value", changed.schema)

    def test_r9_a_check_registers_nothing(self, registry: Registry) -> None:
        """R9: check says what registering would come to, and leaves the registry as it is."""
        assert registry.check(widgets()).accepted
        assert registry.topics() == ()
        registry.register(widgets())
        assert registry.check(widgets()).version == 1
        review = registry.check(widgets({"name": "a", "type": "int"}, merge=first("updated")))
        assert not review.accepted
        assert [problem.kind for problem in review.problems] == [Kind.READER_FIELD_MISSING_DEFAULT_VALUE]
        assert [change.kind for change in review.blocking] == [ChangeKind.MERGE]
        assert registry.versions("Widgets") == (1,)

    def test_r10_the_identity_never_changes(self, registry: Registry) -> None:
        """R10: another identity is refused, whatever is allowed and at every level."""
        registry.register(widgets())
        registry.set_compatibility(Level.NONE, "Widgets-value")
        with pytest.raises(Incompatible, match="identity"):
            registry.register(
                widgets(identity=("sid", "updated")), allow=("merge", "checks", "event_time", "partition_key")
            )

    @pytest.mark.parametrize(
        ("word", "changed"),
        [
            ("merge", {"merge": first("updated")}),
            ("checks", {"checks": {"named": "sid <> ''"}}),
            ("event_time", {"event_time": "updated"}),
            ("partition_key", {"partition_key": "updated"}),
        ],
    )
    def test_r11_some_changes_are_asked_for(self, registry: Registry, word: str, changed: dict[str, Any]) -> None:
        """R11: a change of merge policy, checks, event time or partition key is made where its word is allowed."""
        registry.register(widgets())
        with pytest.raises(Incompatible, match=word):
            registry.register(widgets(**changed))
        assert registry.register(widgets(**changed), allow=(word,)).version == 2

    def test_r12_docs_and_owner_may_change(self, registry: Registry) -> None:
        """R12: what nothing rests on changes freely, and is told by check."""
        registry.register(widgets())
        review = registry.check(widgets(doc="A widget.", owner="team"))
        assert {change.kind for change in review.changes} == {ChangeKind.OWNER, ChangeKind.DOCS}
        assert registry.register(widgets(doc="A widget.", owner="team")).version == 2

    def test_r13_an_unknown_word_is_refused(self, registry: Registry) -> None:
        """R13: a word that allows nothing is refused even where nothing is to be allowed."""
        with pytest.raises(ConfigurationError, match="merge"):
            registry.register(widgets(), allow=("merges",))
        with pytest.raises(ConfigurationError, match="merge"):
            registry.check(widgets(), allow=("merges",))

    def test_r14_a_topic_is_found_by_name_and_version(self, registry: Registry) -> None:
        """R14: each version's whole declaration comes back."""
        registry.register(widgets())
        registry.register(widgets(PRICE))
        assert registry.topic("Widgets") == widgets(PRICE)
        assert registry.topic("Widgets", 1) == widgets()

    def test_r15_an_unknown_name_or_version_is_not_registered(self, registry: Registry) -> None:
        """R15: the message says the nearest name."""
        registry.register(widgets())
        with pytest.raises(NotRegistered, match="did you mean 'Widgets'"):
            registry.topic("Widget")
        with pytest.raises(NotRegistered, match="did you mean 'Widgets-value'"):
            registry.version("Widgets-valu")
        for version in (0, 2, -1):
            with pytest.raises(NotRegistered):
                registry.topic("Widgets", version)
        with pytest.raises(NotRegistered):
            registry.versions("Gadgets")

    def test_r16_names_are_listed_sorted(self, registry: Registry) -> None:
        """R16: topics are those of subjects that end in "-value"."""
        for subject in ("b-value", "a-key", "-value", "B-value", "a-value", "ä-value"):
            registry.register_schema(subject, record())
        assert registry.subjects() == ("-value", "B-value", "a-key", "a-value", "b-value", "ä-value")
        assert registry.topics() == ("B", "a", "b", "ä")

    def test_r17_the_level_of_a_subject_comes_before_the_registrys(self, registry: Registry) -> None:
        """R17: BACKWARD where none is set; a subject's own may be set before it has versions, and taken back."""
        assert registry.compatibility() is registry.compatibility("a") is Level.BACKWARD
        registry.set_compatibility("FULL")
        registry.set_compatibility(Level.NONE, "a")
        registry.set_compatibility(Level.FORWARD, "a")
        levels = (registry.compatibility(), registry.compatibility("a"), registry.compatibility("b"))
        assert levels == (Level.FULL, Level.FORWARD, Level.FULL)
        registry.set_compatibility(None, "a")
        registry.set_compatibility(None)
        assert registry.compatibility() is registry.compatibility("a") is Level.BACKWARD
        assert registry.subjects() == ()

    def test_r18_an_unknown_level_is_refused(self, registry: Registry) -> None:
        """R18: the message says the nearest level."""
        with pytest.raises(ConfigurationError, match="BACKWARD"):
            registry.set_compatibility("BACKWARDS")

    def test_r19_the_subjects_level_decides(self, registry: Registry) -> None:
        """R19: a forward change is refused at BACKWARD, taken at FORWARD; a transitive level looks at all versions."""
        grown = record({"name": "a", "type": "int"})
        registry.register_schema("s", record())
        with pytest.raises(Incompatible):
            registry.register_schema("s", grown)
        registry.set_compatibility(Level.FORWARD, "s")
        assert registry.register_schema("s", grown).version == 2
        registry.set_compatibility(Level.BACKWARD, "s")
        third = record({"name": "a", "type": "long"})
        assert registry.check_schema("s", third).accepted
        registry.set_compatibility(Level.BACKWARD_TRANSITIVE, "s")
        with pytest.raises(Incompatible, match="version 1 "):
            registry.register_schema("s", third)

    def test_r20_schemas_without_a_declaration_are_topics_too(self, registry: Registry) -> None:
        """R20: what other producers register is found by topic, and registering what was found adds no version."""
        registered = registry.register_schema("orders-value", record(STRING))
        topic = registry.topic("orders")
        assert (topic.name, topic.schema, topic.identity, topic.merge) == ("orders", record(STRING), (), None)
        assert registry.register(topic) == registered

    def test_r21_a_declaration_may_come_later_and_stays(self, registry: Registry) -> None:
        """R21: a schema without declaration can be followed by a declared one, and not the other way round."""
        bare = record(STRING, UPDATED)
        registry.register_schema("Widgets-value", bare)
        assert registry.register(widgets()).version == 2
        assert registry.register_schema("Widgets-value", bare).version == 1
        with pytest.raises(Incompatible, match="declaration"):
            registry.register_schema("Widgets-value", record(STRING, UPDATED, PRICE))

    def test_r22_a_declaration_stands_under_its_own_subject(self, registry: Registry) -> None:
        """R22: a schema that declares a topic is refused as another topic's; under other subjects it is a schema."""
        with pytest.raises(DeclarationError, match="Widgets"):
            registry.register_schema("Gadgets-value", widgets().schema)
        assert registry.register_schema("Widget", widgets().schema).version == 1

    def test_r23_an_invalid_default_is_refused(self, registry: Registry) -> None:
        """R23: a default that is no value of its type would fail its readers only later."""
        with pytest.raises(SchemaError, match="price"):
            registry.register_schema("s", record({**PRICE, "default": "0"}))

    @pytest.mark.parametrize("subject", ["a/b", "a'; DROP TABLE x; --", 'q"uo`te', "%_", "Ünïcode 🦋", "x" * 300, ":v"])
    def test_r24_a_subject_may_have_any_printable_name(self, registry: Registry, subject: str) -> None:
        """R24: names are data and never more; they are kept as they are."""
        registry.register_schema("other", record())
        assert registry.register_schema(subject, record()).version == 1
        assert registry.subject_versions(subject) == (1,)
        assert set(registry.subjects()) == {subject, "other"}

    @pytest.mark.parametrize("subject", ["", "a\nb", "a\u0000b", "\ud800", "x" * 301])
    def test_r25_other_names_are_refused(self, registry: Registry, subject: str) -> None:
        """R25: a subject without name, with control characters, or of more than 300 characters is refused."""
        with pytest.raises(DeclarationError):
            registry.register_schema(subject, record())

    def test_r26_many_register_at_once(self, registry: Registry) -> None:
        """R26: one schema gets one id however many register it at once; of others, ids and versions never collide."""
        registry.set_compatibility(Level.NONE)
        schemas = [record(name=f"R{number % 8}") for number in range(64)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda schema: registry.register_schema("s", schema), schemas))
        assert registry.subject_versions("s") == tuple(range(1, 9))
        assert len({one.schema_id for one in found}) == len({one.version for one in found}) == 8
        assert len({(one.schema_id, one.version, one.schema) for one in found}) == 8

    def test_r27_a_closed_registry_says_so(self, registry: Registry) -> None:
        """R27: after close everything raises ClosedError, what was cached included; closing again is nothing."""
        registered = registry.register(widgets())
        registry.schema(registered.schema_id)
        registry.close()
        registry.close()
        with pytest.raises(ClosedError):
            registry.schema(registered.schema_id)
        with pytest.raises(ClosedError):
            registry.topics()
        with pytest.raises(ClosedError):
            registry.register(widgets())

    def test_r28_a_schema_is_found_by_its_guid(self, registry: Registry) -> None:
        """R28: the GUID is the MD5 of the text; an unknown one is refused, with the GUID in the message."""
        for topic in (widgets(), widgets(PRICE)):
            registry.register(topic)
        assert registry.schema_by_guid(schema_guid(widgets().schema.text)) == widgets().schema
        with pytest.raises(NotRegistered, match="00000000-0000-0000-0000-000000000007"):
            registry.schema_by_guid(UUID(int=7))

    def test_r29_a_schema_is_found_by_its_fingerprint(self, registry: Registry) -> None:
        """R29: it is looked for among the versions of the subjects that are named, of which some may not exist."""
        registry.register_schema("elsewhere", record({"name": "a", "type": "int"}))
        for topic in (widgets(), widgets(PRICE)):
            registry.register(topic)
        subjects = ("nothing", "Widgets-value")
        assert registry.schema_by_fingerprint(widgets().schema.fingerprint, subjects) == widgets().schema
        for fingerprint in (7, record({"name": "a", "type": "int"}).fingerprint):
            with pytest.raises(NotRegistered, match=f"{fingerprint:016x}"):
                registry.schema_by_fingerprint(fingerprint, subjects)
