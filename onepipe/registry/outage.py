"""Schemas through an outage of the registry: what is known goes on, and what is not counts as unknown for the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final
from uuid import UUID

from typing_extensions import override

from onepipe.errors import NotRegistered, RegistryUnavailable
from onepipe.registry.port import SchemaSource

if TYPE_CHECKING:
    from onepipe.schema.model import Schema

PAUSE_SECONDS: Final = 5.0
"""For how long a registry that could not be asked is not asked again."""

_LOG: Final = logging.getLogger(__name__)


class ThroughOutage(SchemaSource):
    """Finds schemas as another source does; one that this cannot be asked about is not registered, as far as is known.

    A schema that was found once is found in an outage too. For another one the source is asked, which takes as long as
    its attempts do; then it is left alone for a pause, so that an outage does not hold up what can be read. Each pause
    is one warning in the log. Used by one thread at a time.
    """

    def __init__(self, source: SchemaSource, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask a source.

        Args:
            source: where schemas are found.
            what: whose schemas they are, for the log.
            clock: seconds, which only grow.
        """
        self._source = source
        self._what = what
        self._clock = clock
        self._known: dict[object, Schema] = {}
        self._silent_until: float | None = None

    @override
    def schema(self, schema_id: int) -> Schema:
        return self._find(schema_id, lambda: self._source.schema(schema_id))

    @override
    def schema_by_guid(self, guid: UUID) -> Schema:
        return self._find(guid, lambda: self._source.schema_by_guid(guid))

    @override
    def schema_by_fingerprint(self, fingerprint: int, subjects: Collection[str]) -> Schema:
        name = fingerprint, tuple(subjects)
        return self._find(name, lambda: self._source.schema_by_fingerprint(fingerprint, subjects))

    def _find(self, name: object, ask: Callable[[], Schema]) -> Schema:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._asked(ask)
        return known

    def _asked(self, ask: Callable[[], Schema]) -> Schema:
        if self._silent_until is not None and self._clock() < self._silent_until:
            raise NotRegistered("the registry could not be asked just now", remedy="maintain the topic once it can")
        try:
            found = ask()
        except RegistryUnavailable as error:
            self._silent_until = self._clock() + PAUSE_SECONDS
            _LOG.warning("%s: schemas that are not known yet count as unknown: %s", self._what, error.message)
            raise NotRegistered(error.message, remedy="maintain the topic once the registry can be asked") from error
        self._silent_until = None
        return found
