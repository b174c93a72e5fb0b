r"""Identity keys: the values of a record's identity as bytes, the same in every process and language.

The key is the message key, so it chooses the partition; its 64-bit hash finds the identity in the lake. One text field
is its own key in UTF-8; several fields are joined by "|", with "\" before every "|" and "\" inside a value. Numbers
and Avro's integer-based logical types stand as decimal integers (a timestamp is its count of micro- or milliseconds),
booleans as true and false, enums as their symbol, uuids in canonical form, decimals as their unscaled integer, bytes
and fixed as lowercase hexadecimal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from onepipe.errors import DeclarationError
from onepipe.schema.model import Enum, Fixed, Node, Primitive

_KEYED: Final = frozenset({"boolean", "int", "long", "bytes", "string"})


def require_identity_type(node: Node, *, topic: str, field: str) -> None:
    """Refuse a type that cannot identify: null, floating point, arrays, maps, unions, records.

    Raises:
        DeclarationError: the type cannot serve in an identity or partition key.
    """
    if isinstance(node, Enum | Fixed) or (isinstance(node, Primitive) and node.name in _KEYED):
        return
    kind = node.name if isinstance(node, Primitive) else type(node).__name__.lower()
    remedy = "use text, integers, booleans, bytes, enums, uuids, decimals, dates or times that are never null"
    raise DeclarationError(f"{kind} values cannot identify", topic=topic, field=field, remedy=remedy)


def escape(text: str) -> str:
    r"""A part's text as it stands between separators: "\\" before every "|" and "\\"."""
    if "|" in text or "\\" in text:
        return text.replace("\\", "\\\\").replace("|", "\\|")
    return text


def join(parts: Sequence[str]) -> bytes:
    """The key of an identity from the texts of its values, in the order of the identity's fields."""
    if len(parts) == 1:
        return parts[0].encode()
    return "|".join(map(escape, parts)).encode()


def split(key: bytes, count: int) -> list[str]:
    """The texts of the `count` values of a key.

    Raises:
        ValueError: the key is not of that form.
    """
    text = key.decode()
    if count == 1:
        return [text]
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == "|":
            parts.append("")
        else:
            parts[-1] += next(characters, "") if character == "\\" else character
    if len(parts) != count:
        raise ValueError(f"a key of {count} parts is expected")
    return parts


def identity_hash(key: bytes) -> int:
    """The 64-bit hash of an identity key, signed: xxh3-64 as two's complement."""
    value: int = xxh3_64_intdigest(key)
    return value - (1 << 64) if value >> 63 else value


def part_text(node: Node, value: Any) -> str:
    """The text of one identity value, given in Avro's base form (timestamps and decimals as integers).

    Args:
        node: the field's type, references resolved.
        value: str, int, bool or bytes, by the type's base.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        if node_is_decimal(node):
            return str(int.from_bytes(value, "big", signed=True))
        return value.hex()
    return str(value)


def node_is_decimal(node: Node) -> bool:
    """Whether the type is a decimal over bytes or fixed."""
    return isinstance(node, Primitive | Fixed) and node.logical is not None and node.logical.name == "decimal"
