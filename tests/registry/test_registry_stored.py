"""The registry over any store: others that are faster, the cache, and schemas that could not be read back."""

from __future__ import annotations

import pytest

from onepipe.declaring.topic import Topic
from onepipe.errors import Incompatible, RegistryUnavailable, SchemaError
from onepipe.merge import latest
from onepipe.registry.memory import MemoryStore
from onepipe.registry.stored import StoredRegistry
from onepipe.schema.model import Schema


def record(*fields):
    return Schema.parse({"type": "record", "name": "R", "fields": list(fields)})


class OvertakenStore(MemoryStore):
    """Before each of the first appends, another process registers the next of `others` under the same subject."""

    def __init__(self, *others):
        super().__init__()
        self.others = list(others)

    def append(self, subject, text, latest):
        if self.others:
            super().append(subject, self.others.pop(0).text, latest)
        return super().append(subject, text, latest)


def test_a_registration_that_was_overtaken_follows_the_faster_one():
    registry = StoredRegistry(OvertakenStore(record(), record({"name": "b", "type": "int", "default": 0})))
    registered = registry.register_schema("s", record({"name": "a", "type": "int", "default": 0}))
    assert registered.version == 3
    assert registry.subject_versions("s") == (1, 2, 3)


def test_a_registration_that_was_overtaken_is_checked_against_the_faster_one():
    registry = StoredRegistry(OvertakenStore(record({"name": "a", "type": "string"})))
    with pytest.raises(Incompatible, match="version 1 writes string"):
        registry.register_schema("s", record({"name": "a", "type": "int"}))
    assert registry.subject_versions("s") == (1,)


def test_a_registration_overtaken_by_its_own_schema_is_that_version():
    schema = record({"name": "a", "type": "string"})
    registry = StoredRegistry(OvertakenStore(schema))
    assert registry.register_schema("s", schema).version == 1


def test_a_registration_that_is_always_overtaken_gives_up():
    others = [Schema.parse({"type": "record", "name": "R", "doc": str(n), "fields": []}) for n in range(200)]
    with pytest.raises(RegistryUnavailable, match="under s"):
        StoredRegistry(OvertakenStore(*others)).register_schema("s", record())


class CountingStore(MemoryStore):
    texts = 0

    def text(self, schema_id):
        self.texts += 1
        return super().text(schema_id)


def test_a_schema_is_loaded_once_while_it_is_cached_and_the_cache_is_bounded():
    store = CountingStore()
    registry = StoredRegistry(store, cached_schemas=2)
    ids = [registry.register_schema(f"s{n}", Schema.parse(name)).schema_id for n, name in enumerate(("int", "long"))]
    assert registry.schema(ids[0]) is registry.schema(ids[0])
    assert store.texts == 1
    registry.schema(ids[1])
    registry.schema(registry.register_schema("s3", Schema.parse("bytes")).schema_id)
    registry.schema(ids[1])
    assert store.texts == 3
    registry.schema(ids[0])
    assert store.texts == 4


def test_a_topic_found_again_is_the_same_object_while_nothing_was_registered():
    registry = StoredRegistry(MemoryStore())
    schema = record({"name": "a", "type": "string"}, {"name": "b", "type": "long"})
    registry.register(Topic.declare("T", schema, identity="a", merge=latest("b")))
    assert registry.topic("T") is registry.topic("T", 1)


def test_a_schema_that_could_not_be_read_back_is_refused():
    schema = Schema.parse({"type": "record", "name": "R", "doc": "x" * (1 << 20), "fields": []})
    with pytest.raises(SchemaError):
        StoredRegistry(MemoryStore()).register_schema("s", schema)
