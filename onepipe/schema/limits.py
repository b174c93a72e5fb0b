"""Bounds on what a schema may ask of this process. Schemas come from registries and files, so from anyone."""

from __future__ import annotations

MAX_DOCUMENT_BYTES = 1 << 20
"""Size of a schema document as JSON text."""

MAX_DEPTH = 64
"""Nesting of a schema document, and of the values of a recursive schema."""

MAX_NODES = 20_000
"""Types in one schema, references counted."""

MAX_ZERO_BYTE_ITEMS = 1 << 16
"""Items of an array or map whose items take no bytes (null, an empty record): the bytes cannot bound their number."""
