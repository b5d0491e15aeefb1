"""The expressions of `compute`: arithmetic over columns, read into a tree of plain values.

Belongs here: the grammar, and what is no such expression. Does not belong here: the calculation, which is the ingestion's.

    sum     = product (("+" | "-") product)*
    product = factor (("*" | "/") factor)*
    factor  = "-" factor | "(" sum ")" | NUMBER | COLUMN
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<column>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/()×]))", re.ASCII)
_DEPTH = 50
_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the expression writes it."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Reference:
    """The value of a column in the same row."""

    column: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Two expressions joined by `+`, `-`, `*` or `/`."""

    sign: str
    left: Expression
    right: Expression


Expression: TypeAlias = "Number | Reference | Operation"


def parse(text: str) -> Expression:
    """The tree of an expression. Raises ValueError with what is wrong with it, and where.

    >>> parse("price * 2")
    Operation(sign='*', left=Reference(column='price'), right=Number(value=Decimal('2')))
    """
    return _Reader(text).whole()


def columns(expression: Expression) -> tuple[str, ...]:
    """The columns that an expression reads, in the order in which it names them.

    >>> columns(parse("a * (b - a)"))
    ('a', 'b')
    """
    if isinstance(expression, Reference):
        return (expression.column,)
    if isinstance(expression, Operation):
        return tuple(dict.fromkeys((*columns(expression.left), *columns(expression.right))))
    return ()


class _Reader:
    def __init__(self, text: str) -> None:
        if len(text) > _LENGTH:
            raise ValueError(f"an expression of {len(text)} characters is too long: {_LENGTH} are allowed")
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"{text[place:].strip()[:20]!r} has no meaning: use columns, numbers, + - * / and brackets")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind].replace("×", "*")))
            place = match.end()

    def whole(self) -> Expression:
        found = self._sum(0)
        if self._at < len(self._tokens):
            raise ValueError(f"{self._tokens[self._at][1]!r} comes where the expression should end: an operator or a bracket is missing")
        return found

    def _peek(self, *signs: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "sign" and self._tokens[self._at][1] in signs:
            return self._tokens[self._at][1]
        return None

    def _sum(self, depth: int) -> Expression:
        left = self._product(depth)
        while sign := self._peek("+", "-"):
            self._at += 1
            left = Operation(sign, left, self._product(depth))
        return left

    def _product(self, depth: int) -> Expression:
        left = self._factor(depth)
        while sign := self._peek("*", "/"):
            self._at += 1
            left = Operation(sign, left, self._factor(depth))
        return left

    def _factor(self, depth: int) -> Expression:
        if depth > _DEPTH:
            raise ValueError("too many brackets or signs within each other")
        if self._at == len(self._tokens):
            raise ValueError("it ends where a column or a number should follow")
        kind, read = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return Number(Decimal(read))
        if kind == "column":
            return Reference(read)
        if read == "-":
            return Operation("-", Number(Decimal(0)), self._factor(depth + 1))
        if read == "(":
            inner = self._sum(depth + 1)
            if not self._peek(")"):
                raise ValueError("a bracket is not closed")
            self._at += 1
            return inner
        raise ValueError(f"{read!r} comes where a column or a number should be")
