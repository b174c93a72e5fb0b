"""Schemas that refer to other registered ones: made into one document that says it all.

Confluent's registry keeps, beside a schema's text, under which subject and version each named type is found that the
text uses and does not define. Each of them is written out where the text uses it first; after that its name stands, as
in any Avro schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from onepipe.errors import SchemaError
from onepipe.schema.inline import NAMED, full_name, inlined
from onepipe.schema.nodes import JSON

MAX_REFERENCES: Final = 256
"""Most schemas that one refers to, directly or through others."""

Found: TypeAlias = tuple[str, Sequence[Mapping[str, Any]]]
"""A schema's text and its references, each with "name", "subject" and "version"."""


def self_contained(text: str, references: Sequence[Mapping[str, Any]], find: Callable[[str, int], Found]) -> str:
    """The text of a schema in which every type it refers to is written out; the same text where it refers to none.

    Args:
        text: the schema's text.
        references: what it refers to.
        find: from subject and version to that schema's text and references.

    Raises:
        SchemaError: not JSON, more than MAX_REFERENCES, or types that hold one another without end.
    """
    if not references:
        return text
    types: dict[str, JSON] = {}
    _collect(references, find, types, {})
    return json.dumps(inlined(_json(text), types), separators=(",", ":"), ensure_ascii=False)


def _collect(
    references: Sequence[Mapping[str, Any]],
    find: Callable[[str, int], Found],
    types: dict[str, JSON],
    seen: dict[tuple[str, int], None],
) -> None:
    """Note the document of each named type that is referred to, by full name."""
    for reference in references:
        subject, version = reference.get("subject"), reference.get("version")
        if not isinstance(subject, str) or type(version) is not int:
            raise SchemaError("a reference of a schema names no subject and version")
        if (subject, version) in seen:
            continue
        seen[subject, version] = None
        if len(seen) > MAX_REFERENCES:
            raise SchemaError(f"the schema refers to more than {MAX_REFERENCES} others")
        text, further = find(subject, version)
        _collect(further, find, types, seen)
        document = _json(text)
        for each in document if isinstance(document, list) else [document]:
            if isinstance(each, dict) and each.get("type") in NAMED:
                types[full_name(each, "")] = each


def _json(text: str) -> JSON:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # a bare name is a schema too
