"""JSON lines: one object a line. Numbers keep the digits that stand in the file, so that decimals stay exact.

Belongs here: from lines to rows of text. A number or true/false is its JSON text, an empty string or null or an absent
name is NULL, and an array or object in a column of the contract is a fault of that value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from salesmart_assets.contracts import Contract
from salesmart_assets.ingest.content import ByteStream, FileRejected
from salesmart_assets.ingest.header import Header, listed, require
from salesmart_assets.ingest.json_shape import Shape
from salesmart_assets.ingest.lines import KEPT_BYTES, MAX_LINE_BYTES, blocks
from salesmart_assets.ingest.rows import Array, Broken, Places, Rows, nulls, visible

_MAX_NAMES = 2000
"""Different names that a file's header lists; a file with more has data in its names."""


class Number(str):
    """A number, as the file writes it."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """The names and values of an object, in order, so that a repeated name is seen."""

    __slots__ = ()


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_no_number, object_pairs_hook=Pairs)


def render(value: Any) -> str:
    """A decoded value as JSON text again, its numbers unchanged. Raises ValueError where an object repeats a name."""
    if type(value) is Number:
        return str(value)
    if type(value) is Pairs:
        if len({name for name, _ in value}) < len(value):
            raise ValueError("a name is repeated")
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{render(item)}" for name, item in value) + "}"
    if type(value) is list:
        return "[" + ",".join(map(render, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class JsonLines:
    """Reads a stream of JSON lines: iterate over its rows; `header`, the names seen, is complete at the end."""

    def __init__(self, stream: ByteStream, contract: Contract, block_bytes: int) -> None:
        self._stream = stream
        self._contract = contract
        self._block_bytes = block_bytes
        self._names: dict[str, str | None] = {}
        self._spellings = contract.spellings()
        self._columns = {name: place for place, name in enumerate(contract.columns)}
        numeric = {name for name, item in contract.columns.items() if item.column_type.decimal or item.type == "integer"}
        self._with_comma = numeric if contract.decimal_sign == "," else set()
        self._rows = 0
        self._read = 0
        self._shape: Shape | None = None

    @property
    def header(self) -> Header | None:
        """The names seen so far, or None before the first row."""
        if not self._rows:
            return None
        names = tuple(self._names)
        known = {meaning: place for place, meaning in enumerate(self._names.values()) if meaning is not None}
        return Header(names, known, {name: place for place, name in enumerate(names) if self._names[name] is None})

    def __iter__(self) -> Iterator[Rows]:
        for data, _ in blocks(self._stream, self._block_bytes):
            rows = self._block(data)
            if len(rows.numbers) or rows.broken:
                yield rows
        if self._rows and not self._read:
            raise FileRejected(
                "file.unreadable", "no line is a whole JSON object that names each column once; deliver one such object a line"
            )
        if self._rows:
            require({name for name in self._names.values() if name is not None}, tuple(self._names), self._contract)

    def _block(self, data: bytes) -> Rows:
        found = self._of_one_shape(data)
        if found is None:
            return self._lines(data.splitlines())
        fits, arrays = found
        lines = data.splitlines()
        plain = np.flatnonzero(fits)
        others = np.flatnonzero(~fits)
        counted = np.array([bool(lines[i].strip()) for i in others], np.bool_)
        before = self._rows
        rows = self._lines([lines[i] for i in others])
        # The rows of both kinds, numbered as they stand in the file: a blank line has no number.
        numbers = fits.copy()
        numbers[others] = counted
        of_line = before + np.cumsum(numbers)
        self._rows = before + int(numbers.sum())
        self._read += len(plain)
        others = others[counted]

        def moved(number: int) -> int:
            return int(of_line[others[number - before - 1]])

        broken = [replace(item, source_row=moved(item.source_row)) for item in rows.broken]
        settled = others[rows.numbers - before - 1]
        places = np.concatenate([plain, settled])
        order = np.argsort(places)
        columns = {name: pa.concat_arrays([arrays.get(name, nulls(len(plain), pa.string())), more]) for name, more in rows.columns.items()}
        if len(settled):
            columns = {name: array.take(pa.array(order)) for name, array in columns.items()}
        places = places[order]
        new_place = np.argsort(order)[len(plain) :]
        additional = None
        if rows.additional is not None:
            additional = pa.concat_arrays([nulls(len(plain), pa.string()), rows.additional]).take(pa.array(order))

        def raw(at: Places) -> list[str]:
            return [visible(lines[places[i]]) for i in at]

        faults = [(int(new_place[place]), name, kind) for place, name, kind in rows.faults]
        return Rows(of_line[places], columns, raw, additional, faults, broken)

    def _of_one_shape(self, data: bytes) -> tuple[npt.NDArray[np.bool_], dict[str, Array]] | None:
        """Which lines have the shape of the first one, or of an earlier block's, and their values by the contract's columns."""
        if self._shape is None:
            line = data[: data.find(b"\n")] if b"\n" in data else data
            shape = Shape.of(line) if len(line) <= MAX_LINE_BYTES and not self._with_comma else None
            meanings = [self._spellings.get(name.strip().lower()) for name in shape.names] if shape else []
            if shape is None or None in meanings or len(set(meanings)) < len(meanings):
                return None
            try:
                _pairs(line)
            except _Unfit:
                return None
            for name in shape.names:
                self._learn(name)
            self._shape = shape
        read = self._shape.read(data)
        if read is None:
            return None
        fits, arrays = read
        return fits, {str(self._names[name]): array for name, array in zip(self._shape.names, arrays, strict=True)}

    def _lines(self, lines: Sequence[bytes]) -> Rows:
        numbers: list[int] = []
        kept: list[bytes] = []
        values: list[list[str | None]] = []
        extras: list[str | None] = []
        faults: list[tuple[int, str, str]] = []
        broken: list[Broken] = []
        for line in lines:
            if not line.strip():
                continue
            self._rows += 1
            if len(line) > MAX_LINE_BYTES:
                broken.append(Broken(self._rows, ("row.too_long",), visible(line[:KEPT_BYTES])))
                continue
            spoilt: list[str] = []
            try:
                row, extra = self._row(line, spoilt)
            except _Unfit as unfit:
                broken.append(Broken(self._rows, (unfit.code,), visible(line)))
                continue
            faults.extend((len(numbers), name, "type") for name in spoilt)
            numbers.append(self._rows)
            kept.append(line)
            values.append(row)
            extras.append(extra)
        self._read += len(numbers)
        columns = zip(*values, strict=True) if values else ((),) * len(self._columns)
        arrays = {name: pa.array(column, pa.string()) for name, column in zip(self._columns, columns, strict=True)}

        def raw(at: Places) -> list[str]:
            return [visible(kept[i]) for i in at]

        additional = pa.array(extras, pa.string()) if any(extras) else None
        return Rows(np.array(numbers, np.int64), arrays, raw, additional, faults, broken)

    def _row(self, line: bytes, spoilt: list[str]) -> tuple[list[str | None], str | None]:
        """One line's values by the contract's columns, and its extra columns as JSON. `spoilt` gets the columns without a plain value."""
        row: list[str | None] = [None] * len(self._columns)
        filled: set[str] = set()
        extra = Pairs()
        for name, value in _pairs(line):
            meaning = self._names[name] if name in self._names else self._learn(name)
            key = meaning or name
            if key in filled:
                raise _Unfit("row.json")
            filled.add(key)
            if meaning is None:
                extra.append((name, value))
            elif value is None or type(value) is str:
                row[self._columns[meaning]] = value
            elif type(value) is Number:
                row[self._columns[meaning]] = value.replace(".", ",") if meaning in self._with_comma else value
            elif type(value) is bool:
                row[self._columns[meaning]] = "true" if value else "false"
            else:
                spoilt.append(meaning)
        return row, self._additional(extra) if extra else None

    def _additional(self, extra: Pairs) -> str | None:
        if self._contract.on_extra_column == "drop":
            return None
        if self._contract.on_extra_column == "reject_file":
            raise FileRejected("file.extra_column", f"the contract does not name {listed([name for name, _ in extra])}")
        try:
            return render(extra)
        except (ValueError, RecursionError):
            raise _Unfit("row.json") from None

    def _learn(self, name: str) -> str | None:
        meaning = self._spellings.get(name.strip().lower())
        if meaning is not None or (len(self._names) < _MAX_NAMES and name.isprintable()):
            self._names[name] = meaning
        return meaning


def pairs_of(line: str) -> Pairs | None:
    """The names and values of the object that a line is; None where the line would be rejected as a whole."""
    try:
        pairs = _pairs(line.encode("utf-8"))
        render(pairs)
    except (_Unfit, ValueError, RecursionError):
        return None
    return pairs


class _Unfit(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _pairs(line: bytes) -> Pairs:
    """The names and values of the object that a line is."""
    if b"\0" in line:
        raise _Unfit("row.nul_byte")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unfit("row.encoding") from None
    try:
        pairs = _DECODER.decode(text)
        if type(pairs) is Pairs:
            if "\\u" in text:
                _check_escapes(pairs)
            return pairs
    except (ValueError, RecursionError):
        pass
    raise _Unfit("row.json")


def _check_escapes(value: Any) -> None:
    r"""Escapes can write what no text can hold: \u0000 and halves of a character."""
    if type(value) is str:
        if "\0" in value:
            raise _Unfit("row.nul_byte")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise _Unfit("row.encoding") from None
    elif type(value) is Pairs:
        for name, item in value:
            _check_escapes(name)
            _check_escapes(item)
    elif type(value) is list:
        for item in value:
            _check_escapes(item)
