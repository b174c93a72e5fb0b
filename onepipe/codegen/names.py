"""Names in a generated module: none is that of a field, which would hide it inside a class."""

from __future__ import annotations

import enum
import keyword
from collections.abc import Iterable, Iterator
from typing import Final

from onepipe.schema.model import Named, Record, Schema

_IMPORTS: Final = {
    "dt": "import datetime",
    "Decimal": "from decimal import Decimal",
    "StrEnum": "from enum import StrEnum",
    "Annotated": "from typing import Annotated",
    "UUID": "from uuid import UUID",
}
_BUILTINS: Final = frozenset({"str", "int", "float", "bool", "bytes", "list", "dict"})
_ENUM: Final = frozenset({*dir(enum.StrEnum), *dir(str), "name", "value", "mro"})


class Names:
    """Names of one generated module.

    Attributes:
        onepipe: the name by which the module knows onepipe.
    """

    def __init__(self, schema: Schema) -> None:
        records = [node for node in schema.names.values() if isinstance(node, Record)]
        self._taken = {field.name for record in records for field in record.fields} | _BUILTINS
        self._alias = {name: self.free(name) for name in _IMPORTS}
        self._used: set[str] = set()
        self.onepipe = self.free("op")

    def free(self, name: str) -> str:
        """A name like this one that is not taken yet; it is from now on."""
        name = name.lstrip("_") or "Type"
        while name in self._taken or keyword.iskeyword(name):
            name += "_"
        self._taken.add(name)
        return name

    def use(self, name: str) -> str:
        """The name by which the module knows something it imports."""
        self._used.add(name)
        return self._alias[name]

    def imports(self) -> Iterator[str]:
        """The lines that import what is used."""
        for name in sorted(self._used):
            line, alias = _IMPORTS[name], self._alias[name]
            yield line if line.endswith(f" {alias}") else f"{line} as {alias}"


def sorted_imports(lines: Iterable[str]) -> list[str]:
    """Import lines in the order of import sorters: modules first, then names from modules."""
    return sorted(lines, key=lambda line: (line.startswith("from"), line))


def members(symbols: Iterable[str]) -> dict[str, str]:
    """A member name for each symbol of an enum: the symbol itself where an Enum can have it."""
    named: dict[str, str] = {}
    taken: set[str] = set()
    for symbol in symbols:
        name = symbol.lstrip("_") or "symbol"
        while name in taken or name in _ENUM or keyword.iskeyword(name):
            name += "_"
        named[symbol] = name
        taken.add(name)
    return named


def short_aliases(node: Named) -> list[str]:
    """The aliases of a type, without namespace where it is the type's own."""
    own = node.name.rpartition(".")[0]
    return [last if space == own else f"{space}.{last}" for space, _, last in (a.rpartition(".") for a in node.aliases)]
