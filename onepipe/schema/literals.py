"""Defaults as Python values and as the JSON of a schema document.

Bytes stand as text of one character a byte (ISO-8859-1); everything else in Avro's base form, unions without their
branch (Apache Avro 1.12 specification, section "Complex Types", table of field default values).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from onepipe.errors import DecodeError, InvalidRecord, SchemaError
from onepipe.schema.defaults import default_fault
from onepipe.schema.model import JSON, Array, Map, Node, Primitive, Record, Schema, Union
from onepipe.schema.values import Leaf, from_base, to_base

Classes: TypeAlias = Mapping[str, type]


def to_json(schema: Schema, node: Node, value: Any, classes: Classes) -> JSON:
    """The JSON of a Python value as a default.

    Args:
        schema: finds what references stand for.
        node: the type.
        value: a logical value; a record as instance of its class.
        classes: class of each record by full name.

    Raises:
        SchemaError: the value is not of the type; the message does not hold it.
    """
    node = schema.resolve(node)
    match node:
        case Union():
            return _union_json(schema, node, value, classes)
        case Array(items=items) if isinstance(value, list | tuple):
            return [to_json(schema, items, item, classes) for item in value]
        case Map(values=values) if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {key: to_json(schema, values, item, classes) for key, item in value.items()}
        case Record(name=name, fields=fields) if name in classes and type(value) is classes[name]:
            return {field.name: to_json(schema, field.type, getattr(value, field.name), classes) for field in fields}
        case Array() | Map() | Record():
            raise SchemaError(f"{_kind(node)} wanted, not {type(value).__name__}")
        case _:
            return _leaf_json(cast("Leaf", node), value)


def branch_of(schema: Schema, union: Union, value: Any, classes: Classes) -> int:
    """The number of the first branch of a union that takes a Python value.

    Raises:
        SchemaError: none does.
    """
    problems = []
    for number, branch in enumerate(union.branches):
        try:
            to_json(schema, branch, value, classes)
        except SchemaError as error:
            problems.append(error.message)
        else:
            return number
    raise SchemaError(problems[-1] if len(problems) < 3 else "the default is of no branch of the union")


def _union_json(schema: Schema, union: Union, value: Any, classes: Classes) -> JSON:
    number = branch_of(schema, union, value, classes)
    json = to_json(schema, union.branches[number], value, classes)
    if number != json_branch(schema, union, json):
        raise SchemaError("the default would be read as another branch of the union")
    return json


def json_branch(schema: Schema, union: Union, json: JSON) -> int:
    """The number of the first branch of a union that the JSON of a default fits.

    Raises:
        SchemaError: it fits none.
    """
    for number, branch in enumerate(union.branches):
        if default_fault(schema, branch, json) is None:
            return number
    raise SchemaError("the default is of no branch of the union")


def _leaf_json(node: Leaf, value: Any) -> JSON:
    try:
        base = to_base(node, value)
    except InvalidRecord as error:
        raise SchemaError(error.faults[0].message) from None
    if isinstance(base, bytes):
        return base.decode("iso-8859-1")
    if isinstance(base, float):
        if not math.isfinite(base):
            raise SchemaError("JSON has no word for NaN and the infinities")
        return value if type(value) is int else base
    return base


def leaf_value(node: Leaf, json: JSON) -> Any:
    """The Python value of the default of a primitive or fixed type.

    Raises:
        SchemaError: no Python value stands for it, such as a date beyond the year 9999.
    """
    binary = not isinstance(node, Primitive) or node.name == "bytes"
    try:
        return from_base(node, json.encode("iso-8859-1") if binary else json)
    except DecodeError as error:
        raise SchemaError(error.message) from None


def _kind(node: Node) -> str:
    return f"a {node.name}" if isinstance(node, Record) else f"an {type(node).__name__.lower()}"
