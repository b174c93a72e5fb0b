"""How few bytes the values of a type take: none, or some."""

from __future__ import annotations

from onepipe.schema.model import Array, Fixed, Node, Primitive, Record, Schema


def takes_no_bytes(schema: Schema, node: Node, known: dict[str, bool]) -> bool:
    """Whether values of a type take no bytes, so that the length of a message does not bound their number.

    Args:
        schema: the schema of the type.
        node: the type.
        known: by full name, what is known of records; filled, so that each record of a schema is looked at once.
    """
    node = schema.resolve(node)
    match node:
        case Primitive(name=name):
            return name == "null"
        case Fixed(size=size):
            return size == 0
        case Record(name=name, fields=fields):
            if name not in known:
                known[name] = False  # while it is looked at: a record that holds itself directly has no values
                known[name] = all(takes_no_bytes(schema, field.type, known) for field in fields)
            return known[name]
        case _:
            return False


def may_hold_empty_items(schema: Schema) -> bool:
    """Whether the schema has an array whose items take no bytes."""
    known: dict[str, bool] = {}
    return any(isinstance(node, Array) and takes_no_bytes(schema, node.items, known) for node in schema.walk())
