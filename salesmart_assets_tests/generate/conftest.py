"""What the tests of the generator share: the packaged contracts, and a reader that knows nothing of the writer."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import pytest

from salesmart_assets.contracts import Contract, load_contracts

Row = dict[str, Any]


class MemorySink:
    """Keeps every file, by (source, batch date, name)."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, date, str], bytes] = {}

    @contextmanager
    def open(self, source: str, batch_date: date, name: str) -> Iterator[BinaryIO]:
        stream = io.BytesIO()
        yield stream
        self.files[source, batch_date, name] = stream.getvalue()


def read(name: str, content: bytes) -> list[Row]:
    """The rows of a file with the values as they stand in it: text in CSV, typed in the other formats."""
    if name.endswith(".gz"):
        name, content = name.removesuffix(".gz"), gzip.decompress(content)
    if name.endswith(".parquet"):
        return pq.read_table(io.BytesIO(content)).to_pylist()
    if name.endswith(".jsonl"):
        return [json.loads(line, parse_float=Decimal) for line in content.decode().splitlines()]
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def typed(row: Row, contract: Contract) -> Row:
    """A clean row with the contract's types."""
    return {name: _value(value, contract.columns[name].type) for name, value in row.items()}


def _value(value: Any, type_: str) -> Any:
    if value is None or (value == "" and type_ != "string"):
        return None
    if type_ == "integer":
        return int(value)
    if type_ == "date":
        return value if isinstance(value, date) else date.fromisoformat(value)
    if type_ == "boolean":
        return value if isinstance(value, bool) else {"true": True, "false": False}[value]
    return Decimal(value) if type_.startswith("decimal") else value


@pytest.fixture(scope="session")
def contracts() -> dict[str, Contract]:
    """The packaged contracts."""
    return load_contracts()
