from __future__ import annotations

import datetime as dt
import sys
import tempfile
import types
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_arrivals import Event, Raw, clean_rows, declare_thing, expected

import onepipe as op
from onepipe import merge as merges
from onepipe import plugins
from onepipe.errors import DeclarationError, PluginError
from onepipe.hookspecs import hookimpl
from onepipe.lake import open_lake
from onepipe.lake.dedup import dedup
from onepipe.merge import MergePolicy, field_merge, register_field_merge
from onepipe.plugins import Plugins
from onepipe.schema.model import Node, Primitive
from onepipe.testing.merges import check_field_merge

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class BitOr:
    """All bits that were ever set."""

    name = "bit_or"

    def accepts(self, node: Node) -> bool:
        return isinstance(node, Primitive) and node.name in ("int", "long") and node.logical is None

    def combine(self, left: int, right: int) -> int:
        return left | right

    def sql(self, column: str) -> str:
        return f"bit_or({column})"


class Words:
    """The distinct words of texts, sorted: what a single value stands for is not itself."""

    name = "words"

    def accepts(self, node: Node) -> bool:
        return isinstance(node, Primitive) and node.name == "string"

    def combine(self, left: str, right: str) -> str:
        return " ".join(sorted({*left.split(), *right.split()}))

    def sql(self, column: str) -> str:
        words = f"flatten(list(string_split({column}, ' ')) FILTER ({column} IS NOT NULL))"
        return f"array_to_string(list_sort(list_distinct(list_filter({words}, lambda word: word <> ''))), ' ')"


class Policies:
    @hookimpl
    def onepipe_field_merges(self) -> Sequence[Any]:
        return [BitOr(), Words()]


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(merges, "_registered", {})
    return monkeypatch


@pytest.fixture
def installed(nothing_known: pytest.MonkeyPatch) -> Plugins:
    """The policies as an installed plugin that is not loaded yet."""
    module = types.ModuleType("installed_policies")
    vars(module)["onepipe_field_merges"] = Policies().onepipe_field_merges
    nothing_known.setitem(sys.modules, "installed_policies", module)
    made = Plugins(lambda: [EntryPoint("policies", "installed_policies", "onepipe")])
    nothing_known.setattr(plugins, "default_plugins", lambda: made)
    return made


def declare(policy: str) -> op.Topic:
    flags = {"name": "flags", "type": ["null", "long"], "onepipe": {"merge": {"policy": policy}}}
    return declare_thing(more=[flags])


def test_a_declaration_that_names_an_installed_policy_loads_its_plugin(installed: Plugins) -> None:
    assert installed._hooks.list_name_plugin() == []
    assert declare("bit_or").rules("flags").merge == MergePolicy("bit_or")
    assert field_merge("bit_or").combine(1, 6) == 7


def test_built_in_policies_load_no_plugin(installed: Plugins) -> None:
    declare("max")
    assert installed._hooks.list_name_plugin() == []


def test_an_unknown_policy_is_refused_with_the_nearest_of_the_installed_ones(installed: Plugins) -> None:
    with pytest.raises(DeclarationError, match=r"there is no merge policy 'bitor'; did you mean 'bit_or'\?"):
        declare("bitor")


def test_a_policy_refuses_fields_it_cannot_combine(installed: Plugins) -> None:
    with pytest.raises(DeclarationError, match="'words' cannot combine values of type long"):
        declare("words")


def test_a_plugin_that_asks_for_its_own_policy_while_it_is_loaded_fails_alone(
    nothing_known: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "early_plugin.py").write_text("from onepipe.merge import field_merge\nfield_merge('bit_or')\n")
    nothing_known.syspath_prepend(str(tmp_path))
    made = Plugins(lambda: [EntryPoint("early", "early_plugin", "onepipe")])
    nothing_known.setattr(plugins, "default_plugins", lambda: made)
    with pytest.raises(DeclarationError, match="there is no merge policy 'bit_or'"):
        field_merge("bit_or")
    assert "there is no merge policy 'bit_or'" in str(made.failures["early"])


def test_a_plugin_given_to_a_pipeline_makes_its_policies_known(nothing_known: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeclarationError):
        declare("bit_or")
    with op.connect("memory://", plugins=[Policies()]) as pipe:
        pipe.register(declare("bit_or"))


def test_what_is_no_plugin_is_refused_when_connecting() -> None:
    class Misspelt:
        @hookimpl
        def onepipe_field_merge(self) -> None: ...

    class BuiltIn:
        @hookimpl
        def onepipe_field_merges(self) -> Sequence[Any]:
            return [field_merge("max")]

    with pytest.raises(PluginError, match="plugin 'Misspelt' cannot be registered"):
        op.connect("memory://", plugins=[Misspelt()])
    with pytest.raises(DeclarationError, match="'max' is a built-in merge policy"):
        op.connect("memory://", plugins=[BuiltIn()])


def test_the_policies_of_these_tests_obey_the_laws() -> None:
    check_field_merge(BitOr(), st.integers(-(1 << 63), (1 << 63) - 1))
    check_field_merge(Words(), st.lists(st.sampled_from("abc")).map(" ".join))


def own_policies() -> op.Topic:
    for merge in (BitOr(), Words()):
        register_field_merge(merge)
    types_ = {"bits": (["null", "long"], "bit_or"), "mask": ("int", "bit_or"), "text": (["null", "string"], "words")}
    more = [
        {"name": name, "type": kind, "onepipe": {"merge": {"policy": policy}}}
        for name, (kind, policy) in types_.items()
    ]
    return declare_thing(more=more)


events = st.builds(
    lambda name, version, bits, mask, text, deleted: Event(
        {"name": name, "number": 1, "version": version, "created": T0}
        if deleted
        else {
            "name": name,
            "number": 1,
            "version": version,
            "weight": None,
            "created": T0,
            "status": None,
            "tags": None,
            "bits": bits,
            "mask": mask,
            "text": text,
        },
        deleted,
    ),
    st.sampled_from("ab"),
    st.none() | st.integers(0, 2),
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, (1 << 31) - 1),
    st.none() | st.lists(st.sampled_from("xyz")).map(" ".join),
    st.sampled_from([False, False, False, True]),
)
batches = st.lists(st.lists(events, min_size=1, max_size=5), min_size=1, max_size=3)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(batches)
def test_dedup_folds_plugins_policies_as_the_reference_does(history: list[list[Event]]) -> None:
    topic = own_policies()
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder, "lake"))
        raw = Raw(lake, topic)
        for batch in history:
            raw.archive(batch)
            dedup(lake, topic)
            assert clean_rows(lake, topic) == expected(topic, raw.placed)
        incremental = clean_rows(lake, topic, states=True)
        dedup(lake, topic, rebuild=True)
        assert clean_rows(lake, topic, states=True) == incremental


def test_a_class_with_a_plugins_policy_goes_all_the_way(tmp_path: Path) -> None:
    with op.connect("memory://", lake=tmp_path, plugins=[Policies()]) as pipe:

        @op.record(topic="Doors", merge=op.latest("at"))
        class Door:
            sid: str = op.field(identity=True)
            at: dt.datetime
            seen: int = op.field(default=0, merge=MergePolicy("bit_or"))

        with pipe.producer() as producer:
            for shift in (0, 3, 5):
                producer.publish(Door(sid="D", at=T0 + dt.timedelta(seconds=shift), seen=1 << shift))
        pipe.archive(Door)
        pipe.dedup(Door)
        assert list(pipe.table(Door).records()) == [{"sid": "D", "at": T0 + dt.timedelta(seconds=5), "seen": 41}]
        assert pipe.verify(Door, level="deep").balanced
