"""Finding and loading plugins.

Entry points of the group `onepipe` are loaded at first use, never at import: a transport's alone where its entry point
is named after the scheme, else all. One that fails to load is reported by name and stops nobody who does not need it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pluggy

from onepipe import hookspecs
from onepipe.errors import MissingDependency, OnepipeError, PluginError, nearest
from onepipe.url import Url

if TYPE_CHECKING:
    from onepipe.codec import Codec
    from onepipe.merge import FieldMerge
    from onepipe.observe.events import Observer
    from onepipe.sink import Sink
    from onepipe.transport import Transport

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


def installed() -> Iterable[EntryPoint]:
    """The entry points of the group `onepipe`, of all installed packages."""
    return entry_points(group=hookspecs.PROJECT)


class Plugins:
    """The plugins of one pipeline: those registered directly, which win, and those found as entry points. Thread-safe.

    Declarations belong to no pipeline, so the merge policies and codecs of a plugin registered directly are known to
    the whole process from then on.
    """

    def __init__(self, find: Callable[[], Iterable[EntryPoint]] = installed) -> None:
        self._hooks = pluggy.PluginManager(hookspecs.PROJECT)
        self._hooks.add_hookspecs(hookspecs)
        self._find = find
        self._found: dict[str, EntryPoint] | None = None
        self._direct: set[str] = set()
        self._failures: dict[str, PluginError] = {}
        self._loading: set[str] = set()
        self._lock = threading.RLock()

    @classmethod
    def of(cls, plugins: Iterable[object]) -> Self:
        """The installed plugins, and these.

        Raises:
            PluginError: as `register`.
        """
        made = cls()
        for plugin in plugins:
            made.register(plugin)
        return made

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add a plugin: a module, or an object with functions marked `@hookimpl`.

        Raises:
            PluginError: a hook's name or arguments are unknown, the plugin or its name was registered before, or one
                of its hooks failed.
            DeclarationError: a merge policy of it has the name of a built-in one.
        """
        from onepipe.codec import register_codec
        from onepipe.merge import register_field_merge

        name = name or getattr(plugin, "__name__", None) or type(plugin).__name__
        with self._lock:
            self._add(plugin, name)
            self._direct.add(name)
        for merges in self._call(name, "onepipe_field_merges"):
            for merge in merges:
                register_field_merge(merge)
        for codecs in self._call(name, "onepipe_codecs"):
            for codec_name, codec in codecs.items():
                register_codec(codec_name, codec)

    @property
    def names(self) -> list[str]:
        """Names of the plugins that are registered or installed, sorted; loads none."""
        return sorted({*self._entry_points(), *self._direct})

    @property
    def failures(self) -> Mapping[str, PluginError]:
        """What kept plugins from loading, by their names; loads all that were not loaded yet."""
        self._load_all()
        return dict(self._failures)

    def open_transport(self, url: Url, settings: Mapping[str, Any] | None = None) -> Transport:
        """Open the log that a URL names.

        Args:
            url: the URL.
            settings: settings beside those of the URL's query, which they win over.

        Raises:
            PluginError: no installed plugin knows such URLs, or the one that should did not load; says which there are.
            MissingDependency: a package that a plugin needs is not installed.
            ConfigurationError: a setting is unknown or wrong.
        """
        if url.system in self._entry_points():
            self._load(url.system)
        factory = self._transport_factory(url, settings or {})
        if factory is None:
            if url.system in self._failures:
                raise self._failures[url.system]
            self._load_all()
            factory = self._transport_factory(url, settings or {})
        if factory is None:
            raise self._unknown(url)
        return factory()

    def sinks(self) -> dict[str, Callable[..., Sink[Any]]]:
        """The plugins' sinks: what makes one, by name.

        Raises:
            PluginError: two plugins use one name, or a hook failed; so for the other kinds.
        """
        return self._by_name("onepipe_sinks")

    def sink(self, name: str, settings: Mapping[str, Any] | None = None) -> Sink[Any]:
        """Make a plugin's sink.

        Args:
            name: the sink's name.
            settings: handed to the function that makes it, as keyword arguments.

        Raises:
            PluginError: no plugin has such a sink; says the nearest match.
        """
        sinks = self.sinks()
        if name not in sinks:
            remedy = "install the plugin that brings it, or give an instance"
            raise PluginError(f"there is no sink {name!r}{nearest(name, sinks)}", remedy=remedy)
        return sinks[name](**(settings or {}))

    def codecs(self) -> dict[str, Codec]:
        """The plugins' codecs by name."""
        return self._by_name("onepipe_codecs")

    def field_merges(self) -> dict[str, FieldMerge]:
        """The plugins' merge policies for fields, by name."""
        results: Iterator[tuple[str, Iterable[FieldMerge]]] = self._results("onepipe_field_merges")
        return _merged((plugin, {merge.name: merge for merge in merges}) for plugin, merges in results)

    def observers(self) -> list[Observer]:
        """The plugins' observers. A plugin that fails to give its own is logged, and the others' are given."""
        self._load_all()
        found: list[Observer] = []
        for name in self._order():
            try:
                found += [observer for observers in self._call(name, "onepipe_observers") for observer in observers]
            except OnepipeError as error:
                _LOG.warning("%s", error)
        return found

    def _transport_factory(self, url: Url, settings: Mapping[str, Any]) -> Callable[[], Transport] | None:
        for name in self._order():
            factory: Callable[[], Transport] | None = self._call(name, "onepipe_transport", url=url, settings=settings)
            if factory is not None:
                return factory
        return None

    def _by_name(self, hook: str) -> dict[str, Any]:
        return _merged(self._results(hook))

    def _results(self, hook: str) -> Iterator[tuple[str, Any]]:
        self._load_all()
        for name in self._order():
            for result in self._call(name, hook):
                yield name, result

    def _order(self) -> list[str]:
        names = [name for name, _ in self._hooks.list_name_plugin()]
        return sorted(names, key=lambda name: name not in self._direct)

    def _call(self, name: str, hook: str, **arguments: Any) -> Any:
        """Call one plugin's hook, so that what fails can be named."""
        others = [plugin for other, plugin in self._hooks.list_name_plugin() if other != name]
        try:
            return self._hooks.subset_hook_caller(hook, others)(**arguments)
        except OnepipeError:
            raise
        except Exception as error:
            raise PluginError(f"plugin {name!r} failed in {hook}: {error}") from error

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._found is None:
            self._found = {point.name: point for point in self._find()}
        return self._found

    def _load_all(self) -> None:
        for name in self._entry_points():
            self._load(name)

    def _load(self, name: str) -> None:
        with self._lock:
            # A plugin that declares topics while it is loaded may ask for what plugins bring, and so for itself.
            if name not in self._failures and name not in self._loading and not self._hooks.has_plugin(name):
                self._loading.add(name)
                self._load_now(name)
                self._loading.discard(name)

    def _load_now(self, name: str) -> None:
        try:
            self._add(self._entry_points()[name].load(), name)
        except ImportError as error:
            self._failures[name] = _import_failure(name, error)
        except PluginError as error:
            self._failures[name] = error
        except Exception as error:
            self._failures[name] = _because(PluginError(f"plugin {name!r} failed to load: {error}"), error)
        if name in self._failures:
            _LOG.warning("%s", self._failures[name])

    def _add(self, plugin: object, name: str) -> None:
        try:
            self._hooks.register(plugin, name)
            self._hooks.check_pending()
        except (ValueError, pluggy.PluginValidationError) as error:
            if self._hooks.get_plugin(name) is plugin:
                self._hooks.unregister(plugin)
            raise PluginError(f"plugin {name!r} cannot be registered: {error}") from error

    def _unknown(self, url: Url) -> PluginError:
        message = f"no installed plugin knows {url.scheme}:// URLs; installed: {', '.join(self.names) or 'none'}"
        return PluginError(message, remedy="install a plugin for it, or mend the scheme")


@cache
def default_plugins() -> Plugins:
    """The plugins of this process: made once, at first use."""
    return Plugins()


def open_transport(url: str, settings: Mapping[str, Any] | None = None) -> Transport:
    """Open the log that a URL names, by the plugins of this process. Errors as `Plugins.open_transport`."""
    return default_plugins().open_transport(Url.parse(url), settings)


def _merged(results: Iterable[tuple[str, Mapping[str, T]]]) -> dict[str, T]:
    merged: dict[str, T] = {}
    owners: dict[str, str] = {}
    for plugin, things in results:
        for name, thing in things.items():
            if name in merged:
                raise PluginError(f"plugins {owners[name]!r} and {plugin!r} both provide {name!r}")
            merged[name], owners[name] = thing, plugin
    return merged


def _import_failure(name: str, error: ImportError) -> PluginError:
    """A package that is not there is a missing dependency; any other failing import is the plugin's fault."""
    if isinstance(error, MissingDependency):
        return error
    message = f"plugin {name!r} failed to load: {error}"
    if not isinstance(error, ModuleNotFoundError):
        return _because(PluginError(message), error)
    remedy = f"install the package that provides {error.name!r}"
    return _because(MissingDependency(message, remedy=remedy), error)


def _because(error: PluginError, cause: Exception) -> PluginError:
    error.__cause__ = cause
    return error
