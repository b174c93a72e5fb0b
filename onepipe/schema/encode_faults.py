"""What is wrong with a record: every fault, with its path. Only walked for records that could not be encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from onepipe.errors import Fault, InvalidRecord, nearest
from onepipe.schema import limits
from onepipe.schema.branches import Chooser, is_items
from onepipe.schema.model import NO_DEFAULT, Array, Map, Node, Primitive, Record, Schema, Union
from onepipe.schema.values import Leaf, converter, wrong_type

_ABSENT: Final = object()
_TEXT: Final = Primitive("string")


class FaultFinder:
    """Finds every fault of a value of a schema. Thread-safe."""

    def __init__(self, schema: Schema, classes: Mapping[str, type]) -> None:
        self._schema = schema
        self._classes = classes

    def faults(self, node: Node, value: Any, path: str = "", depth: int = 0) -> Iterator[Fault]:
        """Every fault of a value, in the order of the schema.

        Args:
            node: the type it should be of.
            value: the value.
            path: dotted path of the value, empty for the root.
            depth: number of records the value is inside of.
        """
        node = self._schema.resolve(node)
        match node:
            case Record():
                yield from self._record(node, value, path, depth)
            case Array(items=items):
                yield from self._array(items, value, path, depth)
            case Map(values=values):
                yield from self._map(values, value, path, depth)
            case Union():
                yield from self._union(node, value, path, depth)
            case _:
                yield from self._leaf(cast("Leaf", node), value, path)

    def _leaf(self, node: Leaf, value: Any, path: str) -> Iterator[Fault]:
        try:
            converter(node, self._classes)(value)
        except InvalidRecord as error:
            yield from _at(path, error)

    def _record(self, node: Record, value: Any, path: str, depth: int) -> Iterator[Fault]:
        cls = self._classes.get(node.name)
        if depth >= limits.MAX_DEPTH:
            yield Fault(path or None, "depth", f"records are nested deeper than {limits.MAX_DEPTH}")
        elif not isinstance(value, cls or Mapping):
            yield from _at(path, wrong_type(cls.__name__ if cls else f"a dict for {node.name}", value))
        elif cls:
            for field in node.fields:
                content = getattr(value, field.name, _ABSENT)
                yield from self._field(field.type, content, _inside(path, field.name), depth)
        else:
            yield from self._dict(node, cast("Mapping[Any, Any]", value), path, depth)

    def _dict(self, node: Record, value: Mapping[Any, Any], path: str, depth: int) -> Iterator[Fault]:
        for field in node.fields:
            if field.name in value or field.default is NO_DEFAULT:
                content = value.get(field.name, _ABSENT)
                yield from self._field(field.type, content, _inside(path, field.name), depth)
        names = [field.name for field in node.fields]
        for key in value:
            if key not in names:
                message = f"{node.name} has no such field{nearest(str(key), names)}"
                yield Fault(_inside(path, str(key)), "unknown", message)

    def _field(self, node: Node, value: Any, path: str, depth: int) -> Iterator[Fault]:
        if value is _ABSENT:
            yield Fault(path, "required", "missing, and without default")
        else:
            yield from self.faults(node, value, path, depth + 1)

    def _array(self, items: Node, value: Any, path: str, depth: int) -> Iterator[Fault]:
        if not is_items(value):
            yield from _at(path, wrong_type("a list", value))
        else:
            for number, item in enumerate(value):
                yield from self.faults(items, item, f"{path}[{number}]", depth)

    def _map(self, values: Node, value: Any, path: str, depth: int) -> Iterator[Fault]:
        if not isinstance(value, Mapping):
            yield from _at(path, wrong_type("a dict", value))
            return
        for key, item in value.items():
            yield from self._leaf(_TEXT, key, f"{path}{{}}")
            yield from self.faults(values, item, f"{path}{{}}", depth)

    def _union(self, node: Union, value: Any, path: str, depth: int) -> Iterator[Fault]:
        if node.nullable is not None:
            if value is not None:
                yield from self.faults(node.nullable, value, path, depth)
            return
        try:
            number, content = Chooser(self._schema, node, self._classes).choose(value)
        except InvalidRecord as error:
            yield from _at(path, error)
            return
        yield from self.faults(node.branches[number], content, path, depth)


def _at(path: str, error: InvalidRecord) -> Iterator[Fault]:
    for fault in error.faults:
        yield Fault(path or None, fault.rule, fault.message)


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
