"""Avro schemas as typed trees: parsed strictly, written again without loss, compared by canonical form and fingerprint.

The names of the tree's nodes are here too, so that users of schemas import from one place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import attrs

from onepipe.schema.document import canonical, crc64, document
from onepipe.schema.nodes import (
    JSON,
    NO_DEFAULT,
    PRIMITIVES,
    Array,
    Attributes,
    Enum,
    Field,
    Fixed,
    Map,
    Named,
    Node,
    Primitive,
    Record,
    Reference,
    Union,
    branch_name,
    children,
)
from onepipe.schema.parser import parse

__all__ = [
    "JSON",
    "NO_DEFAULT",
    "PRIMITIVES",
    "Array",
    "Attributes",
    "Enum",
    "Field",
    "Fixed",
    "Map",
    "Named",
    "Node",
    "Primitive",
    "Record",
    "Reference",
    "Schema",
    "Union",
    "branch_name",
    "children",
    "crc64",
]


@attrs.frozen(eq=False)
class Schema:
    """A parsed Avro schema. Equal to another one with the same document; immutable and thread-safe."""

    root: Node
    names: Mapping[str, Named]

    @classmethod
    def parse(cls, document: JSON | str | bytes) -> Schema:
        """Parse a schema document strictly.

        Args:
            document: JSON text, or what JSON text parses to (a dict, a list, or the name of a primitive type).

        Raises:
            SchemaError: not JSON, not valid by the Avro specification, or beyond `onepipe.schema.limits`; says where.
        """
        return cls(*parse(document))

    def resolve(self, node: Node) -> Node:
        """The type a node stands for: a reference's definition, else the node itself."""
        return self.names[node.name] if isinstance(node, Reference) else node

    def document(self) -> JSON:
        """The schema document again, as JSON value: nothing the parsed one said is lost."""
        return document(self.root)

    @cached_property
    def text(self) -> str:
        """The schema document as compact JSON text; the same for equal schemas."""
        return json.dumps(self.document(), separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def canonical(self) -> str:
        """Parsing Canonical Form, by the specification: what decides how bytes are read, and nothing else."""
        return json.dumps(canonical(self.root), separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def fingerprint(self) -> int:
        """CRC-64-AVRO of the canonical form, unsigned."""
        return crc64(self.canonical.encode())

    def walk(self) -> Iterator[Node]:
        """Every node once, in document order; references are not followed."""
        pending: list[Node] = [self.root]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(list(children(node))))

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Schema) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[Callable[[str], Schema], tuple[str]]:
        return Schema.parse, (self.text,)

    def __repr__(self) -> str:
        name = getattr(self.root, "name", type(self.root).__name__.lower())
        return f"<Schema {name} {self.fingerprint:016x}>"
