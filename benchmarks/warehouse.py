"""What the warehouse costs: day by day, a large dimension that changes a little, and the fact beside a DuckDB script.

    python -m benchmarks.warehouse [--case days|months|customers|fact] [--rows N] [--fact-rows N] [--customers N] [--days N] [--rounds N]

- `days`: a month of generated days, loaded one after the other. Staging and fact of the last days must not cost more than those
  of the first.
- `months`: three months of smaller days. A mart costs what its month holds, whatever was before: the last days of each month cost
  the same.
- `customers`: a dimension of many customers of whom one in a hundred changes each day; beside building it anew.
- `fact`: one day of sales becomes the fact; beside a script for DuckDB that makes the same rows of the same files.

CPU seconds are those of the process with the engine in it. Belongs here: the cases and the table of the results.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contestants import peak_memory

CORES = 2
FIRST = date(2026, 3, 1)
RESULTS = Path(__file__).with_name("results") / "warehouse.md"
_SOURCES = ("sales", "customers", "stores", "products", "sales_team")
_ROLES = ("customer", "store", "product", "sales_person")
_STEPS = ("staging", "dimensions", "fact", "rollups", "marts", "publication")
_MONTHS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write `warehouse.md` where all cases were run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warehouse", description="What the warehouse costs.")
    parser.add_argument("--case", choices=tuple(CASES), help="only this case; its results are printed, no file is written")
    parser.add_argument("--rows", type=int, default=200_000, help="sold lines a day in `days`")
    parser.add_argument("--days", type=int, default=30, help="days in `days`")
    parser.add_argument("--customers", type=int, default=1_000_000, help="customers in `customers`")
    parser.add_argument("--fact-rows", type=int, default=5_000_000, help="sold lines in `fact`")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        print(json.dumps(CHILDREN[chosen.child[0]](*chosen.child[1:])))
        return
    parts = [measure(chosen) for name, measure in CASES.items() if chosen.case in (None, name)]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pysail", "duckdb", "polars", "deltalake"))
    told = f"Made by `make bench-warehouse`. Python {machine.python_version()}, {libraries}; {CORES} cores."
    text = "\n".join(["# The warehouse", "", told, "", *parts])
    print(text)
    if chosen.case is None:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text, encoding="utf-8")


def _child(*arguments: str) -> dict[str, Any]:
    """What a step in a process of its own says."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.warehouse", "--child", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{arguments[0]} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def _opened(home: str) -> Iterator[Any]:
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.settings import Settings

    with Platform(Settings(home=Path(home), workers=CORES)) as opened:
        _ = opened.lake, opened.ledger, opened.session
        yield opened


class _Clock:
    """Wall and CPU seconds by name."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
        self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu


def _load(opened: Any, day: date, until: str = "publication") -> _Clock:
    """The steps of one batch, timed by group."""
    from salesmart_assets.batch import dimensions, landing, marts, publication, staging, warehouse
    from salesmart_assets.batch.run import Run
    from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, ROLLUPS

    run, clock = Run(day, str(uuid.uuid4())), _Clock()
    groups: dict[str, list[Callable[[], object]]] = {
        "staging": [
            *(lambda s=s: (landing.register(opened, s, run), staging.stage(opened, s, run)) for s in _SOURCES),  # type: ignore[misc]
            lambda: staging.keep_rejections(opened, run),
        ],
        "dimensions": [lambda d=d: dimensions.build_dimension(opened, d, run) for d in DIMENSIONS],  # type: ignore[misc]
        "fact": [lambda: warehouse.build_fact(opened, run)],
        "rollups": [lambda r=r: warehouse.build_rollup(opened, r, run) for r in ROLLUPS],  # type: ignore[misc]
        "marts": [lambda m=m: marts.build_mart(opened, m, run) for m in MARTS],  # type: ignore[misc]
        "publication": [lambda: publication.publish(opened, run)],
    }
    for name, steps in groups.items():
        with clock.running(name):
            for step in steps:
                step()
        if name == until:
            break
    return clock


def _landing(home: str) -> Path:
    from salesmart_assets.settings import Settings

    settings = Settings(home=Path(home))
    return settings.root / "s3" / settings.landing_bucket / settings.landing_prefix


def _generate(home: str, rows: int, days: int) -> None:
    from salesmart_assets.contracts import load_contracts
    from salesmart_assets.generate.days import FolderSink, Plan, generate

    for _ in generate(Plan(FIRST, days=days, rows=rows), FolderSink(_landing(home)), load_contracts()):
        pass


def _days_child(home: str, rows: str, days: str) -> dict[str, Any]:
    """Load a month of days."""
    _generate(home, int(rows), int(days))
    found = []
    with _opened(home) as opened:
        for number in range(int(days)):
            clock = _load(opened, FIRST + timedelta(number))
            found.append({"wall": clock.wall, "cpu": clock.cpu})
            print(f"day {number + 1}: {clock.cpu}", file=sys.stderr)
    return {"days": found}


def measure_days(chosen: argparse.Namespace) -> str:
    """A month, day by day."""
    with tempfile.TemporaryDirectory(prefix="salesmart-bench-") as home:
        found = _child("days", home, str(chosen.rows), str(chosen.days))["days"]
    few = max(min(5, len(found) // 2), 1)
    # The first day brings every member and warms everything up: it is no yardstick for the others.
    first, last = found[1 : few + 1], found[-few:]
    lines = [f"| step | day 1 | days 2 to {few + 1} | last {few} days | ratio, CPU | ratio, wall |", "|---|---|---|---|---|---|"]
    for name in _STEPS:
        cpu = [statistics.median(day["cpu"][name] for day in part) for part in (first, last)]
        wall = [statistics.median(day["wall"][name] for day in part) for part in (first, last)]
        ratios = f"{cpu[1] / cpu[0]:.2f} | {wall[1] / wall[0]:.2f}"
        lines.append(f"| {name} | {found[0]['cpu'][name]:.2f} s | {cpu[0]:.2f} s | {cpu[1]:.2f} s | {ratios} |")
    told = f"{len(found)} days of {chosen.rows:,} sold lines, loaded one after the other. CPU seconds of a day, medians."
    return "\n".join(["## Day by day", "", told, "", *lines, ""])


def measure_months(chosen: argparse.Namespace) -> str:
    """Some months, at their ends."""
    rows = max(chosen.rows // 10, 100)
    first, months = FIRST, []
    for _ in range(_MONTHS):
        after = (first + timedelta(31)).replace(day=1)
        months.append(range((first - FIRST).days, (after - FIRST).days))
        first = after
    with tempfile.TemporaryDirectory(prefix="salesmart-bench-") as home:
        found = _child("days", home, str(rows), str(months[-1].stop))["days"]
    lines = [f"| step | {' | '.join(f'month {n + 1}' for n in range(_MONTHS))} | last by first |", "|---" * (_MONTHS + 2) + "|"]
    for name in _STEPS:
        cpu = [statistics.median(found[day]["cpu"][name] for day in month[-5:]) for month in months]
        lines.append(f"| {name} | {' | '.join(f'{seconds:.2f} s' for seconds in cpu)} | {cpu[-1] / cpu[0]:.2f} |")
    told = f"{len(found)} days of {rows:,} sold lines. CPU seconds of a day, medians of the last five days of each month."
    return "\n".join(["## Month by month", "", told, "", *lines, ""])


def _write_customers(home: str, day: date, members: Sequence[int], word: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = _landing(home) / "customers" / f"dt={day.isoformat()}"
    folder.mkdir(parents=True)
    count = len(members)
    columns = {
        "customer_id": pa.array(members, pa.int64()),
        "first_name": pa.array([f"First{n % 5003}" for n in members]),
        "last_name": pa.array([f"Last{n % 30011}" for n in members]),
        "address": pa.array([f"{n} {word} Street" for n in members]),
        "pincode": pa.array([f"{n % 90000 + 10000}" for n in members]),
        "phone_number": pa.array([f"0{n}" for n in members]),
        "customer_joining_date": pa.array([date(2020, 1, 1)] * count, pa.date32()),
    }
    pq.write_table(pa.table(columns), folder / "customers.parquet")


def _customers_child(home: str, count: str, kind: str) -> dict[str, Any]:
    """A dimension of many customers, and four days on which one in a hundred changes."""
    from salesmart_assets.batch import dimensions, landing, staging
    from salesmart_assets.batch.run import Run

    number = int(count)
    found = []
    with _opened(home) as opened:
        for day_number in range(5):
            day = FIRST + timedelta(day_number)
            members = range(1, number + 1) if day_number == 0 else range(1 + day_number, number + 1, 100)
            _write_customers(home, day, members, f"Word{day_number}")
            run = Run(day, str(uuid.uuid4()))
            landing.register(opened, "customers", run)
            staging.stage(opened, "customers", run)
            clock = _Clock()
            with clock.running("dimension"):
                report = dimensions.build_dimension(opened, "dim_customer", Run(day, run.run_id, rebuild=kind == "anew"))
            found.append(
                {"wall": clock.wall["dimension"], "cpu": clock.cpu["dimension"], "built": report.facts["built"], "rows": report.rows}
            )
    return {"days": found, "peak": peak_memory()}


def measure_customers(chosen: argparse.Namespace) -> str:
    """A dimension that changes a little, brought up to date and built anew."""
    lines = ["| way | first day | a day with 1 % changes (wall) | CPU | peak memory |", "|---|---|---|---|---|"]
    for kind, name in (("update", "brought up to date"), ("anew", "built anew each day")):
        with tempfile.TemporaryDirectory(prefix="salesmart-bench-") as home:
            found = _child("customers", home, str(chosen.customers), kind)
        days = found["days"]
        later = days[1:]
        lines.append(
            f"| {name} | {days[0]['wall']:.1f} s | {statistics.median(d['wall'] for d in later):.1f} s "
            f"| {statistics.median(d['cpu'] for d in later):.1f} s | {found['peak'] / 1e6:.0f} MB |"
        )
    told = f"`dim_customer` with {chosen.customers:,} customers; each day {chosen.customers // 100:,} of them deliver another address."
    return "\n".join(["## A large dimension", "", told, "", *lines, ""])


def _prepare_child(home: str, rows: str) -> dict[str, Any]:
    """Stage one day of sales, and make its dimensions."""
    _generate(home, int(rows), 1)
    with _opened(home) as opened:
        _load(opened, FIRST, until="dimensions")
        return {"rows": opened.lake.snapshot("stg_sales").rows}


def _fact_child(home: str) -> dict[str, Any]:
    """The fact of that day, as the platform makes it: read, joined, written, audited, committed."""
    from salesmart_assets.batch import warehouse
    from salesmart_assets.batch.run import Run

    clock = _Clock()
    with _opened(home) as opened:
        days = opened.lake.snapshot("stg_sales").partitions("sales_date")
        opened.ledger.touch({"fact_sales": days}, FIRST)
        with clock.running("fact"):
            warehouse.build_fact(opened, Run(FIRST, str(uuid.uuid4())))
        peak = peak_memory()
        snapshot = opened.lake.snapshot("fact_sales")
        root = opened.lake.path("fact_sales")
        answer = _answer([f"{root}/{f.path}" for f in snapshot.files])
    return {"wall": clock.wall["fact"], "cpu": clock.cpu["fact"], "peak": peak, "answer": answer}


def _duckdb_child(home: str) -> dict[str, Any]:
    """The same rows by a script for DuckDB: no audit, no commit."""
    import duckdb

    from salesmart_assets.contracts import build_tables, load_contracts
    from salesmart_assets.lake import Lake
    from salesmart_assets.settings import Settings

    tables = build_tables(load_contracts())
    lake = Lake.open(Settings(home=Path(home)), tables)

    def files(name: str) -> list[str]:
        return [f"{lake.path(name)}/{f.path}" for f in lake.snapshot(name).files]

    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="salesmart-turn-") as folder:
        connection = duckdb.connect(str(Path(folder, "scratch.db")))
        connection.execute(f"SET threads = {CORES}")
        with clock.running("fact"):
            connection.execute(
                _duckdb_script({name: files(name) for name in ("stg_sales", *(f"dim_{r}" for r in _ROLES))}, f"{folder}/out")
            )
        peak = peak_memory()
        answer = _answer([str(path) for path in Path(folder, "out").rglob("*.parquet")])
    return {"wall": clock.wall["fact"], "cpu": clock.cpu["fact"], "peak": peak, "answer": answer}


def _duckdb_script(files: Mapping[str, Sequence[str]], out: str) -> str:
    """As one would write it by hand; the paths are this benchmark's own."""
    dimensions = ",\n".join(
        f"""{role} AS (
            SELECT *, CASE WHEN row_number() OVER (PARTITION BY {role}_id ORDER BY valid_from) > 1 THEN valid_from
                ELSE DATE '0001-01-01' END AS begins
            FROM read_parquet({list(files[f"dim_{role}"])})
        )"""
        for role in _ROLES
    )
    joins = "\n".join(
        f"LEFT JOIN {role} ON {role}.{role}_id = s.{role}_id AND s.sales_date >= {role}.begins "
        f"AND ({role}.valid_to IS NULL OR s.sales_date < {role}.valid_to)"
        for role in ("customer", "store", "sales_person")
    )
    return f"""
    COPY (
        WITH {dimensions},
        staged AS (SELECT * FROM read_parquet({list(files["stg_sales"])}, hive_partitioning = true)),
        s AS (
            SELECT * FROM staged
            WHERE store_id IS NULL OR sales_date IS NULL OR transaction_id IS NULL OR line_number IS NULL
            UNION ALL
            SELECT * FROM (
                SELECT * FROM staged
                WHERE store_id IS NOT NULL AND sales_date IS NOT NULL AND transaction_id IS NOT NULL AND line_number IS NOT NULL
                QUALIFY row_number() OVER (
                    PARTITION BY store_id, sales_date, transaction_id, line_number
                    ORDER BY batch_date DESC, source_file DESC, source_row DESC, file_id DESC
                ) = 1
            )
        ),
        named AS (
            SELECT m.product_name, m.sales_date, any_value(product.product_key) AS product_key,
                any_value(product.price) AS list_price, any_value(product.cost) AS list_cost
            FROM (SELECT DISTINCT product_name, sales_date FROM s WHERE product_id IS NULL) m
            JOIN product ON product.name = m.product_name AND m.sales_date >= product.begins
                AND (product.valid_to IS NULL OR m.sales_date < product.valid_to)
            GROUP BY ALL HAVING count(*) = 1
        )
        SELECT s.*, coalesce(customer.customer_key, -1) AS customer_key, coalesce(store.store_key, -1) AS store_key,
            coalesce(sales_person.sales_person_key, -1) AS sales_person_key,
            coalesce(product.product_key, named.product_key, -1) AS product_key,
            coalesce(product.price, named.list_price) AS list_price, coalesce(product.cost, named.list_cost) AS list_cost,
            s.price - coalesce(product.price, named.list_price) AS price_variance
        FROM s
        {joins}
        LEFT JOIN product ON product.product_id = s.product_id AND s.sales_date >= product.begins
            AND (product.valid_to IS NULL OR s.sales_date < product.valid_to)
        LEFT JOIN named ON s.product_id IS NULL AND named.product_name = s.product_name AND named.sales_date = s.sales_date
    ) TO '{out}' (FORMAT parquet, COMPRESSION snappy, PARTITION_BY (sales_date))
    """


def _answer(files: Sequence[str]) -> dict[str, str]:
    """What two facts must agree on: rows, sums, and what every key adds up to."""
    import polars as pl

    rows = pl.scan_parquet(list(files), hive_partitioning=False)
    keys = [pl.col(f"{role}_key").cast(pl.Int128).sum() for role in _ROLES]
    sums = [pl.col(c).cast(pl.Decimal(38, 2)).sum() for c in ("total_cost", "list_price", "price_variance")]
    found = rows.select(pl.len().alias("rows"), *keys, *sums).collect(engine="streaming").row(0, named=True)
    return {name: str(value) for name, value in found.items()}


def measure_fact(chosen: argparse.Namespace) -> str:
    """One day of sales becomes the fact."""
    turns: dict[str, list[dict[str, Any]]] = {"salesmart": [], "DuckDB script": []}
    with tempfile.TemporaryDirectory(prefix="salesmart-bench-") as home:
        rows = _child("prepare", home, str(chosen.fact_rows))["rows"]
        for _ in range(chosen.rounds):
            for name, child in (("salesmart", "fact"), ("DuckDB script", "duckdb")):
                turns[name].append(_child(child, home))
                print(name, turns[name][-1], file=sys.stderr)
    answers = {json.dumps(turn["answer"], sort_keys=True) for mine in turns.values() for turn in mine}
    if len(answers) != 1:
        raise AssertionError(f"the facts do not agree: {answers}")
    base = statistics.median(turn["wall"] for turn in turns["DuckDB script"])
    lines = [
        "| contestant | seconds (median, spread) | rows/s | CPU seconds | peak memory | time by DuckDB's |",
        "|---|---|---|---|---|---|",
    ]
    for name, mine in turns.items():
        wall = sorted(turn["wall"] for turn in mine)
        middle, cpu = statistics.median(wall), statistics.median(turn["cpu"] for turn in mine)
        peak = max(turn["peak"] for turn in mine) / 1e6
        lines.append(
            f"| {name} | {middle:.1f} ({wall[0]:.1f} to {wall[-1]:.1f}) | {rows / middle:,.0f} "
            f"| {cpu:.1f} | {peak:,.0f} MB | {middle / base:.2f} |"
        )
    told = (
        f"{rows:,} staged rows, {chosen.rounds} rounds. Both leave out duplicates, join four dimensions as of the day and write Parquet by "
        "date; salesmart counts duplicates by file, audits and commits besides. Rows, sums and keys agree."
    )
    return "\n".join(["## The fact", "", told, "", *lines, ""])


CASES: dict[str, Callable[[argparse.Namespace], str]] = {
    "days": measure_days,
    "months": measure_months,
    "customers": measure_customers,
    "fact": measure_fact,
}
CHILDREN: dict[str, Callable[..., dict[str, Any]]] = {
    "days": _days_child,
    "customers": _customers_child,
    "prepare": _prepare_child,
    "fact": _fact_child,
    "duckdb": _duckdb_child,
}


if __name__ == "__main__":
    main()
