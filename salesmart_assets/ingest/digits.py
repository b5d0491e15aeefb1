"""Plain numbers, all of a column at once: nothing but digits, and for decimals perhaps a sign and some more behind it.

Nearly all numbers of most files are plain. Belongs here: which ones are, and their exact values. Does not belong here:
what any other text means, or what is wrong with it (`values`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from salesmart_assets.ingest.rows import Array, Flags, Places

MAX_DIGITS = 18
"""Any number of so many digits fits into 64 bits."""

_FEW = 8
"""Of so many texts, one may be another number than the rest, or none."""

Edges: TypeAlias = "npt.NDArray[np.int32] | Places"
_Bytes: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Plain:
    """Which texts of a column are `plain`, and what is needed to read those; `whole` says that all are."""

    plain: Flags
    _texts: Array
    _fractions: Places
    _sign: int

    @property
    def whole(self) -> bool:
        return bool(self.plain.all())

    def values(self, target: pa.DataType) -> Array:
        """The values, integers or decimals of `target`'s scale; NULL where a text is not plain."""
        texts, fractions = self._texts, self._fractions
        if not self.whole:
            texts, fractions = texts.filter(pa.array(self.plain)), fractions[self.plain]
        scale = target.scale if pa.types.is_decimal(target) else 0
        edges, data = bytes_of(texts)
        signs = fractions > 0
        if 0 < scale < MAX_DIGITS and bool((fractions == scale).all()) and int(np.diff(edges).max(initial=0)) <= MAX_DIGITS:
            numbers = _units_of_uniform(edges, data, scale)
        else:
            if signs.any():
                data = data[data != self._sign]
                edges = edges - np.concatenate([np.zeros(1, np.int64), np.cumsum(signs)])
            numbers = _numbers(edges, data)
            if (fractions != scale).any():
                numbers = numbers * 10 ** (scale - fractions)
        if self.whole:
            return _array(numbers, target, None)
        placed = np.zeros(len(self.plain), np.int64)
        placed[self.plain] = numbers
        return _array(placed, target, self.plain)


def values_at_once(texts: Array, target: pa.DataType, decimal_sign: str) -> Array | None:
    """The values of numbers that all look alike: integers, or decimals with all of `target`'s places; None where some do not.

    That a text is a number is Arrow's verdict, which is strict but for hexadecimal numbers.

    >>> values_at_once(pa.array(["12", "-7"]), pa.int64(), ".").to_pylist()
    [12, -7]
    >>> values_at_once(pa.array(["3.50", "12.00"]), pa.decimal128(18, 2), ".").to_pylist()
    [Decimal('3.50'), Decimal('12.00')]
    >>> values_at_once(pa.array(["0x12", "7"]), pa.int64(), ".")
    """
    edges, data = bytes_of(texts)
    if (data | 32 == ord("x")).any():
        return None
    try:
        if not pa.types.is_decimal(target):
            return texts.cast(target)
        scale, lengths = target.scale, np.diff(edges)
        alike = 0 < scale < MAX_DIGITS and not texts.null_count and len(texts) > 0
        if not alike or int(lengths.min()) < scale + 2 or int(lengths.max()) > _longest(target.precision):
            return None
        # What is below zero would need its sign in both parts of the number.
        if (data == ord("-")).any() or not (data[edges[1:] - scale - 1] == ord(decimal_sign)).all():
            return None
        return _array(_units_of_uniform(edges, data, scale), target, None)
    except pa.ArrowInvalid:
        return None


def values_but_few(texts: Array, target: pa.DataType, decimal_sign: str) -> tuple[Array, Places] | None:
    """As `values_at_once`, where some texts are others: the values, NULL for those, and their places; None where they are many.

    >>> found = values_but_few(pa.array(["3.50", "", "-1.25", *["1.00"] * 20]), pa.decimal128(18, 2), ".")
    >>> found[0].to_pylist()[:3], found[1].tolist()
    ([Decimal('3.50'), None, Decimal('-1.25')], [1])
    """
    edges, data = bytes_of(texts)
    begins, lengths = edges[:-1], np.diff(edges)
    scale = target.scale if pa.types.is_decimal(target) else 0
    if pa.types.is_decimal(target):
        if not 0 < scale < MAX_DIGITS:
            return None
        fine = (lengths >= scale + 2) & (lengths <= _longest(target.precision))
        if not fine.any():
            return None
        # Where a text has no such place, that of another one is looked at once more.
        signs = edges[1:] - scale - 1
        signs[~fine] = signs[fine.argmax()]
        fine &= data[signs] == ord(decimal_sign)
        data = data.copy()
        data[signs] = ord("0")
    else:
        fine = (lengths > 0) & (lengths <= MAX_DIGITS)
    if texts.null_count:
        fine &= texts.is_valid().to_numpy(zero_copy_only=False)
    # Bytes wrap round, so that one comparison finds all that are no digits.
    foreign = np.flatnonzero(data - np.uint8(48) > 9)
    if len(foreign) * _FEW > len(texts):
        return None
    rows = np.searchsorted(edges, foreign, "right") - 1
    negative = (data[foreign] == ord("-")) & (foreign == begins[rows]) & (lengths[rows] > 1 + (scale + 1 if scale else 0))
    fine[rows[~negative]] = False
    others = np.flatnonzero(~fine)
    if len(others) * _FEW > len(texts):
        return None
    if not scale:
        return _read(edges, data, fine), others
    return _array(_without_place(_numbers(edges, data, fine), scale), target, fine), others


def plain_numbers(texts: Array, target: pa.DataType, decimal_sign: str) -> Plain:
    """Find the plain numbers among texts for a column of type `target`, int64 or decimal.

    >>> found = plain_numbers(pa.array(["12", "3.50", "-1", "1.005"]), pa.decimal128(18, 2), ".")
    >>> found.plain.tolist(), found.values(pa.decimal128(18, 2)).to_pylist()
    ([True, True, False, False], [Decimal('12.00'), Decimal('3.50'), None, None])
    """
    precision, scale = (target.precision, target.scale) if pa.types.is_decimal(target) else (MAX_DIGITS, 0)
    edges, data = bytes_of(texts)
    begins, lengths = edges[:-1], np.diff(edges)
    fractions = np.zeros(len(texts), np.int64)
    # Bytes wrap round, so that one comparison finds all that are no digits.
    foreign = data - np.uint8(48) > 9
    others = np.flatnonzero(foreign)
    if len(others) == len(texts) and ((others >= begins) & (others < edges[1:])).all():
        # The usual case for prices: one sign in each.
        rows = np.arange(len(texts))
        plain = np.ones(len(texts), np.bool_)
    else:
        counted = np.concatenate([np.zeros(1, np.int32), np.cumsum(foreign, dtype=np.int32)])
        counts = np.diff(counted[edges])
        rows = np.repeat(np.arange(len(texts)), counts)
        plain = counts <= 1
    if len(others):
        behind = edges[rows + 1] - others - 1
        plain[rows] &= (data[others] == ord(decimal_sign)) & (behind > 0) & (behind <= scale)
        fractions[rows] = behind
        lengths[rows] = others - begins[rows]
    plain &= (lengths > 0) & (lengths <= min(precision, MAX_DIGITS) - scale)
    if texts.null_count:
        plain &= texts.is_valid().to_numpy(zero_copy_only=False)
    return Plain(plain, texts, fractions, ord(decimal_sign))


def bytes_of(texts: Array) -> tuple[Edges, _Bytes]:
    """Where each text begins and the last one ends, and the bytes of all."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(len(texts) + 1, np.int32), np.zeros(0, np.uint8)
    edges: Edges = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return edges - edges[0] if edges[0] else edges, np.frombuffer(data, np.uint8)[edges[0] : edges[-1]]


def _longest(precision: int) -> int:
    """So many characters a decimal of that precision may have to be read at once: its digits and the decimal sign."""
    return min(precision, MAX_DIGITS - 1) + 1


def _units_of_uniform(edges: Edges, data: _Bytes, scale: int) -> Places:
    """Numbers of `scale` decimal places each, and no more than `MAX_DIGITS` signs, in units of the last place."""
    # A zero takes the sign's place, which is the same in all as seen from the end: dividing there takes it out again.
    data = data.copy()
    data[edges[1:] - scale - 1] = ord("0")
    return _without_place(_numbers(edges, data), scale)


def _without_place(numbers: Places, scale: int) -> Places:
    """Numbers without their digit before the last `scale` ones, which is a zero."""
    place: int = 10**scale
    sizes = np.abs(numbers)
    wholes: Places = sizes // (10 * place)
    found: Places = sizes - wholes * (9 * place)
    return np.negative(found, out=found, where=numbers < 0)


def _numbers(edges: Edges, data: _Bytes, fine: Flags | None = None) -> Places:
    """The integers that texts are, all or those that are `fine`; others are anything. Raises `ArrowInvalid` where one is none."""
    numbers = _read(edges, data, fine)
    return np.frombuffer(numbers.buffers()[1], np.int64, len(numbers)) if len(numbers) else np.zeros(0, np.int64)


def _read(edges: Edges, data: _Bytes, fine: Flags | None) -> Array:
    """As `_numbers`, as a column, NULL where a text is not fine."""
    valid = None if fine is None else _buffer(np.packbits(fine, bitorder="little"))
    offsets = _buffer(edges.astype(np.int32, copy=False))
    texts = pa.StringArray.from_buffers(len(edges) - 1, offsets, _buffer(np.ascontiguousarray(data)), valid)
    return texts.cast(pa.int64())


def _array(numbers: Places, target: pa.DataType, fine: Flags | None) -> Array:
    """Whole numbers as a column, decimals in units of the last place; NULL where they are not `fine`."""
    # A decimal has sixteen bytes, the lower half first.
    units = numbers
    if pa.types.is_decimal(target):
        units = np.empty((len(numbers), 2), np.int64)
        units[:, 0] = numbers
        np.right_shift(numbers, 63, out=units[:, 1])
    valid = None if fine is None else _buffer(np.packbits(fine, bitorder="little"))
    return pa.Array.from_buffers(target, len(units), [valid, _buffer(units)])


def _buffer(array: npt.NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(array)  # type: ignore[arg-type]
