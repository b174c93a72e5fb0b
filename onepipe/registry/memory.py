"""A store in this process's memory: for tests, notebooks and the memory transport. Gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from typing_extensions import override

from onepipe.errors import ClosedError
from onepipe.registry.port import Store, StoredVersion, schema_guid


class MemoryRows:
    """The rows of a registry, and the lock that guards them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ids: dict[str, int] = {}
        self.texts: dict[int, str] = {}
        self.subjects: dict[str, dict[int, int]] = {}
        self.levels: dict[str, str] = {}


_named: Final[dict[str, MemoryRows]] = {}


class MemoryStore(Store):
    """Keeps rows in dicts under one lock. Stores of one name share their rows, which live as long as the process."""

    def __init__(self, name: str = "") -> None:
        """Open the rows of a name; without a name, new ones."""
        self._rows = _named.setdefault(name, MemoryRows()) if name else MemoryRows()
        self._closed = False

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("the registry was closed")

    @override
    def text(self, schema_id: int) -> str | None:
        with self._rows.lock:
            self._require_open()
            return self._rows.texts.get(schema_id)

    @override
    def text_of_guid(self, guid: UUID) -> str | None:
        with self._rows.lock:
            self._require_open()
            return next((text for text in self._rows.texts.values() if schema_guid(text) == guid), None)

    @override
    def versions(self, subject: str) -> Sequence[StoredVersion]:
        with self._rows.lock:
            self._require_open()
            ids = self._rows.subjects.get(subject, {})
            return [StoredVersion(number, schema_id) for number, schema_id in enumerate(ids, 1)]

    @override
    def find(self, subject: str, text: str) -> StoredVersion | None:
        with self._rows.lock:
            self._require_open()
            return self._find(subject, text)

    def _find(self, subject: str, text: str) -> StoredVersion | None:
        schema_id = self._rows.ids.get(text)
        version = self._rows.subjects.get(subject, {}).get(schema_id) if schema_id else None
        return StoredVersion(version, schema_id) if version and schema_id else None

    @override
    def append(self, subject: str, text: str, latest: int) -> StoredVersion | None:
        with self._rows.lock:
            self._require_open()
            if found := self._find(subject, text):
                return found
            versions = self._rows.subjects.get(subject, {})
            if len(versions) != latest:
                return None
            schema_id = self._rows.ids.setdefault(text, len(self._rows.ids) + 1)
            self._rows.texts[schema_id] = text
            self._rows.subjects.setdefault(subject, {})[schema_id] = latest + 1
            return StoredVersion(latest + 1, schema_id)

    @override
    def subjects(self) -> Sequence[str]:
        with self._rows.lock:
            self._require_open()
            return sorted(self._rows.subjects)

    @override
    def level(self, subject: str) -> str | None:
        with self._rows.lock:
            self._require_open()
            return self._rows.levels.get(subject)

    @override
    def set_level(self, subject: str, level: str | None) -> None:
        with self._rows.lock:
            self._require_open()
            if level is None:
                self._rows.levels.pop(subject, None)
            else:
                self._rows.levels[subject] = level

    @override
    def close(self) -> None:
        self._closed = True
