"""Values that a contract computes for rows that deliver none: exact arithmetic over the columns of a row.

Numbers are fractions of whole numbers of any size, so that nothing is lost until the result is rounded once, half up
(away from zero), to the column's scale. Belongs here: the calculation. Does not belong here: for which rows it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from salesmart_assets.contracts import Contract, arithmetic
from salesmart_assets.ingest.rows import Array, Places

_Wholes: TypeAlias = Any
"""A numpy array of Python integers, or one integer for all rows."""
_WORD = 1 << 64


@dataclass(frozen=True, slots=True)
class Computed:
    """Values of the column's type, NULL where there is none; `faults`: their places by kind of code."""

    values: Array
    faults: dict[str, Places]


class Computation:
    """The `compute` of one column of a contract; `reads` are the columns that it needs."""

    def __init__(self, contract: Contract, name: str, expression: str) -> None:
        self._expression = arithmetic.parse(expression)
        self.reads = arithmetic.columns(self._expression)
        column = contract.columns[name].column_type
        self._target = column.arrow
        self._decimal = column.decimal
        self._copies = isinstance(self._expression, arithmetic.Reference) and contract.columns[self.reads[0]].type == column.name

    def over(self, columns: dict[str, Array], count: int) -> Computed:
        """The values of `count` rows, from the columns that it `reads`: NULL where one of them is."""
        if self._copies:
            return Computed(columns[self.reads[0]], {})
        known = np.ones(count, np.bool_)
        for array in columns.values():
            if array.null_count:
                known &= array.is_valid().to_numpy(zero_copy_only=False)
        places = np.flatnonzero(known)
        sources = {name: _fractions(array if len(places) == count else array.take(pa.array(places))) for name, array in columns.items()}
        result = _evaluate(self._expression, sources)
        wholes, fits = self._rounded(result, len(places))
        faults = {"compute": places[result.impossible], "range": places[~fits & ~result.impossible]}
        good = fits & ~result.impossible
        values = _array(wholes[good], self._target)
        if not good.all() or len(places) < count:
            # The n-th good row takes the n-th value, all others none.
            take = np.zeros(count, np.int64)
            take[places[good]] = np.arange(int(good.sum()))
            none = np.ones(count, np.bool_)
            none[places[good]] = False
            values = values.take(pa.array(take, mask=none))
        return Computed(values, {kind: at for kind, at in faults.items() if len(at)})

    def _rounded(self, ratio: _Ratio, count: int) -> tuple[_Wholes, npt.NDArray[np.bool_]]:
        """The result in units of the column's last digit, and where the column can hold it."""
        precision, scale = self._decimal or (0, 0)
        above = np.broadcast_to(np.asarray(ratio.above, object), (count,)) * 10**scale
        below = np.broadcast_to(np.asarray(ratio.below, object), (count,))
        size, by = np.abs(above), np.abs(below)
        nearest = (2 * size + by) // (2 * by)
        negative = ((above < 0) != (below < 0)).astype(np.bool_)
        nearest[negative] = -nearest[negative]
        least, most = (1 - 10**precision, 10**precision - 1) if self._decimal else (-(2**63), 2**63 - 1)
        fits = ((nearest >= least) & (nearest <= most)).astype(np.bool_)
        return nearest, fits


@dataclass(frozen=True, slots=True)
class _Ratio:
    """`above` / `below` in each row; `impossible`: rows in which something is divided by zero."""

    above: _Wholes
    below: _Wholes
    impossible: Any = False


def _evaluate(expression: arithmetic.Expression, sources: dict[str, _Ratio]) -> _Ratio:
    found = _value(expression, sources)
    count = len(next(iter(sources.values())).above) if sources else 1
    return _Ratio(found.above, found.below, np.broadcast_to(np.asarray(found.impossible, np.bool_), (count,)))


def _value(expression: arithmetic.Expression, sources: dict[str, _Ratio]) -> _Ratio:
    if isinstance(expression, arithmetic.Number):
        return _Ratio(*expression.value.as_integer_ratio())
    if isinstance(expression, arithmetic.Reference):
        return sources[expression.column]
    left, right = _value(expression.left, sources), _value(expression.right, sources)
    impossible = left.impossible | right.impossible
    if expression.sign == "*":
        return _Ratio(left.above * right.above, left.below * right.below, impossible)
    if expression.sign == "/":
        zero = np.asarray(np.equal(right.above, 0), np.bool_)
        return _Ratio(left.above * right.below, left.below * np.where(zero, 1, right.above).astype(object), impossible | zero)
    across = right.above * left.below
    above = left.above * right.below + (across if expression.sign == "+" else -across)
    return _Ratio(above, left.below * right.below, impossible)


def _fractions(array: Array) -> _Ratio:
    """A column without NULLs as whole numbers over a power of ten."""
    if not pa.types.is_decimal(array.type):
        return _Ratio(array.to_numpy(zero_copy_only=False).astype(object), 1)
    # Sixteen bytes a value, the lower half first: the digits as one whole number.
    words = np.frombuffer(array.buffers()[1], "<u8", 2 * len(array), 16 * array.offset) if len(array) else np.zeros(0, "<u8")
    return _Ratio((words[1::2].astype("<i8").astype(object) * _WORD) + words[::2].astype(object), 10**array.type.scale)


def _array(wholes: _Wholes, target: pa.DataType) -> Array:
    """Whole numbers as a column: integers, or decimals in units of their last digit."""
    if not pa.types.is_decimal(target):
        return pa.array(wholes.astype(np.int64), target)
    words = np.empty(2 * len(wholes), "<u8")
    words[::2] = (wholes % _WORD).astype("<u8")
    words[1::2] = ((wholes // _WORD) % _WORD).astype("<u8")
    return pa.Array.from_buffers(target, len(wholes), [None, pa.py_buffer(words.tobytes())])
