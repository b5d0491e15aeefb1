"""Parquet: from typed columns to rows, without losing a digit.

A column of exactly the contract's type passes. Every other type that could mean the same becomes text that says exactly
what the file says, and is judged like any text: integers of any width, decimals of any scale, floats by the shortest
digits that stand for them, dates and midnights, booleans, dictionaries. What has no such text is a fault of its value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salesmart_assets.contracts import Contract
from salesmart_assets.ingest.content import FileRejected
from salesmart_assets.ingest.header import Header, match
from salesmart_assets.ingest.rows import Array, Broken, Places, Rows, nulls, visible

_MAX_BATCH_ROWS = 64 << 10


class Parquet:
    """Reads a Parquet file: iterate over its rows; `header` is there before the first."""

    def __init__(self, path: Path, contract: Contract, block_bytes: int) -> None:
        self.header: Header | None = None
        self.rows_in_file = 0
        self._path = path
        self._contract = contract
        self._block_bytes = block_bytes
        self._rows = 0

    def __iter__(self) -> Iterator[Rows]:
        with self._path.open("rb") as source, _faults():
            size = source.seek(0, 2)
            source.seek(max(0, size - 4))
            if size < 12 or source.read(4) not in (b"PAR1", b"PARE"):
                raise FileRejected("file.truncated", "a Parquet file without its end; upload the file again")
            file = pq.ParquetFile(source)
            self.rows_in_file = file.metadata.num_rows
            self.header = match(file.schema_arrow.names, self._contract)
            total = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            fit = self._block_bytes * max(1, self.rows_in_file) // max(1, total)
            for batch in file.iter_batches(batch_size=min(_MAX_BATCH_ROWS, max(1, fit)), use_threads=False):
                if batch.num_rows:
                    yield self._batch(batch, self.header)
            if self._rows != self.rows_in_file:
                raise FileRejected("file.unreadable", f"it promises {self.rows_in_file} rows and holds {self._rows}; write it again")

    def _batch(self, batch: pa.RecordBatch, header: Header) -> Rows:
        numbers = self._rows + 1 + np.arange(batch.num_rows)
        self._rows += batch.num_rows
        broken: dict[int, list[str]] = {}
        faults: list[tuple[int, str, str]] = []
        columns = {}
        for name, place in header.known.items():
            target = self._contract.columns[name].column_type.arrow
            columns[name] = _column(batch.column(place), target, name, faults, broken, comma=self._contract.decimal_sign == ",")
        additional = None
        if header.extra and self._contract.on_extra_column == "keep":
            extra = {name: batch.column(place) for name, place in header.extra.items()}
            additional = pa.array(_objects(extra, np.arange(batch.num_rows)), pa.string())

        def raw(at: Places) -> list[str]:
            return _objects(dict(zip(header.names, batch.columns, strict=True)), at)

        if broken:
            lost: Places = np.array(sorted(broken), np.int64)
            kept: Places = np.setdiff1d(np.arange(batch.num_rows), lost)
            found = [Broken(int(numbers[i]), tuple(dict.fromkeys(broken[int(i)])), text) for i, text in zip(lost, raw(lost), strict=True)]
            new_place = {int(old): new for new, old in enumerate(kept)}
            return Rows(
                numbers[kept],
                {name: array.take(kept) for name, array in columns.items()},
                lambda at: raw(kept[at]),
                additional.take(kept) if additional is not None else None,
                [(new_place[i], name, kind) for i, name, kind in faults if i in new_place],
                found,
            )
        return Rows(numbers, columns, raw, additional, faults)


@contextmanager
def _faults() -> Iterator[None]:
    """Turn what pyarrow says of damaged files into a `FileRejected`. Its messages name places in the file, no values."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileRejected("file.unreadable", f"the Parquet file is damaged or uses what is not supported ({line[:200]})") from None


def _column(
    array: Array, target: pa.DataType, name: str, faults: list[tuple[int, str, str]], broken: dict[int, list[str]], *, comma: bool
) -> Array:
    """A column as text, or of exactly the target's type. What it can't say goes to `faults`, rows that are no text to `broken`."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if _is_text(kind) or _is_bytes(kind):
        texts = _decoded(array, broken)
        for place in np.flatnonzero(_flags(pc.match_substring(texts, "\0"))):
            broken.setdefault(int(place), []).append("row.nul_byte")
        return texts
    if kind == target:
        return array
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _moments(array, target, name, faults)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        widened = pa.types.is_integer(target) and pa.types.is_signed_integer(kind)
        return array.cast(target if widened else pa.string())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _digits(array, comma=comma and (pa.types.is_decimal(target) or pa.types.is_integer(target)))
    faults.extend((int(place), name, "type") for place in np.flatnonzero(_flags(array.is_valid())))
    return nulls(len(array), target)


def _flags(array: Array) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = array.fill_null(False).to_numpy(zero_copy_only=False)
    return flags


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind)
    )


def _decoded(array: Array, broken: dict[int, list[str]]) -> Array:
    """Texts, and binary values as older writers leave text, checked: nobody promises that a writer wrote UTF-8."""
    raw = array.cast(pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        for place, value in enumerate(raw.to_pylist()):
            try:
                texts.append(None if value is None else value.decode("utf-8"))
            except UnicodeDecodeError:
                texts.append(None)
                broken.setdefault(place, []).append("row.encoding")
        return pa.array(texts, pa.string())


def _digits(array: Array, *, comma: bool) -> Array:
    """Floats and decimals as plain digits, without an exponent; NaN and infinities as their names."""
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    text = array.cast(pa.string())
    powers = np.flatnonzero(_flags(pc.match_substring_regex(text, "[eE]")))
    if len(powers):
        plain = [f"{Decimal(text[int(place)].as_py()):f}" for place in powers]
        mask = np.zeros(len(text), np.bool_)
        mask[powers] = True
        text = pc.replace_with_mask(text, pa.array(mask), pa.array(plain, pa.string()))
    return pc.replace_substring(text, ".", ",") if comma else text


def _moments(array: Array, target: pa.DataType, name: str, faults: list[tuple[int, str, str]]) -> Array:
    """Dates and timestamps as the target: a date only from a midnight (of the column's time zone), a timestamp without loss."""
    kind = array.type
    if not (pa.types.is_date(target) or pa.types.is_timestamp(target)):
        return array.cast(pa.string())
    if pa.types.is_timestamp(target):
        if pa.types.is_date(kind):
            array = array.cast(pa.timestamp("ms"))
        exact = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False)
        back = exact.cast(array.type, safe=False)
        result = exact if exact.type.tz else pc.assume_timezone(exact, "UTC")
        result = result.cast(target)
        code = "scale"
    else:
        if pa.types.is_timestamp(kind) and kind.tz:
            array = pc.local_timestamp(array)
        result = array.cast(pa.date32(), safe=False)
        back = result.cast(array.type, safe=False)
        code = "format"
    lossy = pc.not_equal(array, back)
    places = np.flatnonzero(_flags(lossy))
    if not len(places):
        return result
    faults.extend((int(place), name, code) for place in places)
    return pc.if_else(lossy, pa.scalar(None, target), result)


def _objects(columns: dict[str, Array], at: Places) -> list[str]:
    """The given rows as JSON objects."""
    lists = {name: _values(array.take(pa.array(at))) for name, array in columns.items()}
    names = list(lists)
    heads = [json.dumps(name, ensure_ascii=False) for name in names]
    return ["{" + ",".join(f"{h}:{_json(v)}" for h, v in zip(heads, row, strict=True)) + "}" for row in zip(*lists.values(), strict=True)]


def _values(array: Array) -> list[Any]:
    """A column as Python values; as bytes or text where Python has no such value (broken UTF-8, the year 12000, an unknown time zone)."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        values: list[Any] = array.to_pylist()
    except (ValueError, OverflowError, KeyError) as error:
        if pa.types.is_nested(array.type):
            return _parts(array)
        if isinstance(error, KeyError):
            # A time zone that nobody knows.
            return _values(array.cast(pa.timestamp(array.type.unit, "UTC")))
        values = array.cast(pa.binary() if _is_text(array.type) else pa.string()).to_pylist()
    return values


def _parts(array: Array) -> list[Any]:
    """A nested column whose parts are not all values of Python, taken apart."""
    valid: list[bool] = array.is_valid().to_pylist()
    if pa.types.is_struct(array.type):
        names = [field.name for field in array.type]
        rows = [list(zip(names, row, strict=True)) for row in zip(*map(_values, array.flatten()), strict=True)]
        # Of a name that is there twice, both values are kept.
        found: list[Any] = rows if len(set(names)) < len(names) else list(map(dict, rows))
    elif pa.types.is_map(array.type):
        pair = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
        found = [None if entries is None else [tuple(e.values()) for e in entries] for entries in _values(array.cast(pa.list_(pair)))]
    else:
        found = [_values(array.slice(place, 1).flatten()) for place in range(len(array))]
    return [value if known else None for value, known in zip(found, valid, strict=True)]


def _json(value: Any) -> str:
    """A Parquet value as JSON, its digits kept; what JSON has no form for becomes text."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(name), ensure_ascii=False)}:{_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        value = repr(value)
    elif isinstance(value, bytes):
        value = visible(value)
    elif isinstance(value, (date, datetime, time)):
        value = value.isoformat()
    elif not (value is None or isinstance(value, (bool, int, float, str))):
        value = str(value)
    return json.dumps(value, ensure_ascii=False)
