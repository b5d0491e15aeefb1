"""A day's files from the landing zone to published marts: this platform beside scripts for DuckDB, Polars and PySpark.

    python -m benchmarks.end_to_end --size 1GB --rounds 3

All get the same generated files of all five sources, on two cores, and publish to SQLite. Each turn is a process of its own, measured
from its start to its end, with all that it starts: this platform as a person runs it, `salesmart run`, with Dagster, the ledger, the
checks and the reports; the scripts of `scripts` as `python script.py`. Contestants take turns within a round. What they published is
compared: every total and incentive of `sales_team_mart`, and what `customer_mart` adds up to.

`--only` takes one contestant, prints its result and writes nothing. Belongs here: the files, the turns and the table.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, cast

from benchmarks.scripts import CORES
from salesmart_assets.contracts import load_contracts
from salesmart_assets.generate.days import FolderSink, Plan, generate, parse_size
from salesmart_assets.settings import Settings

DAY = date(2026, 3, 1)
_OURS, _YARDSTICK = "salesmart", "PySpark script"
CONTESTANTS = {_OURS: "", "DuckDB script": "duckdb", "Polars script": "polars", _YARDSTICK: "pyspark"}
_COLOURS = ("#2f6f9f", "#d99a2b", "#8a8a8a", "#b5523b")
_RESULTS = Path(__file__).with_name("results")
_PART_BYTES = 125_000_000
_LOOK_SECONDS = 0.2

Answer = tuple[frozenset[tuple[int, int, str, Decimal, Decimal]], int, Decimal]
"""`sales_team_mart`, as store, seller, month, total and incentive; the rows of `customer_mart`, and their total."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn: seconds from start to end, peak memory in bytes of the process and all that it started, and what was published."""

    seconds: float
    peak: int
    answer: Answer
    said: str


class _Parts:
    """A stream that goes on in another file when one is full; each begins with the header, the first thing that is written."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._header: bytes | None = None
        self._file: BinaryIO | None = None
        self._count = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write whole lines."""
        if self._header is None:
            self._header = bytes(data)
            return len(data)
        if self._file is None or self._file.tell() > _PART_BYTES:
            self.close()
            self._count += 1
            self._file = (self._folder / f"{self._count:03}_{self._name}").open("wb")
            self._file.write(self._header)
        return self._file.write(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True, slots=True)
class _InParts:
    """A folder that gets sales in several files, as the tills of many stores deliver them."""

    whole: FolderSink

    @contextmanager
    def open(self, source: str, batch_date: date, name: str) -> Iterator[BinaryIO]:
        """A stream for one source."""
        if source != "sales":
            with self.whole.open(source, batch_date, name) as stream:
                yield stream
            return
        folder = self.whole.folder / source / f"dt={batch_date}"
        folder.mkdir(parents=True)
        parts = _Parts(folder, name)
        yield cast(BinaryIO, parts)
        parts.close()


def make_files(size: int, folder: Path) -> tuple[int, int]:
    """Write the files of a day; returns the bytes and the rows of its sales."""
    made = list(generate(Plan(DAY, size=size), _InParts(FolderSink(folder)), load_contracts()))
    sales = next(file for file in made if file.source == "sales")
    return sales.bytes, sales.rows


def take_turn(contestant: str, files: Path, out: Path) -> Turn:
    """One contestant's turn, in a process of its own; what it wrote stays in `out`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))}
    if contestant == _OURS:
        settings = Settings.model_construct(home=out)
        landing = settings.root / "s3" / settings.landing_bucket / settings.landing_prefix
        # The landing zone has the very files, not copies.
        shutil.copytree(files, landing, copy_function=os.link)
        command = [sys.executable, "-m", "salesmart_assets.cli", "run", "--require-files"]
        environment |= {"SALESMART_HOME": str(out), "SALESMART_WORKERS": str(CORES)}
    else:
        out.mkdir()
        command = [sys.executable, "-m", "benchmarks.scripts", CONTESTANTS[contestant], str(files), str(out)]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        memory = _Memory(process.pid)
        code = process.wait()
        seconds = time.perf_counter() - started
        peak = memory.stop()
        log.seek(0)
        said = log.read().decode(errors="replace")
    if code:
        raise SystemExit(f"{contestant} failed:\n{said[-4000:]}")
    return Turn(seconds, peak, answer(out / "marts.db"), said)


class _Memory:
    """Watches the memory of a process and all its descendants together; what they share counts once."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak = pid, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The most that was seen, in bytes; 0 where the system does not tell."""
        self._end.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            self._peak = max(self._peak, sum(map(_memory_of, _family(self._pid))))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _memory_of(pid: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def answer(database: Path) -> Answer:
    """What a contestant published."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        sold = connection.execute("SELECT store_id, sales_person_id, sales_month, total_sales, incentive FROM sales_team_mart").fetchall()
        bought = [Decimal(str(total)) for (total,) in connection.execute("SELECT total_sales FROM customer_mart")]
    connection.close()
    cent = Decimal("0.01")
    sellers = frozenset((s, p, str(m)[:10], Decimal(str(t)).quantize(cent), Decimal(str(i)).quantize(cent)) for s, p, m, t, i in sold)
    if len(sellers) != len(sold):
        raise AssertionError(f"{database}: sales_team_mart has a row twice")
    return sellers, len(bought), sum(bought, Decimal(0)).quantize(cent)


def compare(turns: dict[str, list[Turn]]) -> None:
    """Raise AssertionError where the contestants published other figures."""
    answers = {(name, number): turn.answer for name, taken in turns.items() for number, turn in enumerate(taken)}
    first, expected = next(iter(answers.items()))
    for who, found in answers.items():
        if found != expected:
            odd = sorted(found[0] ^ expected[0])[:4]
            raise AssertionError(f"{who} and {first} published other figures: {found[1:]}, {expected[1:]}, sellers {odd}")


def table(turns: dict[str, list[Turn]], size: int) -> str:
    """The results as a Markdown table."""
    lines = [
        f"| contestant | seconds (median, spread) | MB/s | peak memory | time by the {_YARDSTICK}'s (spread of rounds) |",
        "|---|---|---|---|---|",
    ]
    for name, taken in turns.items():
        seconds = [turn.seconds for turn in taken]
        ratios = [turn.seconds / other.seconds for turn, other in zip(taken, turns[_YARDSTICK], strict=True)]
        middle = statistics.median(seconds)
        spread, ratio = f"{min(seconds):.1f} to {max(seconds):.1f}", f"{min(ratios):.2f} to {max(ratios):.2f}"
        peak = max(turn.peak for turn in taken) / 1e9
        lines.append(
            f"| {name} | {middle:.1f} ({spread}) | {size / middle / 1e6:.0f} | {peak:.2f} GB | {statistics.median(ratios):.2f} ({ratio}) |"
        )
    return "\n".join(lines)


def report(turns: dict[str, list[Turn]], size: int, rows: int, files: int) -> str:
    """The page of results."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pysail", "pyspark", "duckdb", "polars", "deltalake", "dagster"))
    sellers, customers, total = turns[_OURS][-1].answer
    return f"""# A day, end to end

Made by `make bench`. One day of generated sales, {size / 1e6:,.0f} MB of CSV in {files} files with {rows:,} rows, and the files of the four
dimensions; {len(turns[_OURS])} rounds, {CORES} cores, a process for each turn, measured from its start to its end.

{table(turns, size)}

![Seconds](end_to_end.svg)

All published the same figures: {len(sellers):,} rows of `sales_team_mart` with equal totals and incentives, and {customers:,} rows of
`customer_mart` that add up to {total:,}.

- **salesmart** is `salesmart run`: Dagster, the built-in S3 endpoint, the ledger, every row checked by its contract, staging, four
  dimensions of which two keep their history, the fact as of the day, rollups, three marts, audits from file to mart, each a Delta
  commit, publication of marts and dimensions in one transaction, and the reports.
- **The scripts** ([scripts.py](../scripts.py)) read the files, join them, write the fact as Parquet by date, add up two marts and put
  them into the database. They check no row and keep none that is wrong, nor any account of what they read.

Peak memory is that of the process with all that it started, pages that are shared counted once.

Python {platform.python_version()}, {libraries}; {os.cpu_count()} cores, of which {CORES} were used.
"""


def plot(turns: dict[str, list[Turn]], path: Path) -> None:
    """Seconds and peak memory of each contestant."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "salesmart"
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained", sharey=True)
    names = list(turns)[::-1]
    colours = dict(zip(turns, _COLOURS, strict=True))
    seconds = {name: [turn.seconds for turn in turns[name]] for name in names}
    middle = [statistics.median(seconds[name]) for name in names]
    spread = [
        [m - min(seconds[n]) for n, m in zip(names, middle, strict=True)],
        [max(seconds[n]) - m for n, m in zip(names, middle, strict=True)],
    ]
    left.barh(names, middle, xerr=spread, color=[colours[name] for name in names], ecolor="#444444")
    left.set_xlabel("seconds, median and spread")
    right.barh(names, [max(t.peak for t in turns[name]) / 1e9 for name in names], color=[colours[name] for name in names])
    right.set_xlabel("peak memory, GB")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write `end_to_end.md` and `end_to_end.svg`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description="A day, from the landing zone to published marts.")
    parser.add_argument("--size", default="1GB", help="bytes of the day's sales, such as 1GB")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--only", choices=tuple(CONTESTANTS), help="this contestant alone, whose result is printed; no file is written")
    parser.add_argument(
        "--folder", type=Path, help="where files and tables are for the time being: a disk with room for four times the size"
    )
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of the results")
    chosen = parser.parse_args(arguments)
    names = [chosen.only] if chosen.only else list(CONTESTANTS)
    if hasattr(os, "sched_setaffinity"):
        # What is started has these, too.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory(prefix="salesmart-bench-", dir=chosen.folder) as scratch:
        files = Path(scratch, "files")
        size, rows = make_files(parse_size(chosen.size), files)
        turns: dict[str, list[Turn]] = {name: [] for name in names}
        for number in range(chosen.rounds):
            for name in names:
                out = Path(scratch, "out")
                turn = take_turn(name, files, out)
                turns[name].append(turn)
                written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file() and path.stat().st_nlink == 1)
                shutil.rmtree(out)
                speed = f"{turn.seconds:.1f} s, {size / turn.seconds / 1e6:.0f} MB/s, peak {turn.peak / 1e9:.2f} GB"
                print(f"round {number + 1} of {chosen.rounds}: {name}: {speed}, {written / 1e9:.2f} GB written", file=sys.stderr)
        count = len(list(files.glob("sales/*/*")))
    compare(turns)
    if chosen.only:
        print(turns[chosen.only][-1].said)
        return
    text = report(turns, size, rows, count)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "end_to_end.md").write_text(text, encoding="utf-8")
    plot(turns, chosen.out / "end_to_end.svg")
    print(text)


if __name__ == "__main__":
    main()
