"""Days that show everything at once: every format, and every fault that the platform must survive.

Each day sells in CSV files, one JSON lines file and one Parquet file, with one row in a hundred spoilt, and has a seller whom the
sales team announces only a day later. Three days in a row also bring: a file without a mandatory column, a file with an extra
column, a second copy of a file, and an empty file. A day is a pure function of (seed, rows, date), so that a demo may be
continued on any later day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from salesmart_assets.contracts import Contract
from salesmart_assets.errors import UsageError
from salesmart_assets.generate.arrow import Array, array, batch_of, columns_of, plain, with_values
from salesmart_assets.generate.chance import Ints
from salesmart_assets.generate.columns import conform
from salesmart_assets.generate.days import GeneratedFile, check_days, dimension_files, file_name
from salesmart_assets.generate.encode import Format, encoding
from salesmart_assets.generate.faults import choose, spoil_values
from salesmart_assets.generate.receipts import open_till
from salesmart_assets.generate.sinks import Sink
from salesmart_assets.generate.world import FIRST_STORE, World, dates, day_number, world

FIRST_TRAINEE = 800_000
"""Trainees are numbered from here on, by the day they begin."""
_TRAINEES_KNOWN = 30
_BAD_ROWS = 0.01
_LEAST_ROWS, _MOST_ROWS = 50, 90_000
# Sales by weekday, Monday first, in per cent of the rows asked for.
_WEEK = (85, 80, 90, 95, 115, 135, 100)
_FORMATS: tuple[tuple[Format, bool], ...] = (("csv", False), ("csv", False), ("json", True), ("parquet", False), ("csv", False))


@dataclass(frozen=True, slots=True)
class _Day:
    """One demo day: where it writes, and what it writes about."""

    sink: Sink
    contracts: Mapping[str, Contract]
    chain: World
    day: date

    def put(self, source: str, name: str, content: bytes, rows: int, *faults: str) -> GeneratedFile:
        with self.sink.open(source, self.day, name) as stream:
            stream.write(content)
        return GeneratedFile(source, self.day, name, len(content), rows, faults)

    def content(self, source: str, batch: pa.RecordBatch, kind: Format, *, compress: bool = False) -> bytes:
        stream = BytesIO()
        with encoding(stream, kind, self.contracts[source], batch.schema, compress=compress) as encoder:
            encoder.write(batch)
        return stream.getvalue()

    def dimensions(self, *, full: bool) -> Iterator[GeneratedFile]:
        """The dimension files; a full set knows the trainees of the last weeks, a later day announces that of the day before."""
        number = day_number(self.day)
        announced = np.arange(number - _TRAINEES_KNOWN if full else number - 1, number, dtype=np.int64)
        found = {source: list(batches) for source, batches in dimension_files(self.chain, self.day, full=full)}
        found.setdefault("sales_team", []).append(_trainees(self.chain, announced))
        for source, batches in found.items():
            contract = self.contracts[source]
            conformed = [conform(columns, contract) for columns in batches]
            whole = pa.Table.from_batches(conformed).combine_chunks().to_batches()[0]
            kind: Format = "json" if source == "stores" else "csv"
            name = file_name(source, self.day, kind)
            words = []
            if source == "sales_team" and not full:
                words.append(f"announces seller {FIRST_TRAINEE + number - 1}, who already sold the day before")
            if source == "products" and not full:
                words.append(f"{whole.num_rows} products change their price")
            yield self.put(source, name, self.content(source, whole, kind), whole.num_rows, *words)

    def sales(self, rows: int) -> Iterator[GeneratedFile]:
        """The sales files of the day."""
        phase, trainee = self.day.toordinal() % 3, FIRST_TRAINEE + day_number(self.day)
        day_rows = rows * _WEEK[self.day.weekday()] // 100
        whole = _with_trainee(open_till(self.chain, self.day).rows(0, day_rows), self.chain, self.day)
        batch = conform(columns_of(whole), self.contracts["sales"])
        # The last tenth is for the special file of the day, the rest is shared by the tills' files.
        special = batch.slice(batch.num_rows - batch.num_rows // 10)
        usual = batch.slice(0, batch.num_rows - special.num_rows)
        files = _FORMATS[: 5 if phase == 0 else 4]
        edges = [usual.num_rows * part // len(files) for part in range(len(files) + 1)]
        for part, (kind, compress) in enumerate(files):
            rows_here = usual.slice(edges[part], edges[part + 1] - edges[part])
            name = file_name("sales", self.day, kind, part=f"_{part + 1}", compress=compress)
            content, planted = self._spoilt(part, rows_here, kind, compress)
            if part == 0:
                first = name, content, rows_here.num_rows
            if trainee in rows_here.column("sales_person_id").to_pylist():
                planted = (*planted, f"unknown seller {trainee}, announced a day later")
            yield self.put("sales", name, content, rows_here.num_rows, *planted)
        yield from self._special(phase, special, first)

    def _special(self, phase: int, batch: pa.RecordBatch, first: tuple[str, bytes, int]) -> Iterator[GeneratedFile]:
        """What one day in three has: a file without a column; one with an extra column and a copy; an empty one."""
        if phase == 0:
            lacking = batch.drop_columns(["total_cost"])
            words = "lacks the mandatory column total_cost: rejected whole"
            yield self.put("sales", self._csv("_no_total"), self.content("sales", lacking, "csv"), batch.num_rows, words)
        elif phase == 1:
            # One point for each whole unit of money.
            points = pc.cast(pc.floor(batch.column("total_cost")), pa.decimal128(18, 0)).cast(pa.int64())
            extended = batch.append_column("loyalty_points", points)
            words = "has the extra column loyalty_points: kept"
            yield self.put("sales", self._csv("_loyalty"), self.content("sales", extended, "csv"), batch.num_rows, words)
            name, content, rows = first
            yield self.put("sales", name.replace(".csv", "_copy.csv"), content, rows, f"same bytes as {name}: a duplicate")
        else:
            yield self.put("sales", self._csv("_late_till"), self.content("sales", batch, "csv"), batch.num_rows)
            yield self.put("sales", self._csv("_closed_till"), b"", 0, "empty: no bytes at all")

    def _csv(self, part: str) -> str:
        return file_name("sales", self.day, "csv", part=part)

    def _spoilt(self, part: int, batch: pa.RecordBatch, kind: Format, compress: bool) -> tuple[bytes, tuple[str, ...]]:
        contract = self.contracts["sales"]
        names = batch.schema.names
        faults = choose(self.chain.seed, self.day.toordinal(), part, batch.num_rows, _BAD_ROWS, names, as_text=kind != "parquet")
        stream = BytesIO()
        with encoding(stream, kind, contract, batch.schema, compress=compress) as encoder:
            encoder.write(spoil_values(batch, faults, contract), faults)
        return stream.getvalue(), tuple(f"{len(places)} × {fault}" for fault, places in sorted(faults.items()))


def generate_demo(
    first_day: date, days: int, sink: Sink, contracts: Mapping[str, Contract], *, rows: int = 5_000, seed: int = 1
) -> Iterator[GeneratedFile]:
    """Write demo days to the sink and tell of each file when it is there, with what is wrong in it.

    `rows` is the number of sales lines on a usual day (50 to 90,000); Saturdays have more. The first day has every dimension in
    full. Three days in a row show every fault. Raises `UsageError` for a number of days or rows that can't be made.
    """
    check_days(first_day, days)
    if not _LEAST_ROWS <= rows <= _MOST_ROWS:
        raise UsageError(f"a demo day has {_LEAST_ROWS} to {_MOST_ROWS} rows, not {rows}: for more use the generator without a demo.")
    chain = world(seed, rows, line_breaks=True)
    for offset in range(days):
        day = _Day(sink, contracts, chain, first_day + timedelta(days=offset))
        yield from day.dimensions(full=offset == 0)
        yield from day.sales(rows)


def _with_trainee(batch: pa.RecordBatch, chain: World, day: date) -> pa.RecordBatch:
    """The batch, with the first lines of a store given to the trainee who begins there that day."""
    number = day_number(day)
    stores = plain(batch.column("store_id"))
    there = np.flatnonzero(stores.to_numpy() == FIRST_STORE + number % chain.extent.stores)[:5]
    there = there if len(there) else np.array([0])
    columns = columns_of(batch)
    columns["sales_person_id"] = with_values(columns["sales_person_id"], there, array([FIRST_TRAINEE + number] * len(there)))
    return batch_of(columns)


def _trainees(chain: World, days: Ints) -> dict[str, Array]:
    """The trainees who began on the given days, as rows of the sales team."""
    team = chain.team
    ids = FIRST_TRAINEE + days
    store = days % chain.extent.stores
    return {
        "sales_person_id": array(ids),
        "first_name": chain.people.first_names("seller", ids),
        "last_name": chain.people.last_names("seller", ids),
        "manager_id": array(team.first_store_manager + store + 1),
        "is_manager": array(np.zeros(len(ids), dtype=bool)),
        "store_id": array(store + FIRST_STORE),
        "address": chain.people.addresses("seller", ids),
        "pincode": chain.people.codes("seller", ids),
        "joining_date": dates(days),
        "effective_date": dates(days),
    }
