"""A store in this process's memory: for tests, notebooks and the memory transport. Gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from typing_extensions import override

from onepipe.errors import ClosedError
from onepipe.registry.port import Store, StoredVersion


class MemoryStore(Store):
    """Keeps rows in dicts under one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._subjects: dict[str, dict[int, int]] = {}
        self._levels: dict[str, str] = {}
        self._closed = False

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("the registry was closed")

    @override
    def text(self, schema_id: int) -> str | None:
        with self._lock:
            self._require_open()
            return self._texts.get(schema_id)

    @override
    def versions(self, subject: str) -> Sequence[StoredVersion]:
        with self._lock:
            self._require_open()
            ids = self._subjects.get(subject, {})
            return [StoredVersion(number, schema_id) for number, schema_id in enumerate(ids, 1)]

    @override
    def find(self, subject: str, text: str) -> StoredVersion | None:
        with self._lock:
            self._require_open()
            return self._find(subject, text)

    def _find(self, subject: str, text: str) -> StoredVersion | None:
        schema_id = self._ids.get(text)
        version = self._subjects.get(subject, {}).get(schema_id) if schema_id else None
        return StoredVersion(version, schema_id) if version and schema_id else None

    @override
    def append(self, subject: str, text: str, latest: int) -> StoredVersion | None:
        with self._lock:
            self._require_open()
            if found := self._find(subject, text):
                return found
            versions = self._subjects.get(subject, {})
            if len(versions) != latest:
                return None
            schema_id = self._ids.setdefault(text, len(self._ids) + 1)
            self._texts[schema_id] = text
            self._subjects.setdefault(subject, {})[schema_id] = latest + 1
            return StoredVersion(latest + 1, schema_id)

    @override
    def subjects(self) -> Sequence[str]:
        with self._lock:
            self._require_open()
            return sorted(self._subjects)

    @override
    def level(self, subject: str) -> str | None:
        with self._lock:
            self._require_open()
            return self._levels.get(subject)

    @override
    def set_level(self, subject: str, level: str | None) -> None:
        with self._lock:
            self._require_open()
            if level is None:
                self._levels.pop(subject, None)
            else:
                self._levels[subject] = level

    @override
    def close(self) -> None:
        with self._lock:
            self._closed = True
