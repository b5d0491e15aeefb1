"""What every format hands to the judge: a bounded run of a file's rows, still as text or already typed.

Belongs here: the form of that hand-over. Does not belong here: how a format is read, or what a contract demands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Places: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Array: TypeAlias = Any
"""A pyarrow array. Its stubs want the element type, which only the contract and the file know."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that could not be read at all: its number, its codes and its text."""

    source_row: int
    codes: tuple[str, ...]
    raw: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that could be read, and those that could not.

    `numbers`: the row numbers of the read ones, ascending. `columns`: by contract column, an array of strings (judged as
    text; empty is NULL) or of exactly the column's type. A column that is not there is NULL. `faults`: (position in
    `numbers`, column, kind of code) for values that are unfit whatever the contract says; they are NULL in `columns`.
    `raw`: the text of the rows at the given positions. `additional`: JSON of the extra columns, strings, or None.
    """

    numbers: Places
    columns: dict[str, Array]
    raw: Callable[[Places], Sequence[str]]
    additional: Array | None = None
    faults: Sequence[tuple[int, str, str]] = field(default_factory=list)
    broken: Sequence[Broken] = field(default_factory=list)


def nulls(count: int, kind: pa.DataType) -> Array:
    """An array of nothing but NULL."""
    return pa.nulls(count, kind)  # type: ignore[call-overload]


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are text in UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def visible(data: bytes) -> str:
    r"""Bytes as text that can be stored anywhere: what is no UTF-8 shows as \xNN, and so does NUL.

    >>> visible(b"caf\xe9\x00")
    'caf\\xe9\\x00'
    """
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
