"""Parses a check: precedence climbing (Pratt 1973) over a closed grammar.

    expression = disjunction
    disjunction = conjunction { OR conjunction }
    conjunction = negation { AND negation }
    negation    = { NOT } predicate
    predicate   = sum [ comparison sum | IS [NOT] NULL | [NOT] BETWEEN sum AND sum | [NOT] IN "(" literals ")" ]
    sum         = product { ("+" | "-") product }
    product     = factor { ("*" | "/" | "%") factor }
    factor      = { "-" } primary

docs/reference/checks.md has the whole of it, with the literals.
"""

from __future__ import annotations

from typing import Final

from onepipe.checks import limits
from onepipe.checks.source import Source
from onepipe.checks.syntax import Between, Binary, Call, Chain, Constant, In, Name, Null, Tree, Unary
from onepipe.checks.tokens import Token, TokenKind, tokenize
from onepipe.errors import CheckError

COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})

_OR, _AND, _NOT, _PREDICATE, _SUM, _PRODUCT, _NEGATIVE = range(1, 8)
_BINDING: Final = {
    "OR": _OR,
    "AND": _AND,
    **dict.fromkeys(("IS", "IN", "BETWEEN", "NOT", *COMPARISONS), _PREDICATE),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/%", _PRODUCT),
}
_DATED: Final = frozenset({"TIMESTAMP", "DATE", "TIME"})


def parse(source: Source) -> Tree:
    """The tree of an expression.

    Raises:
        CheckError: outside the grammar, or beyond the limits; points at the place.
    """
    return _Parser(source).whole()


class _Parser:
    """Parses one text: its tokens, the place reached, and the budgets of nodes and depth."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.index = 0
        self.nodes = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def whole(self) -> Tree:
        if not self.source.text.strip():
            raise self.source.fault(0, "the expression is empty")
        tree = self.expression(0)
        if self.token.kind is not TokenKind.END:
            raise self.unexpected("an operator or the end")
        return tree

    def advance(self) -> Token:
        token = self.token
        self.index += 1
        return token

    def take(self, text: str) -> bool:
        found = self.token.text == text and self.token.kind in (TokenKind.SYMBOL, TokenKind.KEYWORD)
        self.index += found
        return found

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise self.unexpected(repr(text))

    def unexpected(self, wanted: str) -> CheckError:
        token = self.token
        found = "the end" if token.kind is TokenKind.END else repr(token.text)
        return self.source.fault(token.at, f"{wanted} is expected, not {found}")

    def expression(self, binding: int) -> Tree:
        """The longest expression from here whose operators all bind more tightly than `binding`."""
        depth = self.depth
        self.deepen()
        if binding >= _PREDICATE and self.token.text == "NOT":
            raise self.source.fault(self.token.at, "NOT cannot stand here", remedy="put it in parentheses: (NOT …)")
        left = self.operand()
        while (bound := self.binding()) > binding:
            left = self.operator(left, bound)
            self.deepen()
        self.depth = depth
        return left

    def deepen(self) -> None:
        self.depth += 1
        if self.depth > limits.MAX_DEPTH:
            raise self.source.fault(self.token.at, f"the expression is nested deeper than {limits.MAX_DEPTH}")

    def binding(self) -> int:
        if self.token.kind not in (TokenKind.SYMBOL, TokenKind.KEYWORD):
            return 0
        return _BINDING.get(self.token.text, 0)

    def count(self) -> None:
        self.nodes += 1
        if self.nodes > limits.MAX_NODES:
            raise self.source.fault(self.token.at, f"the expression has more than {limits.MAX_NODES} parts")

    def operand(self) -> Tree:
        self.count()
        token = self.token
        match token.kind, token.text:
            case TokenKind.KEYWORD, "NOT":
                self.advance()
                return Unary("NOT", self.expression(_NOT), token.at)
            case TokenKind.SYMBOL, "-":
                self.advance()
                return self.negative(token)
            case TokenKind.SYMBOL, "(":
                self.advance()
                inner = self.expression(0)
                self.expect(")")
                return inner
            case TokenKind.NAME, _:
                return self.name()
            case _:
                return self.constant()

    def negative(self, minus: Token) -> Tree:
        operand = self.expression(_NEGATIVE)
        if isinstance(operand, Constant) and operand.kind == "number" and not operand.text.startswith("-"):
            return Constant("number", f"-{operand.text}", minus.at)
        return Unary("-", operand, minus.at)

    def constant(self) -> Constant:
        token = self.token
        match token.kind, token.text:
            case TokenKind.NUMBER, text:
                kind = "number"
            case TokenKind.TEXT, text:
                kind = "text"
            case TokenKind.KEYWORD, ("TRUE" | "FALSE") as text:
                kind = "boolean"
            case TokenKind.KEYWORD, "NULL" as text:
                kind = "null"
            case _:
                raise self.unexpected("a field, a literal, a function or '('")
        self.advance()
        return Constant(kind, text, token.at)

    def name(self) -> Tree:
        token = self.advance()
        if not token.quoted and token.text.upper() in _DATED and self.token.kind is TokenKind.TEXT:
            return Constant(token.text.upper(), self.advance().text, token.at)
        if not token.quoted and self.take("("):
            return self.call(token)
        path = [token]
        while self.take("."):
            if self.token.kind is not TokenKind.NAME:
                raise self.unexpected("a field name")
            path.append(self.advance())
        return Name(tuple(t.text for t in path), tuple(t.at for t in path), token.quoted)

    def call(self, token: Token) -> Call:
        arguments: list[Tree] = []
        while not self.take(")"):
            if arguments:
                self.expect(",")
            arguments.append(self.expression(0))
        return Call(token.text.lower(), tuple(arguments), token.at)

    def operator(self, left: Tree, bound: int) -> Tree:
        self.count()
        token = self.advance()
        if token.text in ("AND", "OR"):
            return self.chain(token, left, bound)
        if bound == _PREDICATE:
            tree = self.predicate(token, left)
            if self.binding() == _PREDICATE:
                raise self.source.fault(self.token.at, "comparisons do not chain", remedy="join two of them by AND")
            return tree
        return Binary(token.text, left, self.expression(bound), token.at)

    def chain(self, token: Token, first: Tree, bound: int) -> Chain:
        operands = [first, self.expression(bound)]
        while self.take(token.text):
            self.count()
            operands.append(self.expression(bound))
        return Chain(token.text, tuple(operands), token.at)

    def predicate(self, token: Token, left: Tree) -> Tree:
        if token.text == "IS":
            negated = self.take("NOT")
            self.expect("NULL")
            return Null(left, negated, token.at)
        negated = token.text == "NOT"
        operator = self.advance() if negated else token
        match operator.text:
            case "BETWEEN":
                low = self.expression(_PREDICATE)
                self.expect("AND")
                return Between(left, low, self.expression(_PREDICATE), negated, token.at)
            case "IN":
                return In(left, self.literals(), negated, token.at)
            case _ if negated:
                raise self.source.fault(operator.at, "NOT here is followed by IN or BETWEEN")
            case _:
                symbol = "<>" if operator.text == "!=" else operator.text
                return Binary(symbol, left, self.expression(_PREDICATE), token.at)

    def literals(self) -> tuple[Constant, ...]:
        self.expect("(")
        items: list[Constant] = []
        while not items or self.take(","):
            item = self.expression(_PREDICATE)
            if not isinstance(item, Constant):
                raise self.source.fault(item.at, "IN takes literals only", remedy="compare with = and join by OR")
            items.append(item)
        self.expect(")")
        return tuple(items)
