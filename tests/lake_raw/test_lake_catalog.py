from __future__ import annotations

import multiprocessing

import pytest
from raw_messages import declare

from onepipe.errors import CorruptFile, NotRegistered
from onepipe.lake.catalog import Catalog
from onepipe.lake.storage import LocalStorage


@pytest.fixture
def storage(tmp_path):
    return LocalStorage(tmp_path)


@pytest.fixture
def catalog(storage):
    return Catalog(storage)


def test_a_declaration_comes_back_whole(catalog):
    topic = declare(owner="team-ü", checks={"priced": "price >= 0"})
    catalog.declare(topic)
    assert catalog.topic("Widgets") == topic
    assert catalog.topics() == ["Widgets"]


def test_declaring_the_same_again_writes_nothing(catalog, storage):
    for _ in range(2):
        catalog.declare(declare())
    assert [file.path for file in storage.list("topics")] == ["topics/Widgets/000001.avsc"]


def test_changed_declarations_are_kept_in_order(catalog):
    old, new = declare(), declare(owner="another")
    for topic in (old, new, old):
        catalog.declare(topic)
    assert catalog.versions("Widgets") == [old, new, old]
    assert catalog.topic("Widgets") == old


def test_an_unknown_topic_says_the_nearest_match(catalog):
    catalog.declare(declare())
    with pytest.raises(NotRegistered, match="did you mean 'Widgets'"):
        catalog.topic("Widgetz")
    with pytest.raises(NotRegistered):
        catalog.versions("Other")


def test_an_unknown_topic_is_named_once_beside_a_few_that_there_are(catalog):
    with pytest.raises(NotRegistered) as nothing:
        catalog.topic("widget")
    assert str(nothing.value) == "topic widget: the lake has no such topic (it has none)"
    for name in ("_onepipe.audit", "Aa", "Bb", "Cc", "Dd", "Ee", "Widgets"):
        catalog.declare(declare().evolve(name=name))
    with pytest.raises(NotRegistered) as near:
        catalog.topic("widget")
    said = "did you mean 'Widgets'? it has Widgets, Aa, Bb, Cc, Dd and 1 more"
    assert str(near.value) == f"topic widget: the lake has no such topic ({said})"


def test_a_damaged_declaration_is_corrupt(catalog, storage):
    storage.write_new("topics/Widgets/000001.avsc", b"{}")
    with pytest.raises(CorruptFile, match="000001"):
        catalog.topic("Widgets")


def _declare(arguments):
    root, owner = arguments
    Catalog(LocalStorage(root)).declare(declare(owner=owner))


@pytest.mark.slow
def test_declarations_of_several_processes_at_once_are_all_kept(tmp_path):
    owners = [f"team-{n}" for n in range(6)]
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_declare, [(str(tmp_path), owner) for owner in owners], chunksize=1)
    assert sorted(topic.owner for topic in Catalog(LocalStorage(tmp_path)).versions("Widgets")) == owners


def test_a_declaration_is_noted_once_though_another_follows_at_once(tmp_path, monkeypatch):
    catalog = Catalog(LocalStorage(tmp_path))
    other = declare(owner="other")
    publish = LocalStorage.write_new

    def write_and_be_followed(storage, path, data):
        publish(storage, path, data)
        monkeypatch.setattr(LocalStorage, "write_new", publish)
        Catalog(storage).declare(other)

    monkeypatch.setattr(LocalStorage, "write_new", write_and_be_followed)
    catalog.declare(declare(owner="mine"))
    assert [topic.owner for topic in catalog.versions("Widgets")] == ["mine", "other"]
