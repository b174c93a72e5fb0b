"""Python enums as Avro enums: which symbol stands for which member."""

from __future__ import annotations

import enum
import re

from onepipe.errors import DeclarationError

_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def enum_symbols(cls: type[enum.Enum]) -> dict[str, enum.Enum]:
    """The members of an enum by Avro symbol, in order: their values where all are valid symbols, else their names.

    Raises:
        DeclarationError: the enum has no members.
    """
    members = list(cls)
    if not members:
        raise DeclarationError(f"enum {cls.__name__} has no members")
    if all(isinstance(m.value, str) and _SYMBOL.match(m.value) for m in members):
        return {m.value: m for m in members}
    return {m.name: m for m in members}
