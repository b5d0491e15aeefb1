"""Record batches as the bytes of a file: CSV, JSON lines or Parquet, plain or gzip, streaming.

Numbers are written as exact decimals, in the contract's own dialect (delimiter, decimal sign, date format, encoding).
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salesmart_assets.contracts import Contract
from salesmart_assets.generate.arrow import Array, array, as_text, buffer, joined, replaced
from salesmart_assets.generate.chance import Ints
from salesmart_assets.generate.faults import CUT_SHORT, TOO_LONG, spoil_cells, spoil_rows

Format = Literal["csv", "json", "parquet"]
SUFFIXES: dict[Format, str] = {"csv": ".csv", "json": ".jsonl", "parquet": ".parquet"}
# Fast enough not to be the bottleneck; the files are about a fifth of the plain ones.
_GZIP_LEVEL = 3
_ISO = "%Y-%m-%d"
_HUNDREDTHS = array([f"{n:02d}" for n in range(100)])
_JSON_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


class CountingStream(io.RawIOBase):
    """Writes through to another stream and counts the bytes; closing it leaves the other open."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.count = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.count

    def write(self, data: object) -> int:
        view = memoryview(cast(bytes, data)).cast("B")
        self._stream.write(view)
        self.count += len(view)
        return len(view)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file of a source is written; by the contract."""

    delimiter: str = ","
    decimal_sign: str = "."
    encoding: str | None = None

    @classmethod
    def of(cls, contract: Contract) -> Dialect:
        """The dialect that a contract asks for."""
        return cls(contract.delimiter, contract.decimal_sign, contract.encoding)


def _money_text(values: Array) -> Array:
    """Decimals of scale 2 as text. Arrow's own cast does the same at a fifth of the speed; it serves all other cases."""
    kind = cast(pa.Decimal128Type, values.type)
    if kind.scale != 2 or values.null_count or not len(values):
        return as_text(values)
    cents = buffer(values, 1, np.int64)[values.offset * 2 : (values.offset + len(values)) * 2 : 2]
    if cents.min() < 0:
        return as_text(values)
    whole, hundredths = np.divmod(cents, 100)
    return joined(as_text(array(whole)), ".", _HUNDREDTHS.take(array(hundredths)))


def _csv_text(values: Array, dialect: Dialect, date_format: str) -> Array:
    if isinstance(values, pa.DictionaryArray):
        return _csv_text(values.dictionary, dialect, date_format).take(values.indices)
    if pa.types.is_decimal(values.type):
        text = _money_text(values)
        if dialect.decimal_sign != ".":
            text = replaced(text, ".", dialect.decimal_sign)
    elif pa.types.is_date(values.type) and date_format != _ISO:
        text = pc.strftime(values, format=date_format)
    else:
        text = as_text(values)
    if not pa.types.is_integer(values.type) and not pa.types.is_boolean(values.type):
        special = pc.match_substring_regex(text, f'["\\r\\n\\x{{{ord(dialect.delimiter):x}}}]')
        if pc.any(special).as_py():
            text = pc.if_else(special, joined('"', replaced(text, '"', '""'), '"'), text)
    return text.fill_null("") if text.null_count else text


def _json_text(values: Array) -> Array:
    if isinstance(values, pa.DictionaryArray):
        return _json_text(values.dictionary).take(values.indices)
    if pa.types.is_decimal(values.type):
        text = _money_text(values)
    else:
        text = as_text(values)
        if pa.types.is_string(values.type):
            for sign, escape in _JSON_ESCAPES:
                text = replaced(text, sign, escape)
        if pa.types.is_string(values.type) or pa.types.is_date(values.type):
            text = joined('"', text, '"')
    return text.fill_null("null") if text.null_count else text


def _bytes_of(rows: Array) -> memoryview:
    """The texts of an array, one behind the other, without a copy."""
    if not len(rows):
        return memoryview(b"")
    edges = buffer(rows, 1, np.int32)
    return buffer(rows, 2, np.uint8).data[edges[rows.offset] : edges[rows.offset + len(rows)]]


class Encoder(ABC):
    """Writes batches of one file to a stream. `close` finishes the file, and leaves the stream open."""

    @abstractmethod
    def write(self, batch: pa.RecordBatch, faults: Mapping[str, Ints] | None = None) -> None:
        """Write the rows of a batch, with those of the planned `faults` that only text can hold."""

    def close(self) -> None:  # noqa: B027 - most formats have nothing left to write
        """Finish the file."""


class CsvEncoder(Encoder):
    """CSV with a header, quoted where needed, lines ended by a line feed."""

    def __init__(self, stream: BinaryIO, contract: Contract, schema: pa.Schema) -> None:
        self._stream = stream
        self._dialect = Dialect.of(contract)
        self._date_formats = {name: column.date_formats[0] for name, column in contract.columns.items()}
        header = [str(cell) for cell in _csv_text(array(schema.names), self._dialect, "").to_pylist()]
        self._put(f"{self._dialect.delimiter.join(header)}\n".encode())

    def write(self, batch: pa.RecordBatch, faults: Mapping[str, Ints] | None = None) -> None:
        names, sign = batch.schema.names, self._dialect.delimiter
        texts = [_csv_text(v, self._dialect, self._date_formats.get(n, _ISO)) for n, v in zip(names, batch.columns, strict=True)]
        if faults:
            texts = spoil_cells(names, texts, faults, "")
        pieces = [piece for text in texts for piece in (text, sign)]
        rows = joined(*pieces[:-1], "\n")
        if faults:
            rows = spoil_rows(rows, faults, {CUT_SHORT: self._cut, TOO_LONG: lambda row: f"{row[:-1]}{sign}7{sign}x\n"})
        self._put(_bytes_of(rows))

    def _cut(self, row: str) -> str:
        cells = next(csv.reader(io.StringIO(row), delimiter=self._dialect.delimiter))
        text = io.StringIO()
        csv.writer(text, delimiter=self._dialect.delimiter, lineterminator="\n").writerow(cells[: len(cells) // 2])
        return text.getvalue()

    def _put(self, data: bytes | memoryview) -> None:
        encoding = self._dialect.encoding
        if encoding is not None and codecs.lookup(encoding).name != "utf-8":
            # A letter that the encoding lacks becomes a question mark, as at the tills that use it.
            data = bytes(data).decode().encode(encoding, errors="replace")
        self._stream.write(data)


class JsonEncoder(Encoder):
    """JSON lines in UTF-8; a missing value is `null`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, batch: pa.RecordBatch, faults: Mapping[str, Ints] | None = None) -> None:
        texts = [_json_text(values) for values in batch.columns]
        if faults:
            texts = spoil_cells(batch.schema.names, texts, faults, '"')
        pieces: list[Array | str] = []
        for name, text in zip(batch.schema.names, texts, strict=True):
            pieces += [f"{',' if pieces else '{'}{json.dumps(name)}:", text]
        rows = joined(*pieces, "}\n")
        if faults:
            rows = spoil_rows(rows, faults, {CUT_SHORT: lambda row: f"{row[: len(row) // 2]}\n", TOO_LONG: lambda row: f"{row[:-1]}]\n"})
        self._stream.write(_bytes_of(rows))


class ParquetEncoder(Encoder):
    """Parquet with the contract's types, one row group per batch. A type leaves no room for the faults of text."""

    def __init__(self, stream: BinaryIO, contract: Contract, schema: pa.Schema) -> None:
        known = contract.columns
        self._schema = pa.schema([(f.name, known[f.name].column_type.arrow if f.name in known else f.type) for f in schema])
        self._writer = pq.ParquetWriter(stream, self._schema, compression="snappy")

    def write(self, batch: pa.RecordBatch, faults: Mapping[str, Ints] | None = None) -> None:
        columns = [pc.cast(values, field.type) for values, field in zip(batch.columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def open_encoder(stream: BinaryIO, kind: Format, contract: Contract, schema: pa.Schema) -> Encoder:
    """The encoder of a format, for the columns of `schema`."""
    if kind == "csv":
        return CsvEncoder(stream, contract, schema)
    if kind == "json":
        return JsonEncoder(stream)
    return ParquetEncoder(stream, contract, schema)


@contextmanager
def encoding(stream: BinaryIO, kind: Format, contract: Contract, schema: pa.Schema, *, compress: bool = False) -> Iterator[Encoder]:
    """An encoder that is finished at the end of the block; with `compress` through gzip, without a time in its header."""
    with ExitStack() as stack:
        if compress:
            packed = gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0)
            stream = cast(BinaryIO, stack.enter_context(packed))
        encoder = open_encoder(stream, kind, contract, schema)
        # Also after an error: a Parquet writer left open would write its end later, when the stream is gone.
        stack.callback(encoder.close)
        yield encoder
