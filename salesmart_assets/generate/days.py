"""Days of a retail chain as files: one of sales a day, and the dimension files that go with it.

`generate` is the whole of it: a plan, a place to write to, and the contracts. A day's files depend on nothing but the plan's
arguments and the day, so a day alone equals the same day of a longer plan; only the first day of a plan differs, for it brings
every member of each dimension, and later days bring only changes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import BinaryIO, cast

from salesmart_assets.contracts import Contract
from salesmart_assets.errors import UsageError
from salesmart_assets.generate.arrow import Array, columns_of
from salesmart_assets.generate.columns import conform
from salesmart_assets.generate.encode import SUFFIXES, CountingStream, Encoder, Format, encoding
from salesmart_assets.generate.faults import choose, spoil_values
from salesmart_assets.generate.receipts import BLOCK_ROWS, Till, open_till
from salesmart_assets.generate.sinks import FolderSink, S3Sink, Sink
from salesmart_assets.generate.world import EPOCH, World, day_number, world

__all__ = ["FolderSink", "GeneratedFile", "Plan", "S3Sink", "Sink", "generate", "parse_size"]

DEFAULT_ROWS = 10_000
_UNITS = {"": 1} | {f"{letter}B": 1000**power for power, letter in enumerate("KMGTP", 1)}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGTP", 1)} | {"B": 1}
_LINE_BYTES: dict[Format, int] = {"csv": 108, "json": 300, "parquet": 40}


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A file that was written: its size in bytes as stored, its rows (the header is none), and the faults planted in it, in words."""

    source: str
    batch_date: date
    name: str
    bytes: int
    rows: int
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to generate. `rows` or `size` (bytes as stored, met within 5 %) is that of one day's sales file; by default 10,000 rows.

    `faults` is the share of sales rows to spoil, 0 to 1. Raises `UsageError` for what can't be done.
    """

    first_day: date
    days: int = 1
    rows: int | None = None
    size: int | None = None
    format: Format = "csv"
    gzip: bool = False
    faults: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.rows is not None and self.size is not None:
            raise UsageError("rows and size both say how much to generate: give one of them.")
        if (self.rows or 0) < 0 or (self.size is not None and self.size < 1):
            raise UsageError("rows must be at least 0, and size at least 1 byte.")
        if not 0 <= self.faults <= 1:
            raise UsageError(f"faults is the share of rows to spoil, from 0 to 1, not {self.faults}.")
        if self.format not in SUFFIXES:
            raise UsageError(f"the format {self.format!r} is not known: use {', '.join(SUFFIXES)}.")
        check_days(self.first_day, self.days)

    @property
    def usual_rows(self) -> int:
        """About how many lines a day the chain sells; this alone decides how large the chain is."""
        if self.size is not None:
            return self.size * (5 if self.gzip and self.format != "parquet" else 1) // _LINE_BYTES[self.format]
        return DEFAULT_ROWS if self.rows is None else self.rows


def check_days(first_day: date, days: int) -> None:
    """Raise `UsageError` for days on which there is no chain."""
    if days < 1:
        raise UsageError(f"days must be at least 1, not {days}.")
    if first_day < EPOCH or days > (date(2100, 1, 1) - first_day).days:
        raise UsageError(f"{days} days from {first_day} on can't be generated: stay between {EPOCH} and 2099-12-31.")


def parse_size(text: str) -> int:
    """Bytes of a size as people write it; kB, MB, GB, TB are decimal, KiB, MiB, GiB, TiB binary. Raises `UsageError`.

    >>> parse_size("15GB"), parse_size("1.5 MiB"), parse_size("800")
    (15000000000, 1572864, 800)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or int(Decimal(match[1]) * unit) < 1:
        raise UsageError(f"{text!r} is not a size: write a number and a unit, such as 500MB, 15GB or 2GiB.")
    return int(Decimal(match[1]) * unit)


def generate(plan: Plan, sink: Sink, contracts: Mapping[str, Contract]) -> Iterator[GeneratedFile]:
    """Write the plan's files to the sink, one day after the other, and tell of each when it is there.

    The first day has the five sources in full, as of that day; later days have the sales and what changed: new customers,
    new prices, sellers who moved to another store.
    """
    chain = world(plan.seed, plan.usual_rows)
    for offset in range(plan.days):
        day = plan.first_day + timedelta(days=offset)
        for source, batches in dimension_files(chain, day, full=offset == 0):
            yield _write_state(plan, sink, contracts[source], day, batches)
        yield _write_sales(plan, sink, contracts["sales"], chain, day)


def dimension_files(chain: World, day: date, *, full: bool) -> Iterator[tuple[str, Iterator[dict[str, Array]]]]:
    """The dimension files of a day, by source, as batches of columns; a source in which nothing changed has none."""
    number = day_number(day)
    if full:
        yield "stores", iter([chain.stores()])
        yield "products", iter([chain.products(number)])
        yield "sales_team", iter([chain.sellers(number)])
        yield "customers", _customers(chain, chain.customer_numbers(number))
        return
    for source, changed in (
        ("products", chain.products(number, changed_only=True)),
        ("sales_team", chain.sellers(number, changed_only=True)),
    ):
        if len(changed["effective_date"]):
            yield source, iter([changed])
    yield "customers", _customers(chain, chain.customer_numbers(number)[-chain.extent.new_customers :])


def _customers(chain: World, numbers: range) -> Iterator[dict[str, Array]]:
    for start in range(0, len(numbers), BLOCK_ROWS):
        yield chain.customers(numbers[start : start + BLOCK_ROWS])


def file_name(source: str, day: date, kind: Format, *, part: str = "", compress: bool = False) -> str:
    """The name of a file, such as `sales_2026-03-01.csv.gz`."""
    return f"{source}_{day.isoformat()}{part}{SUFFIXES[kind]}{'.gz' if compress else ''}"


def _write_state(plan: Plan, sink: Sink, contract: Contract, day: date, batches: Iterator[dict[str, Array]]) -> GeneratedFile:
    name = file_name(contract.source, day, plan.format, compress=plan.gzip)
    rows = 0
    first = conform(next(batches), contract)
    with sink.open(contract.source, day, name) as stream:
        counted = CountingStream(stream)
        with encoding(cast(BinaryIO, counted), plan.format, contract, first.schema, compress=plan.gzip) as encoder:
            encoder.write(first)
            rows += first.num_rows
            for columns in batches:
                batch = conform(columns, contract)
                encoder.write(batch)
                rows += batch.num_rows
    return GeneratedFile(contract.source, day, name, counted.count, rows)


def _write_sales(plan: Plan, sink: Sink, contract: Contract, chain: World, day: date) -> GeneratedFile:
    sales = _Sales(plan, contract, open_till(chain, day))
    rows = sales.rows_for(plan.size) if plan.size is not None else plan.usual_rows
    name = file_name("sales", day, plan.format, compress=plan.gzip)
    with sink.open("sales", day, name) as stream:
        size, planted = sales.write(stream, rows)
    return GeneratedFile("sales", day, name, size, rows, tuple(f"{count} × {kind}" for kind, count in sorted(planted.items())))


class _CountOnly:
    """A stream that forgets what is written to it."""

    def write(self, data: object) -> int:
        return memoryview(cast(bytes, data)).nbytes


@dataclass(frozen=True, slots=True)
class _Sales:
    """The sales file of one day."""

    plan: Plan
    contract: Contract
    till: Till

    def write(self, stream: BinaryIO, rows: int) -> tuple[int, Counter[str]]:
        """Write the first `rows` rows of the day; returns the bytes written and the faults planted."""
        planted: Counter[str] = Counter()
        counted = CountingStream(stream)
        schema = conform(columns_of(self.till.rows(0, 1)), self.contract).schema
        with encoding(cast(BinaryIO, counted), self.plan.format, self.contract, schema, compress=self.plan.gzip) as encoder:
            for block in range(-(-rows // BLOCK_ROWS)):
                planted += self._write_block(encoder, block, min(BLOCK_ROWS, rows - block * BLOCK_ROWS))
        return counted.count, planted

    def _write_block(self, encoder: Encoder, block: int, count: int) -> Counter[str]:
        batch = conform(columns_of(self.till.rows(block, count)), self.contract)
        if not self.plan.faults:
            encoder.write(batch)
            return Counter()
        ordinal, as_text = self.till.day.toordinal(), self.plan.format != "parquet"
        faults = choose(self.plan.seed, ordinal, block, count, self.plan.faults, batch.schema.names, as_text=as_text)
        encoder.write(spoil_values(batch, faults, self.contract), faults)
        return Counter({kind: len(places) for kind, places in faults.items()})

    def rows_for(self, size: int) -> int:
        """How many rows make a file of about `size` bytes: measured on the day's own first block."""
        rows = min(max(size // _LINE_BYTES[self.plan.format], 1), BLOCK_ROWS)
        for _ in range(4):
            measured = self._bytes_of(rows)
            wanted = max(round(rows * size / measured), 1)
            if abs(measured - size) <= size // 100 or (wanted >= BLOCK_ROWS and rows == BLOCK_ROWS):
                return wanted
            rows = min(wanted, BLOCK_ROWS)
        return rows

    def _bytes_of(self, rows: int) -> int:
        return self.write(cast(BinaryIO, _CountOnly()), rows)[0]
