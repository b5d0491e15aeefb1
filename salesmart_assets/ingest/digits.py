"""Plain numbers, all of a column at once: nothing but digits, and for decimals perhaps a sign and some more behind it.

Nearly all numbers of most files are plain. Belongs here: which ones are, and their exact values. Does not belong here:
what any other text means, or what is wrong with it (`values`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from salesmart_assets.ingest.rows import Array, Places

MAX_DIGITS = 18
"""Any number of so many digits fits into 64 bits."""

_Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Plain:
    """Which texts of a column are `plain`, and what is needed to read those; `whole` says that all are."""

    plain: npt.NDArray[np.bool_]
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
        uniform = 0 < scale < MAX_DIGITS and bool((fractions == scale).all()) and int(np.diff(edges).max(initial=0)) <= MAX_DIGITS
        if uniform:
            # A zero takes the sign's place, which is the same in all as seen from the end: dividing there takes it out again.
            data = data.copy()
            data[edges[1:] - scale - 1] = ord("0")
        elif signs.any():
            data = data[data != self._sign]
            edges = edges - np.concatenate([np.zeros(1, np.int64), np.cumsum(signs)])
        digits = pa.StringArray.from_buffers(len(texts), _buffer(edges.astype(np.int32)), _buffer(np.ascontiguousarray(data)))
        numbers = digits.cast(pa.int64()).to_numpy()
        if uniform:
            whole, fraction = np.divmod(numbers, 10 ** (scale + 1))
            numbers = whole * 10**scale + fraction
        words = 1
        if pa.types.is_decimal(target):
            words = 2
            if (fractions != target.scale).any():
                numbers = numbers * 10 ** (target.scale - fractions)
        # A decimal has sixteen bytes, the lower half first; its number is in units of the last decimal place.
        units = np.zeros((len(self.plain), words), np.int64)
        units[self.plain, 0] = numbers
        valid = None if self.whole else _buffer(np.packbits(self.plain, bitorder="little"))
        return pa.Array.from_buffers(target, len(units), [valid, _buffer(units)])


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


def bytes_of(texts: Array) -> tuple[Places, _Bytes]:
    """Where each text begins and the last one ends, and the bytes of all."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(len(texts) + 1, np.int64), np.zeros(0, np.uint8)
    edges = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return edges - edges[0], np.frombuffer(data, np.uint8)[edges[0] : edges[-1]]


def _buffer(array: npt.NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(array)  # type: ignore[arg-type]
