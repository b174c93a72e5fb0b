from __future__ import annotations

import inspect
import logging
import re
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from onepipe import hookspecs
from onepipe.errors import ConfigurationError, MissingDependency, PluginError
from onepipe.hookspecs import hookimpl
from onepipe.plugins import Plugins, default_plugins, open_transport
from onepipe.url import Url
from onepipe_memory.transport import MemoryTransport

HOOKS_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"
HOOKS = [name for name in vars(hookspecs) if name.startswith("onepipe_")]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_true_signature(hook: str) -> None:
    page = HOOKS_PAGE.read_text(encoding="utf-8")
    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    assert f"## {hook}\n\n    {hook}{signature}\n" in page


def test_no_hook_is_documented_that_does_not_exist() -> None:
    assert re.findall(r"^## (\w+)", HOOKS_PAGE.read_text(encoding="utf-8"), re.MULTILINE) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_docstring_and_types(hook: str) -> None:
    function = getattr(hookspecs, hook)
    signature = inspect.signature(function)
    assert function.__doc__
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in signature.parameters.values())


class Pigeon:
    """A plugin with a transport of its own, which is opened only when asked for."""

    def __init__(self, scheme: str = "pigeon") -> None:
        self.scheme = scheme
        self.opened: list[tuple[Url, Mapping[str, Any]]] = []

    @hookimpl
    def onepipe_transport(self, url: Url, settings: Mapping[str, Any]) -> Callable[[], Any] | None:
        if url.scheme != self.scheme:
            return None
        return lambda: self.opened.append((url, settings)) or self


class Broken:
    @hookimpl
    def onepipe_sinks(self) -> Mapping[str, Any]:
        raise KeyError("inside")


class Sinks:
    def __init__(self, *names: str) -> None:
        self.names = names

    @hookimpl
    def onepipe_sinks(self) -> Mapping[str, Any]:
        return dict.fromkeys(self.names, print)


def found(**modules: str) -> Callable[[], list[EntryPoint]]:
    """Entry points by name, of modules by name."""
    return lambda: [EntryPoint(name, module, "onepipe") for name, module in modules.items()]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., types.ModuleType]:
    def make(name: str, **content: Any) -> types.ModuleType:
        made = types.ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    return make


def test_the_memory_transport_is_found_by_its_entry_point() -> None:
    transport = open_transport("memory://")
    assert isinstance(transport, MemoryTransport)
    assert "memory" in default_plugins().names
    transport.close()


def test_a_registered_plugin_opens_its_scheme_and_gets_url_and_settings() -> None:
    plugins, pigeon = Plugins(found()), Pigeon()
    plugins.register(pigeon)
    assert plugins.open_transport(Url.parse("pigeon://roof?speed=3"), {"speed": 4}) is pigeon
    ((url, settings),) = pigeon.opened
    assert (url.host, url.query, settings) == ("roof", {"speed": "3"}, {"speed": 4})


def test_a_registered_plugin_wins_over_an_installed_one(module: Callable[..., types.ModuleType]) -> None:
    module("installed_pigeon", onepipe_transport=Pigeon().onepipe_transport)
    plugins, own = Plugins(found(pigeon="installed_pigeon")), Pigeon()
    plugins.register(own, "own")
    assert plugins.open_transport(Url.parse("pigeon://")) is own


def test_only_the_plugin_that_is_asked_for_is_loaded(module: Callable[..., types.ModuleType]) -> None:
    pigeon = Pigeon("pigeon+fast")
    module("good", onepipe_transport=pigeon.onepipe_transport)
    sys.modules.pop("never_there", None)
    plugins = Plugins(found(pigeon="good", other="never_there"))
    assert plugins.open_transport(Url.parse("pigeon+fast://")) is pigeon
    assert plugins._failures == {}


def test_a_transport_whose_entry_point_has_another_name_is_found_too(
    module: Callable[..., types.ModuleType],
) -> None:
    pigeon = Pigeon()
    module("good", onepipe_transport=pigeon.onepipe_transport)
    plugins = Plugins(found(birds="good"))
    assert plugins.open_transport(Url.parse("pigeon://")) is pigeon


def test_nothing_is_loaded_when_onepipe_is_imported() -> None:
    code = "import onepipe, onepipe.plugins, sys; print([m for m in sys.modules if m.startswith('onepipe_')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_scheme_names_what_is_installed() -> None:
    with pytest.raises(PluginError, match=r"no installed plugin knows carrier:// URLs; installed: memory"):
        Plugins(found(memory="onepipe_memory.plugin")).open_transport(Url.parse("carrier://"))


def test_a_plugin_that_fails_to_load_stops_nobody_else(
    module: Callable[..., types.ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    module("good", onepipe_sinks=Sinks("paper").onepipe_sinks)
    plugins = Plugins(found(bad="no_such_module_anywhere", good="good"))
    with caplog.at_level(logging.WARNING):
        assert plugins.sinks() == {"paper": print}
    assert "plugin 'bad' failed to load" in caplog.text
    assert isinstance(plugins.failures["bad"], MissingDependency)


def test_a_plugin_that_fails_to_load_is_reported_to_those_who_ask_for_it() -> None:
    plugins = Plugins(found(kafka="no_such_module_anywhere"))
    for _ in range(2):
        with pytest.raises(MissingDependency, match=r"plugin 'kafka' failed to load.*provides 'no_such"):
            plugins.open_transport(Url.parse("kafka://broker"))


def test_a_plugin_that_raises_while_it_is_loaded_is_reported_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising_plugin.py").write_text("raise ZeroDivisionError('at import')")
    monkeypatch.syspath_prepend(str(tmp_path))
    failure = Plugins(found(pigeon="raising_plugin")).failures["pigeon"]
    assert not isinstance(failure, MissingDependency)
    assert isinstance(failure.__cause__, ZeroDivisionError)


def test_an_import_error_inside_a_plugin_is_not_called_a_missing_dependency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "misspelt_plugin.py").write_text("from onepipe.errors import NoSuchError")
    monkeypatch.syspath_prepend(str(tmp_path))
    failure = Plugins(found(pigeon="misspelt_plugin")).failures["pigeon"]
    assert type(failure) is PluginError


def test_a_hook_that_raises_names_its_plugin() -> None:
    plugins = Plugins(found())
    plugins.register(Broken(), "leaky")
    with pytest.raises(PluginError, match="plugin 'leaky' failed in onepipe_sinks") as failed:
        plugins.sinks()
    assert isinstance(failed.value.__cause__, KeyError)


def test_two_plugins_with_one_name_for_a_sink_are_refused_by_name() -> None:
    plugins = Plugins(found())
    plugins.register(Sinks("paper", "stone"), "first")
    plugins.register(Sinks("stone"), "second")
    with pytest.raises(PluginError, match="plugins 'first' and 'second' both provide 'stone'"):
        plugins.sinks()


def test_an_unknown_hook_or_argument_is_refused_at_registration() -> None:
    class Misspelt:
        @hookimpl
        def onepipe_sink(self) -> None: ...

    class WrongArguments:
        @hookimpl
        def onepipe_sinks(self, colour: str) -> None: ...

    plugins = Plugins(found())
    for wrong in (Misspelt(), WrongArguments()):
        with pytest.raises(PluginError, match="cannot be registered"):
            plugins.register(wrong)
    assert plugins.sinks() == {}


def test_a_plugin_is_registered_once() -> None:
    plugins, pigeon = Plugins(found()), Pigeon()
    plugins.register(pigeon)
    with pytest.raises(PluginError):
        plugins.register(pigeon)


def test_field_merges_codecs_and_observers_are_collected_from_all_plugins() -> None:
    class Merge:
        name = "longest"

    merge, told = Merge(), list[Any]()

    class Everything:
        @hookimpl
        def onepipe_field_merges(self) -> list[Any]:
            return [merge]

        @hookimpl
        def onepipe_codecs(self) -> dict[str, Any]:
            return {"json": json_codec}

        @hookimpl
        def onepipe_observers(self) -> list[Any]:
            return [told.append]

    json_codec = object()
    plugins = Plugins(found())
    plugins.register(Everything())
    assert plugins.field_merges() == {"longest": merge}
    assert plugins.codecs() == {"json": json_codec}
    assert plugins.observers() == [told.append]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("memory://", ("memory", "", "", {}, None, None)),
        ("memory:///logs/a%20b", ("memory", "", "/logs/a b", {}, None, None)),
        ("kafka+confluent://a:1,b:2/x?acks=all", ("kafka+confluent", "a:1,b:2", "/x", {"acks": "all"}, None, None)),
        ("kafka://me:p%40ss@host:9092", ("kafka", "host:9092", "", {}, "me", "p@ss")),
    ],
)
def test_urls_are_taken_apart(text: str, parts: tuple[Any, ...]) -> None:
    url = Url.parse(text)
    assert (url.scheme, url.host, url.path, url.query, url.user, url.password) == parts


@pytest.mark.parametrize("text", ["memory", "", "://x", "memory:///a#b", "memory://?a=1&a=2"])
def test_what_is_not_a_url_of_a_log_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Url.parse(text)


def test_a_url_shows_no_secrets() -> None:
    shown = str(Url.parse("kafka://me:hush@host?sasl_password=hush&ssl_key=hush&acks=all"))
    assert shown == "kafka://me:***@host?sasl_password=***&ssl_key=***&acks=all"
    assert "hush" not in repr(Url.parse("kafka://me:hush@host?token=hush"))
