"""Finding the schema that a message names, whichever of the three ways it does."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from onepipe.schema.framing import FINGERPRINT_PREFIX, GUID_PREFIX

if TYPE_CHECKING:
    from onepipe.registry.port import SchemaSource
    from onepipe.schema.model import Schema


def find_schema(schemas: SchemaSource, name: int | str, subjects: Collection[str]) -> Schema:
    """The schema of an id, or of a `Frame.named`.

    Args:
        schemas: where schemas are found.
        name: the id, or the name.
        subjects: subjects among whose versions a fingerprint is looked for.

    Raises:
        NotRegistered: none is registered so.
        SchemaError: what is registered so is not valid Avro.
        RegistryUnavailable: the registry cannot be asked.
    """
    if isinstance(name, int):
        return schemas.schema(name)
    if name.startswith(GUID_PREFIX):
        return schemas.schema_by_guid(UUID(name.removeprefix(GUID_PREFIX)))
    return schemas.schema_by_fingerprint(int(name.removeprefix(FINGERPRINT_PREFIX), 16), subjects)
