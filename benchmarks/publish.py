"""What a publication costs: a month of new rows, and the same month with one row in a hundred changed.

    python -m benchmarks.publish [--rows N] [--rounds N] [--jar FILE] [--only NAME …]

A MariaDB server of its own, set up as one for production is, gets the rows of a customer mart. Each contestant has them in
memory, in a process of its own, and writes them into the table that the program makes, with its key and its index. The limit
is `LOAD DATA` of a file that lies ready, unverified. All that is committed is added up and compared afterwards.

Belongs here: the contestants and the table of the results.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salesmart_assets_tests.conftest import MariaDbServer

MONTH = date(2026, 10, 1)
MART = "customer_mart"
RESULTS = Path(__file__).with_name("results") / "publish.md"
JAR = Path("/usr/share/java/mariadb-java-client.jar")
"""Where Debian's package `libmariadb-java` puts MariaDB's JDBC driver."""
_SERVER = (
    "--skip-ssl",
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=512M",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-flush-method=fsync",
    "--innodb-doublewrite=ON",
    "--max-allowed-packet=64M",
)
_FIRST = ("James", "Mary", "Olivia", "Zoë", "Søren", "Nathan", "Samuel", "Aisha", "Björn", "Li")
_LAST = ("Smith", "Vasquez", "Gray", "Jennings", "O'Neill", "Müller", "Rodriguez", "Kim", "Nguyen", "Fox")
_PER_STATEMENT = 10_000
# A statement with a parameter for each value is compiled anew for each number of rows, and slower the more there are.
_PER_COMPILED_STATEMENT = 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write `publish.md` where all contestants took part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description="What a publication costs.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the mart")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--jar", type=Path, default=JAR, help="MariaDB's JDBC driver, for Spark; without it Spark is left out")
    parser.add_argument("--only", nargs="+", choices=tuple(CONTESTANTS), help="only these; results are printed, no file is written")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        name, url, folder, server = chosen.child
        print(json.dumps(CONTESTANTS[name](Turn(url, Path(folder), int(server), chosen.jar))))
        return
    text = measure(chosen)
    print(text)
    if not chosen.only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text, encoding="utf-8")


def make_rows(count: int, seed: int = 1) -> pa.Table:
    """A month of a customer mart, one row a customer."""
    chance = np.random.default_rng(seed)

    def pick(values: Sequence[str]) -> list[str]:
        return [values[n] for n in chance.integers(0, len(values), count)]

    def money(cents: np.ndarray[Any, Any]) -> pa.Array[Any]:
        return pc.multiply(pa.array(cents).cast(pa.decimal128(19, 0)), pa.scalar(Decimal("0.01"))).cast(pa.decimal128(28, 2))

    spent, orders = chance.integers(100, 500_000, count), chance.integers(1, 12, count)
    first = np.datetime64(MONTH) + chance.integers(0, 15, count)
    last = first + chance.integers(0, 13, count)
    before = pc.if_else(pa.array(chance.random(count) < 0.7), money(chance.integers(-200_000, 200_000, count)), None)
    codes = chance.bytes(6 * count).hex().upper()
    columns = {
        "sales_month": pa.array([MONTH] * count),
        "customer_id": pa.array(np.arange(1, count + 1)),
        "full_name": pa.array([f"{a} {b}" for a, b in zip(pick(_FIRST), pick(_LAST), strict=True)]),
        "address": pa.array([f"{n} Maple Street, Springfield {n % 90_000 + 10_000}" for n in chance.integers(1, 9999, count)]),
        "phone_number": pa.array([f"+1-555-{n:07d}" for n in chance.integers(0, 10**7, count)]),
        "total_sales": money(spent),
        "orders": pa.array(orders),
        "active_days": pa.array(np.minimum(orders, chance.integers(1, 8, count))),
        "average_basket": money(spent // orders),
        "first_purchase": pa.array(first),
        "last_purchase": pa.array(last),
        "change_on_month_before": before,
        "segment": pa.array(pick(("loyal", "regular", "occasional"))),
        "coupon_code": pa.array([codes[n * 12 : n * 12 + 12] for n in range(count)]),
        "coupon_percent": pa.array(chance.integers(5, 11, count)),
        "coupon_expiry": pa.array(last + 30),
    }
    return pa.table(columns).select(_table().names).cast(_table().arrow)


def change_rows(rows: pa.Table, seed: int = 2) -> pa.Table:
    """The same month after another day: one customer in a hundred bought once more; the rows come in another order."""
    chance = np.random.default_rng(seed)
    changed = np.zeros(rows.num_rows, bool)
    changed[chance.choice(rows.num_rows, rows.num_rows // 100, replace=False)] = True
    again = {"total_sales": Decimal("12.50"), "orders": 1}
    for name, more in again.items():
        at, values = rows.column_names.index(name), rows[name]
        new = pc.if_else(pa.array(changed), pc.add(values, pa.scalar(more)).cast(values.type), values)
        rows = rows.set_column(at, rows.schema.field(at), new)
    return rows.take(pa.array(chance.permutation(rows.num_rows)))


def _table() -> Any:
    from salesmart_assets.contracts import build_tables, load_contracts

    return build_tables(load_contracts())[MART]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a contestant is given: the database, the folder with the rows, the server's process, and a JDBC driver."""

    url: str
    folder: Path
    server: int
    jar: Path

    def rows(self, name: str = "first") -> pa.Table:
        return pq.read_table(self.folder / f"{name}.parquet")

    def engine(self) -> Any:
        """The database, with the mart's table made and empty."""
        import sqlalchemy as sa

        from salesmart_assets.publish import Publisher, open_database

        engine = open_database(self.url)
        with engine.begin() as connection:
            for name in (MART, "publication"):
                connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
        Publisher(engine, [_table()]).ensure_schema()
        return engine

    def timed(self, write: Callable[[], object]) -> dict[str, Any]:
        """Wall seconds of a call, and CPU seconds of this process and of the server."""
        wall, client, server = time.perf_counter(), _cpu(os.getpid()), _cpu(self.server)
        write()
        return {"wall": time.perf_counter() - wall, "client": _cpu(os.getpid()) - client, "server": _cpu(self.server) - server}


def _cpu(process: int) -> float:
    """CPU seconds of a process and the children that it has now; 0 where the system does not tell."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[11:13]
    children = [int(number) for path in stat.parent.glob("task/*/children") for number in path.read_text(encoding="ascii").split()]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") + sum(map(_cpu, children))


def _answer(engine: Any) -> list[str]:
    """What all contestants must agree on."""
    import sqlalchemy as sa

    sums = "count(*), sum(total_sales), sum(change_on_month_before), sum(orders), min(last_purchase)"
    with engine.connect() as connection:
        checksum = f"sum(crc32(concat_ws('|', {', '.join(_table().names)})))"
        found = connection.execute(sa.text(f"SELECT {sums}, {checksum} FROM {MART}")).one()
    return [str(value) for value in found]


def _salesmart(turn: Turn) -> dict[str, Any]:
    """New rows; one in a hundred changed; nothing changed; one in a hundred changed back, which nobody has on record."""
    from salesmart_assets.publish import Publisher, SliceLoad

    table, engine = _table(), turn.engine()
    publisher = Publisher(engine, [table])
    publisher.ensure_schema()
    first, second = turn.rows("first"), turn.rows("second")

    def earlier(_version: int, files: str) -> pa.Table:
        return turn.rows(files)

    loads = {
        "new": SliceLoad(table, MONTH.isoformat(), 1, lambda: first, "first", earlier),
        "changed": SliceLoad(table, MONTH.isoformat(), 2, lambda: second, "second", earlier),
        "unchanged": SliceLoad(table, MONTH.isoformat(), 3, lambda: second, "third"),
        "compared": SliceLoad(table, MONTH.isoformat(), 4, lambda: first, "fourth"),
    }
    told: dict[str, Any] = {}
    for name, load in loads.items():
        done: list[Any] = []
        told[name] = turn.timed(lambda load=load, done=done: done.extend(publisher.publish([load], "run")))  # type: ignore[misc]
        told[name]["rows"] = done[0].changed_rows
        if name == "new":
            told["answer"] = _answer(engine)
    if _answer(engine) != told["answer"]:
        raise AssertionError("what was changed and changed back is not what it was")
    return told


def _written(turn: Turn, engine: Any, write: Callable[[], object]) -> dict[str, Any]:
    return {"new": turn.timed(write), "answer": _answer(engine)}


def _bare(turn: Turn) -> dict[str, Any]:
    import pymysql

    engine = turn.engine()
    at = engine.url
    statement = (
        f"LOAD DATA LOCAL INFILE '{turn.folder / 'first.tsv'}' INTO TABLE {MART} CHARACTER SET utf8mb4 ({', '.join(_table().names)})"
    )
    connection = pymysql.connect(
        host=at.host, port=at.port, user=at.username, password=at.password, database=at.database, charset="utf8mb4", local_infile=True
    )

    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.commit()

    with connection:
        return _written(turn, engine, write)


def _pandas(turn: Turn, method: Any = None, chunk: int = _PER_STATEMENT) -> dict[str, Any]:
    engine = turn.engine()
    frame = turn.rows().to_pandas(date_as_object=True)

    def write() -> None:
        with engine.begin() as connection:
            frame.to_sql(MART, connection, if_exists="append", index=False, method=method, chunksize=chunk)

    return _written(turn, engine, write)


def _sqlalchemy(turn: Turn) -> dict[str, Any]:
    import sqlalchemy as sa

    from salesmart_assets.publish.schema import database_table

    engine = turn.engine()
    table, rows = database_table(_table(), sa.MetaData()), turn.rows().to_pylist()

    def write() -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(table), rows)

    return _written(turn, engine, write)


def _spark(turn: Turn) -> dict[str, Any]:
    from pyspark.sql import SparkSession

    engine = turn.engine()
    at = engine.url
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", str(turn.jar))
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .getOrCreate()
    )
    frame = spark.read.parquet(str(turn.folder / "first.parquet")).cache()
    frame.count()
    options = {
        "driver": "org.mariadb.jdbc.Driver",
        "user": str(at.username),
        "password": str(at.password),
        "batchsize": str(_PER_STATEMENT),
        # Without these it would send row by row, and names in quotes that MariaDB takes for texts.
        "rewriteBatchedStatements": "true",
        "sessionVariables": "sql_mode='ANSI_QUOTES'",
    }

    def write() -> None:
        frame.write.jdbc(f"jdbc:mariadb://{at.host}:{at.port}/{at.database}", MART, mode="append", properties=options)

    try:
        return _written(turn, engine, write)
    finally:
        spark.stop()


CONTESTANTS: dict[str, Callable[[Turn], dict[str, Any]]] = {
    "LOAD DATA of a ready file": _bare,
    "salesmart": _salesmart,
    "pandas to_sql": _pandas,
    'pandas to_sql, method="multi"': lambda turn: _pandas(turn, "multi", _PER_COMPILED_STATEMENT),
    "SQLAlchemy insert": _sqlalchemy,
    "Spark JDBC": _spark,
}
_BARE, _OURS = tuple(CONTESTANTS)[:2]
_ONCE = ('pandas to_sql, method="multi"',)
"""Takes minutes, and is far behind."""


def turn(name: str, url: str, folder: Path, server: int, jar: Path) -> dict[str, Any]:
    """One turn of a contestant, in a process of its own."""
    arguments = ["--jar", str(jar), "--child", name, url, str(folder), str(server)]
    done = subprocess.run([sys.executable, "-m", "benchmarks.publish", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(chosen: argparse.Namespace) -> str:
    """Let all contestants take their turns, one after the other, and tell what they took."""
    names = [name for name in CONTESTANTS if chosen.only is None or name in chosen.only]
    left_out = ""
    if "Spark JDBC" in names and not chosen.jar.exists():
        names.remove("Spark JDBC")
        left_out = f"Spark JDBC is left out: there is no JDBC driver at `{chosen.jar}` (Debian: `libmariadb-java`).\n"
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="salesmart-bench-") as home, MariaDbServer(*_SERVER, durable=True) as server:
        folder = Path(home)
        _write_files(folder, chosen.rows)
        for number in range(chosen.rounds):
            for name in names:
                if number and name in _ONCE:
                    continue
                turns[name].append(turn(name, server.database.url("benchmark"), folder, server.process, chosen.jar))
                print(name, {key: value for key, value in turns[name][-1].items() if key != "answer"}, file=sys.stderr)
        server_version = server.database.execute("SELECT version()")[0][0]
    answers = {json.dumps(mine["answer"]) for found in turns.values() for mine in found}
    if len(answers) != 1:
        raise AssertionError(f"the tables do not agree: {answers}")
    return _told(chosen, turns, str(server_version), left_out)


def _write_files(folder: Path, count: int) -> None:
    from salesmart_assets.publish.bulk import file_lines

    rows = make_rows(count)
    pq.write_table(rows, folder / "first.parquet")
    pq.write_table(change_rows(rows), folder / "second.parquet")
    with (folder / "first.tsv").open("wb") as file:
        file.writelines(file_lines(_table(), rows))


def _told(chosen: argparse.Namespace, turns: dict[str, list[dict[str, Any]]], server: str, left_out: str) -> str:
    def middle(name: str, what: str = "new", measure: str = "wall") -> float:
        return statistics.median(mine[what][measure] for mine in turns[name])

    libraries = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "pymysql", "pandas", "pyspark", "pyarrow"))
    made = f"Made by `make bench-publish`. MariaDB {server}, Python {machine.python_version()}, {libraries}; {os.cpu_count()} cores, which"
    rows = f"{chosen.rows:,} rows of `{MART}` in one month, {chosen.rounds} rounds in turn. salesmart adds up and compares what it wrote"
    parts = [
        "# Publication",
        "",
        f"{made} client and server share.",
        "",
        f"{rows} before it commits; the others do not.",
        "",
        "| contestant | seconds (median, spread) | rows/s | CPU seconds, client + server | time by LOAD DATA's |",
        "|---|---|---|---|---|",
    ]
    for name, found in turns.items():
        wall = sorted(mine["new"]["wall"] for mine in found)
        took = middle(name)
        by_limit = f"{took / middle(_BARE):.2f}" if _BARE in turns else ""
        cpu = f"{middle(name, measure='client'):.1f} + {middle(name, measure='server'):.1f}"
        parts.append(f"| {name} | {took:.1f} ({wall[0]:.1f} to {wall[-1]:.1f}) | {chosen.rows / took:,.0f} | {cpu} | {by_limit} |")
    parts += ["", left_out] if left_out else [""]
    if _OURS in turns:
        parts += [
            "| salesmart again, over what stands | rows written | seconds (median) | CPU seconds, client + server | by new rows' |",
            "|---|---|---|---|---|",
        ]
        told = {
            "changed": "one row in a hundred changed since the last publication",
            "unchanged": "nothing changed; every row compared",
            "compared": "one row in a hundred differs, and nothing tells which; every row compared",
        }
        for what, words in told.items():
            took = middle(_OURS, what)
            cpu = f"{middle(_OURS, what, 'client'):.1f} + {middle(_OURS, what, 'server'):.1f}"
            parts.append(f"| {words} | {turns[_OURS][0][what]['rows']:,} | {took:.2f} | {cpu} | {took / middle(_OURS):.2f} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
