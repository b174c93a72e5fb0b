"""A store in a Confluent-compatible schema registry over HTTP: Confluent's own, Karapace, Redpanda, Apicurio.

What a registry promises never changes (a schema by its id or GUID, a version's id) is asked once and kept; so reading
goes on through an outage with what is known. The registry itself checks what Avro's compatibility says; what a
declaration adds to that is checked here, before, against the versions there are. The protocol has no way to say "only
if nothing was added meanwhile": of two that register at one moment, each is checked against the versions before both.

Source: Confluent's "Schema Registry API Reference".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from typing_extensions import override

from onepipe.errors import ClosedError, Incompatible, RegistryError, SchemaError
from onepipe.registry.port import Store, StoredVersion, topic_of_subject
from onepipe.registry.references import Found, self_contained
from onepipe.registry.rest import Refused, Requester

AVRO: Final = "AVRO"

_CACHED: Final = 4096
_MISSING: Final = 404
"""The first digits of error codes that say what the path names is not there, and of the status without such a code."""
_CONFLICT: Final = 409
_UNPROCESSABLE: Final = 422


class HTTPStore(Store):
    """Keeps rows in a registry that speaks Confluent's protocol.

    Besides what the port says, each method raises RegistryError where the registry refuses, such as for missing
    rights, or answers with what the protocol does not know.
    """

    def __init__(self, request: Requester) -> None:
        """Make a store; asks nothing yet.

        Args:
            request: sends requests, as `onepipe.registry.rest.Rest` does.
        """
        self._request = request
        self._closed = False
        self._by_id = lru_cache(_CACHED)(self._ask_text)
        self._by_guid = lru_cache(_CACHED)(self._ask_guid)
        self._ids = lru_cache(_CACHED)(self._ask_id)
        self._placed: dict[tuple[str, str], StoredVersion] = {}

    def _ask(self, method: str, path: str, body: Any = None, *, missing: Any = None) -> Any:
        """The answer, or `missing` where what the path names is not there."""
        if self._closed:
            raise ClosedError("the registry was closed")
        try:
            return self._request(method, path, body)
        except Refused as refused:
            if refused.code // 100 == _MISSING:
                return missing
            raise

    @override
    def text(self, schema_id: int) -> str | None:
        if self._closed:
            raise ClosedError("the registry was closed")
        try:
            return self._by_id(schema_id)
        except _Unknown:
            return None

    @override
    def text_of_guid(self, guid: UUID) -> str | None:
        if self._closed:
            raise ClosedError("the registry was closed")
        try:
            return self._by_guid(guid)
        except _Unknown:
            return None

    def _ask_text(self, schema_id: int) -> str:
        return self._avro(self._ask("GET", f"/schemas/ids/{schema_id}"), f"id {schema_id}")

    def _ask_guid(self, guid: UUID) -> str:
        try:
            found = self._ask("GET", f"/schemas/guids/{guid}")
        except Refused as refused:
            if refused.code != _MISSING:
                raise
            found = None  # a registry from before GUIDs does not know the path
        return self._avro(found, f"GUID {guid}")

    def _avro(self, found: Any, what: str) -> str:
        """The self-contained text of a schema that was asked for."""
        if found is None:
            raise _Unknown
        text, references = _schema(found, what)
        return self_contained(text, references, self._reference)

    def _reference(self, subject: str, version: int) -> Found:
        found = self._ask("GET", f"/subjects/{_part(subject)}/versions/{version}?deleted=true")
        if found is None:
            raise SchemaError(f"the registry has no version {version} of {subject}, to which a schema refers")
        return _schema(found, f"version {version} of {subject}")

    @override
    def versions(self, subject: str) -> Sequence[StoredVersion]:
        numbers = self._ask("GET", f"/subjects/{_part(subject)}/versions", missing=[])
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise _odd("the versions of a subject")
        found = []
        for number in sorted(numbers):
            try:
                found.append(StoredVersion(number, self._ids(subject, number)))
            except _Unknown:  # deleted since
                continue
        return found

    def _ask_id(self, subject: str, version: int) -> int:
        found = self._ask("GET", f"/subjects/{_part(subject)}/versions/{version}")
        if found is None:
            raise _Unknown
        return _whole(found, "id")

    @override
    def find(self, subject: str, text: str) -> StoredVersion | None:
        if self._closed:
            raise ClosedError("the registry was closed")
        known = self._placed.get((subject, text))
        if known is None:
            found = self._ask("POST", f"/subjects/{_part(subject)}", {"schema": text})
            if found is None:
                return None
            known = StoredVersion(_whole(found, "version"), _whole(found, "id"))
            if len(self._placed) < _CACHED:
                self._placed[subject, text] = known
        return known

    @override
    def append(self, subject: str, text: str, latest: int) -> StoredVersion | None:
        try:
            self._ask("POST", f"/subjects/{_part(subject)}/versions", {"schema": text})
        except Refused as refused:
            if refused.status == _CONFLICT:
                raise Incompatible([refused.message], topic=topic_of_subject(subject)) from refused
            if refused.status == _UNPROCESSABLE:
                raise SchemaError(refused.message) from refused
            raise
        return self.find(subject, text)

    @override
    def subjects(self) -> Sequence[str]:
        names = self._ask("GET", "/subjects", missing=[])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _odd("the subjects")
        return sorted(names)

    @override
    def level(self, subject: str) -> str | None:
        found = self._ask("GET", _config(subject))
        if found is None:
            return None
        level = found.get("compatibilityLevel") if isinstance(found, Mapping) else None
        if not isinstance(level, str):
            raise _odd("the compatibility level")
        return level

    @override
    def set_level(self, subject: str, level: str | None) -> None:
        if level is None:
            self._ask("DELETE", _config(subject))
        else:
            self._ask("PUT", _config(subject), {"compatibility": level})

    @override
    def close(self) -> None:
        self._closed = True


class _Unknown(Exception):
    """The registry does not know it: raised, so that it is not kept as known."""


def _part(name: str) -> str:
    return quote(name, safe="")


def _config(subject: str) -> str:
    return f"/config/{_part(subject)}" if subject else "/config"


def _schema(found: Any, what: str) -> Found:
    """Text and references of an Avro schema as the registry tells them."""
    if not isinstance(found, Mapping) or not isinstance(found.get("schema"), str):
        raise _odd(f"the schema of {what}")
    kind = found.get("schemaType") or AVRO
    if kind != AVRO:
        raise SchemaError(f"the schema of {what} is of type {str(kind)[:20]!r}, not {AVRO}")
    references = found.get("references") or []
    if not isinstance(references, list) or not all(isinstance(each, Mapping) for each in references):
        raise _odd(f"the references of {what}")
    return found["schema"], references


def _whole(found: Any, name: str) -> int:
    number = found.get(name) if isinstance(found, Mapping) else None
    if type(number) is not int or not 0 <= number < 1 << 31:
        raise _odd(f"the {name} of a schema")
    return number


def _odd(what: str) -> RegistryError:
    return RegistryError(f"the registry's answer does not say {what}", remedy="does the URL name a schema registry?")
