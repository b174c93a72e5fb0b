"""The tokens of a check: names, numbers, texts, operators."""

from __future__ import annotations

import enum
import re
from typing import Final

import attrs

from onepipe.checks import limits
from onepipe.checks.source import Source

KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IS", "NULL", "IN", "BETWEEN", "TRUE", "FALSE"})
"""Words that are never a bare field name; a field so named is quoted. Their case does not matter."""


class TokenKind(enum.Enum):
    """What a token is."""

    KEYWORD = "keyword"
    NAME = "name"
    NUMBER = "number"
    TEXT = "text"
    SYMBOL = "symbol"
    END = "end"


@attrs.frozen
class Token:
    """One token.

    Attributes:
        kind: what it is.
        text: a keyword in capitals, a name or text without its quotes, a number or symbol as written.
        at: index of its first character.
        quoted: whether a name was quoted.
    """

    kind: TokenKind
    text: str
    at: int
    quoted: bool = False


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<text>'(?:[^']|'')*')
      | (?P<symbol><>|!=|<=|>=|[+*%=<>(),.]|-(?!-)|/(?!\*))""",
    re.VERBOSE,
)


def tokenize(source: Source) -> list[Token]:
    """The tokens of a text, in order, an END last.

    Raises:
        CheckError: a character that begins no token, a quote that is not closed, or a text beyond the limits.
    """
    text = source.text
    if len(text) > limits.MAX_LENGTH:
        raise source.fault(
            limits.MAX_LENGTH, f"the expression has {len(text)} characters; {limits.MAX_LENGTH} are allowed"
        )
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unexpected(source, at)
        token = _token(source, match)
        if token is not None:
            tokens.append(token)
        at = match.end()
    tokens.append(Token(TokenKind.END, "", len(text.rstrip())))
    return tokens


def _token(source: Source, match: re.Match[str]) -> Token | None:
    at, value = match.start(), match.group()
    match match.lastgroup:
        case "space":
            return None
        case "name" if value.upper() in KEYWORDS:
            return Token(TokenKind.KEYWORD, value.upper(), at)
        case "name":
            return Token(TokenKind.NAME, value, at)
        case "quoted":
            return Token(TokenKind.NAME, value[1:-1].replace('""', '"'), at, quoted=True)
        case "text":
            _require_storable(source, match)
            return Token(TokenKind.TEXT, value[1:-1].replace("''", "'"), at)
        case "number":
            if (following := source.text[match.end() : match.end() + 1]).isalnum() or following in ("_", "."):
                raise source.fault(at, "not a number")
            return Token(TokenKind.NUMBER, value, at)
        case _:
            return Token(TokenKind.SYMBOL, value, at)


def _require_storable(source: Source, match: re.Match[str]) -> None:
    for index, character in enumerate(match.group(), match.start()):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise source.fault(index, f"a text cannot hold U+{ord(character):04X}")


def _unexpected(source: Source, at: int) -> Exception:
    character = source.text[at]
    if character in "'\"":
        return source.fault(at, "this quote is not closed", remedy=f"a quote inside is written twice: {character * 2}")
    if source.text.startswith(("--", "/*"), at):
        return source.fault(at, "a check has no comments")
    remedies = {";": "a check is one expression", "&": "write AND", "!": "write NOT, or <>"}
    if source.text.startswith("||", at):
        remedies["|"] = "write OR; texts are not joined"
    return source.fault(at, f"{character!r} is outside the grammar", remedy=remedies.get(character))
