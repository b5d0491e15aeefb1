"""JSON lines: one object a line. Numbers keep the digits that stand in the file, so that decimals stay exact.

Belongs here: from lines to rows of text. A number or true/false is its JSON text, an empty string or null or an absent
name is NULL, and an array or object in a column of the contract is a fault of that value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from salesmart_assets.contracts import Contract
from salesmart_assets.ingest.content import ByteStream, FileRejected
from salesmart_assets.ingest.header import Header, listed, require
from salesmart_assets.ingest.lines import KEPT_BYTES, MAX_LINE_BYTES, blocks
from salesmart_assets.ingest.rows import Broken, Places, Rows, visible

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
            raise FileRejected("file.unreadable", "no line is a whole JSON object; deliver one object a line")
        if self._rows:
            require({name for name in self._names.values() if name is not None}, tuple(self._names), self._contract)

    def _block(self, data: bytes) -> Rows:
        numbers: list[int] = []
        kept: list[bytes] = []
        values: list[list[str | None]] = []
        extras: list[str | None] = []
        faults: list[tuple[int, str, str]] = []
        broken: list[Broken] = []
        for line in data.splitlines():
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
