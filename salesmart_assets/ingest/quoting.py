"""Quotes in a line of CSV: where values end, and whether a line is a whole record.

The rule is that of RFC 4180: a value is quoted if it begins with a quote; inside, a quote is doubled; after the closing
one comes the delimiter or the end. A quote inside a value that is not quoted (`TV 5"`) stands for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

QUOTE = 34
_INSIDE = re.compile(rb'[^"]*(?:""[^"]*)*')


class End(Enum):
    """How a line ends."""

    COMPLETE = "complete"
    OPEN = "open"
    """Inside a quoted value: it may go on in the next line."""
    MALFORMED = "malformed"
    """Something follows a closing quote that is not the delimiter."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a line is, read from its beginning or from inside a quoted value: `values` counts those that ended in it.

    `literal`: whether a quote stood for itself in it.
    """

    end: End
    values: int
    literal: bool = False


def scan(line: bytes, delimiter: bytes, *, inside: bool = False) -> Scan:
    """Read a line without its line end. `inside`: it begins inside a quoted value.

    >>> scan(b'1,"a ""b"" c",2', b",")
    Scan(end=<End.COMPLETE: 'complete'>, values=3, literal=False)
    >>> scan(b'1,"a', b",").end, scan(b'b",2', b",", inside=True).end
    (<End.OPEN: 'open'>, <End.COMPLETE: 'complete'>)
    """
    if not inside and b'"' not in line:
        return Scan(End.COMPLETE, line.count(delimiter) + 1)
    at, values, literal = 0, 0, False
    sign = delimiter[0]
    while True:
        if not inside:
            if line[at : at + 1] != b'"':
                end = line.find(delimiter, at)
                literal = literal or line.find(b'"', at, end if end >= 0 else len(line)) >= 0
                values += 1
                if end < 0:
                    return Scan(End.COMPLETE, values, literal)
                at = end + 1
                continue
            at += 1
        at = _inside_end(line, at)
        if at == len(line):
            return Scan(End.OPEN, values, literal)
        at, inside = at + 1, False
        if at < len(line) and line[at] != sign:
            return Scan(End.MALFORMED, values, literal)
        values += 1
        if at == len(line):
            return Scan(End.COMPLETE, values, literal)
        at += 1


def split(record: bytes, delimiter: bytes) -> list[bytes]:
    """The values of a complete record, without their quotes.

    >>> split(b'1,"a ""b"" c",', b",")
    [b'1', b'a "b" c', b'']
    """
    values: list[bytes] = []
    at = 0
    while True:
        if record[at : at + 1] == b'"':
            end = _inside_end(record, at + 1)
            values.append(record[at + 1 : end].replace(b'""', b'"'))
            end = end + 1 if end + 1 < len(record) else -1
        else:
            end = record.find(delimiter, at)
            values.append(record[at:end] if end >= 0 else record[at:])
        if end < 0:
            return values
        at = end + 1


def _inside_end(line: bytes, at: int) -> int:
    match = _INSIDE.match(line, at)
    assert match is not None
    return match.end()
