"""JSON lines of one shape, all of a block at once: the same names in the same order, and plain values.

Most files are written by one program, so nearly all lines look alike: what stands between the values is the same bytes in
each. Lines in which it is, and whose values are texts (with no escape but that of a quote), plain numbers, or null, are
read with a few passes over the block. Belongs here: which lines those are, and their values. All other lines are left to
`json_lines`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from salesmart_assets.ingest.digits import bytes_of
from salesmart_assets.ingest.lines import MAX_LINE_BYTES
from salesmart_assets.ingest.rows import Array, is_utf8

_SPACE = rb"[ ]*"
_NAME = rb'"([^"\\\x00-\x1f]+)"' + _SPACE + rb":" + _SPACE
_VALUE = rb'(?:"(?:[^"\\\x00-\x1f]|\\.)*"|[-+.0-9a-zA-Z]+)'
_FIRST = re.compile(_SPACE + rb"\{" + _SPACE + _NAME)
_NEXT = re.compile(_SPACE + rb"," + _SPACE + _NAME)
_LAST = re.compile(_SPACE + rb"\}" + _SPACE)
_VALUES = re.compile(_VALUE)
# Bytes that no JSON text holds as they are, without LF and CR: each marks one of the gaps between values.
_MARKS = bytes([*range(1, 10), 11, 12, *range(14, 31)])
_ESCAPED_QUOTE = b"\x1f"
"""Stands for a quote within a text; the one escape that is frequent."""
_QUOTE = 34


@dataclass(frozen=True, slots=True)
class Shape:
    """The names of a line's object, and the bytes between their values: before the first, between two, behind the last."""

    names: tuple[str, ...]
    gaps: tuple[bytes, ...]

    @classmethod
    def of(cls, line: bytes) -> Shape | None:
        """The shape of a line, None where it has none that others are likely to share, such as one with nested values."""
        names: list[str] = []
        gaps: list[bytes] = []
        at = 0
        while match := (_NEXT if names else _FIRST).match(line, at):
            try:
                names.append(match[1].decode("utf-8"))
            except UnicodeDecodeError:
                return None
            gaps.append(match[0])
            value = _VALUES.match(line, match.end())
            if value is None:
                return None
            at = value.end()
        end = _LAST.fullmatch(line, at)
        if end is None or len(set(gaps)) < len(gaps) or len(gaps) >= len(_MARKS):
            return None
        return cls(tuple(names), (*gaps, end[0] + b"\n"))

    def read(self, data: bytes) -> tuple[npt.NDArray[np.bool_], list[Array]] | None:
        """Which lines of a block have this shape and plain values, and by name their values as texts, NULL for null.

        None where the block can't be read so: it holds control characters, or is no UTF-8. Numbers keep their digits.
        """
        if not data.endswith(b"\n"):
            data += b"\n"
        raw = np.frombuffer(data, np.uint8)
        if int(np.count_nonzero(raw < 32)) != data.count(b"\n") or not is_utf8(data):
            return None
        count = data.count(b"\n")
        escaped = None
        marked = data
        if b"\\" in data:
            # Where another escape is near, a backslash remains.
            marked = data.replace(b'\\"', _ESCAPED_QUOTE)
            raw = np.frombuffer(marked, np.uint8)
            escaped = np.unique(np.searchsorted(np.flatnonzero(raw == 10), np.flatnonzero(raw == ord("\\"))))
        for gap, mark in zip(self.gaps, _MARKS, strict=False):
            marked = marked.replace(gap, bytes([mark, 10]) if gap.endswith(b"\n") else bytes([mark]))
        buffer = np.frombuffer(marked, np.uint8)
        fits, grid = self._grid(buffer, count)
        if escaped is not None and len(escaped):
            grid = grid[~np.isin(np.flatnonzero(fits), escaped)]
            fits[escaped] = False
        begins, ends = grid[:, :-2] + 1, grid[:, 1:-1]
        quoted = (buffer[begins] == _QUOTE) & (buffer[ends - 1] == _QUOTE) & (ends - begins >= 2)
        # Each quote must be one of those around a text, so that what stands between two of them is what it seems.
        quotes = np.flatnonzero(buffer == _QUOTE)
        plain = np.searchsorted(quotes, grid[:, -1]) - np.searchsorted(quotes, grid[:, 0]) == 2 * quoted.sum(axis=1)
        if not plain.all():
            fits[np.flatnonzero(fits)[~plain]] = False
            quoted = quoted[plain]
        columns = self._columns(marked, fits, count)
        plain = np.ones(len(quoted), np.bool_)
        for column, within in zip(columns, quoted.T, strict=True):
            if not within.all():
                plain &= within | _plain(column)
        if not plain.all():
            fits[np.flatnonzero(fits)[~plain]] = False
            columns = [column.filter(pa.array(plain)) for column in columns]
        return fits, columns

    def _grid(self, buffer: npt.NDArray[np.uint8], count: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """The lines in which each mark stands once and in order, and where: a row of positions for each, the last is the line's end."""
        each = len(self.gaps) + 1
        order = np.frombuffer(_MARKS[: each - 1] + b"\n", np.uint8)
        at = np.flatnonzero(buffer < _ESCAPED_QUOTE[0])
        signs = buffer[at]
        ends = np.flatnonzero(signs == 10)
        fits = np.diff(ends, prepend=-1) == each
        begins = ends[fits] - each + 1
        whole = len(at) == count * each and bool(fits.all())
        places = None if whole else begins[:, None] + np.arange(each)
        grid, found = (at.reshape(count, each), signs.reshape(count, each)) if places is None else (at[places], signs[places])
        ordered = (found == order).all(axis=1)
        # The first mark must begin its line, the last one end it.
        starts = np.concatenate([np.zeros(1, np.int64), at[ends[:-1]] + 1])[fits]
        ordered &= (grid[:, 0] == starts) & (grid[:, -2] + 1 == grid[:, -1])
        short = np.diff(at[ends], prepend=-1)[fits] <= MAX_LINE_BYTES // 2
        ordered &= short
        fits[fits] = ordered
        return fits, grid if ordered.all() else grid[ordered]

    def _columns(self, marked: bytes, fits: npt.NDArray[np.bool_], count: int) -> list[Array]:
        names = [str(place) for place in range(len(self.names))]
        if not fits.any():
            return [pa.array([], pa.string()) for _ in names]
        if not fits.all():
            ends = np.flatnonzero(np.frombuffer(marked, np.uint8) == 10) + 1
            starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
            edges = np.flatnonzero(np.diff(np.concatenate([[False], fits, [False]])))
            view = memoryview(marked)
            marked = b"".join([view[starts[a] : ends[b - 1]] for a, b in _runs(edges)])
        first, *between, last = _MARKS[: len(self.gaps)]
        sign = 1
        table = bytes(sign if byte in between else byte for byte in range(256))
        text = marked.translate(table, bytes([first, last]))
        read = pc_csv.read_csv(
            pa.BufferReader(text),  # type: ignore[arg-type]
            pc_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
            pc_csv.ParseOptions(delimiter=chr(sign), quote_char='"', double_quote=False, escape_char=False, ignore_empty_lines=False),
            pc_csv.ConvertOptions(
                check_utf8=False,
                column_types={name: pa.string() for name in names},
                # Without quotes it is null; with quotes it is a text.
                null_values=["null"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        if len(read) != np.count_nonzero(fits):
            raise AssertionError(f"{np.count_nonzero(fits)} lines of one shape were read as {len(read)} rows")
        columns: list[Any] = [column.combine_chunks() for column in read.columns]
        if _ESCAPED_QUOTE in text:
            columns = [pc.replace_substring(column, _ESCAPED_QUOTE.decode(), '"') for column in columns]
        return columns


def _runs(edges: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Begins and ends of runs."""
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _plain(texts: Array) -> npt.NDArray[np.bool_]:
    """Which values are numbers of JSON, without a sign and an exponent, or NULL."""
    edges, data = bytes_of(texts)
    wholes = np.diff(edges)
    # Bytes wrap round, so that one comparison finds all that are no digits.
    others = np.flatnonzero(data - np.uint8(48) > 9)
    rows = np.searchsorted(edges, others, "right") - 1
    plain: npt.NDArray[np.bool_] = np.bincount(rows, minlength=len(texts)) <= 1
    plain[rows] &= (data[others] == ord(".")) & (others + 1 < edges[rows + 1])
    wholes[rows] = others - edges[rows]
    plain &= wholes > 0
    if len(data):
        # A number begins with 0 only where a point follows, or nothing.
        plain &= (data[np.minimum(edges[:-1], len(data) - 1)] != ord("0")) | (wholes == 1)
    plain |= texts.is_null().to_numpy(zero_copy_only=False)
    return plain
