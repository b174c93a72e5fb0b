"""Python source text in the layout of the usual formatters: what does not fit a line stands one part a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

WIDTH: Final = 88
"""Characters of a line; a formatter that allows more leaves such lines as they are."""

_STEP: Final = "    "


@attrs.frozen
class Group:
    """Parts between brackets: a call, a display, a subscript.

    Attributes:
        opening: text before the parts, the bracket included.
        parts: the parts, perhaps with a keyword or key before each.
        closing: the closing bracket.
        comma: whether a comma may follow the last part of several lines.
    """

    opening: str
    parts: tuple[tuple[str, Expression], ...]
    closing: str
    comma: bool = True


@attrs.frozen
class Either:
    """Types joined by `|`."""

    parts: tuple[Expression, ...]


Expression: TypeAlias = str | Group | Either


def call(function: str, *arguments: Expression, **named: Expression) -> Group:
    """A call."""
    parts = (*(("", a) for a in arguments), *((f"{name}=", value) for name, value in named.items()))
    return Group(f"{function}(", parts, ")")


def subscript(name: str, *parts: Expression) -> Group:
    """A subscript."""
    return Group(f"{name}[", tuple(("", part) for part in parts), "]", comma=len(parts) > 1)


def literal(value: Any) -> Expression:
    """A JSON value, text or bytes as Python literal."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return Group("{", tuple((f"{_quoted(key)}: ", literal(item)) for key, item in value.items()), "}")
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return Group("[", tuple(("", literal(item)) for item in value), "]")
    if isinstance(value, bytes):
        return "b" + _quoted(value.decode("latin-1"), ascii)
    return repr(value).replace("e+", "e")


def flat(expression: Expression) -> str:
    """An expression on one line."""
    match expression:
        case Group(opening, parts, closing):
            return opening + ", ".join(before + flat(part) for before, part in parts) + closing
        case Either(parts):
            return " | ".join(map(flat, parts))
        case _:
            return expression


def laid_out(before: str, expression: Expression, after: str = "", indent: str = "", *, inside: bool = False) -> str:
    """An expression between two texts, on as many lines as it needs.

    Args:
        before: what stands before it on its first line.
        expression: the expression.
        after: what stands after it on its last line; may have further lines of its own.
        indent: indentation of that last line.
        inside: whether there are brackets around it already, so that it needs none of its own.
    """
    line = f"{before}{flat(expression)}{after}"
    if len(line.partition("\n")[0]) <= WIDTH or isinstance(expression, str) or not expression.parts:
        return line
    if isinstance(expression, Either):
        return _either(before, expression, after, indent) if inside else _enclosed(before, expression, after, indent)
    inner = indent + _STEP
    comma = "," if expression.comma else ""
    lines = [laid_out(f"{inner}{name}", part, comma, inner, inside=True) for name, part in expression.parts]
    return "\n".join([f"{before}{expression.opening}", *lines, f"{indent}{expression.closing}{after}"])


def _either(before: str, expression: Either, after: str, indent: str) -> str:
    first, *others = expression.parts
    lines = [laid_out(before, first, "", indent, inside=True)]
    lines += [laid_out(f"{indent}| ", part, "", indent, inside=True) for part in others]
    return "\n".join(lines) + after


def _enclosed(before: str, expression: Either, after: str, indent: str) -> str:
    inner = indent + _STEP
    line = f"{inner}{flat(expression)}"
    content = line if len(line) <= WIDTH else _either(inner, expression, "", inner)
    return f"{before}(\n{content}\n{indent}){after}"


def _quoted(text: str, spell: Callable[[str], str] = repr) -> str:
    """Text as literal in the quotes that need fewer escapes; `spell` says how a character is spelled."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(character, quote, spell) for character in text) + quote


def _escaped(character: str, quote: str, spell: Callable[[str], str]) -> str:
    if character in "'\"":
        return f"\\{character}" if character == quote else character
    return spell(character)[1:-1]
