"""How fast files become committed staging, and in how much memory, beside DuckDB and pyarrow on the same files.

    python -m benchmarks.ingest --size 200MB --rounds 3

The sales files come from the product's own generator. Each contestant runs in a process of its own, on two cores, so that
its peak memory is its own; all cases and contestants take turns within a round, so that a busy moment hits them all, and each
round has another order, so that nobody always follows the same one. A contestant that writes says how many rows it wrote and
the sum of `total_cost`; where all must agree, they are compared.

Belongs here: the files, the turns, and the table and plot of the results. What each contestant does is in `contestants`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from salesmart_assets.contracts import load_contracts
from salesmart_assets.generate.days import FolderSink, Plan, generate, parse_size

DAY = date(2026, 3, 1)
CORES = 2
_FILES = 4
_FAULTS = 0.01
_OURS = "salesmart"
_YARDSTICK = "DuckDB COPY"
_COLOURS = {"salesmart": "#2f6f9f", "salesmart, from S3": "#8fb8d4", "DuckDB COPY": "#d99a2b", "pyarrow read": "#8a8a8a"}


@dataclass(frozen=True, slots=True)
class Case:
    """Files that all contestants get: `size` bytes of plain CSV, or the rows of so much, in one of the other formats."""

    name: str
    files: int
    contestants: tuple[str, ...]
    format: str = "csv"
    gzip: bool = False
    faults: float = 0.0


_ALL = (_OURS, "salesmart, from S3", _YARDSTICK, "pyarrow read")
CASES = (
    Case("clean CSV", _FILES, _ALL),
    Case("CSV, 1 % bad rows", _FILES, (_OURS, _YARDSTICK), faults=_FAULTS),
    Case("one large CSV", 1, (_OURS, _YARDSTICK, "pyarrow read")),
    Case("CSV, gzip", _FILES, (_OURS, _YARDSTICK, "pyarrow read"), gzip=True),
    Case("JSON lines", _FILES, (_OURS, _YARDSTICK, "pyarrow read"), format="json"),
    Case("Parquet", _FILES, (_OURS, _YARDSTICK, "pyarrow read"), format="parquet"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One turn of one contestant: wall and CPU seconds, peak memory in bytes, rows, sum of `total_cost`, rejected rows."""

    seconds: float
    cpu: float
    peak: int
    rows: int
    total: str
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """A contestant's turns at a case."""

    case: Case
    contestant: str
    bytes: int
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak(self) -> int:
        return max(run.peak for run in self.runs)


def make_files(case: Case, size: int, folder: Path) -> tuple[list[Path], int]:
    """Write the files of a case and say how many rows they have together."""
    contracts = load_contracts()
    # The number of rows of the plain CSV file decides, so that the formats can be compared.
    whole = Plan(DAY, size=size // case.files)
    rows = next(f.rows for f in generate(whole, _Nowhere(), contracts) if f.source == "sales") if case.files else 0
    paths, count = [], 0
    for number in range(case.files):
        plan = Plan(DAY + timedelta(days=number), rows=rows, format=case.format, gzip=case.gzip, faults=case.faults, seed=number + 1)  # type: ignore[arg-type]
        for made in generate(plan, FolderSink(folder / "made"), contracts):
            if made.source == "sales":
                paths.append(folder / f"{'bad' if case.faults else 'part'}_{number + 1}_{made.name}")
                (folder / "made" / "sales" / f"dt={plan.first_day.isoformat()}" / made.name).rename(paths[-1])
                count += made.rows
        shutil.rmtree(folder / "made")
    return paths, count


class _Nowhere:
    """A sink that keeps nothing: to ask the generator how many rows a size has."""

    def open(self, source: str, batch_date: date, name: str) -> Any:
        return open(os.devnull, "wb")  # noqa: PTH123


def turn(contestant: str, files: Sequence[Path]) -> Run:
    """One contestant's turn, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.contestants", contestant, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{contestant} failed:\n{done.stderr[-4000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def measure(size: int, rounds: int, cases: Sequence[Case] = CASES) -> Iterator[Measured]:
    """Measure all cases; says on stderr what is going on."""
    with tempfile.TemporaryDirectory(prefix="salesmart-bench-") as folder:
        files: dict[str, list[Path]] = {}
        rows: dict[str, int] = {}
        for case in cases:
            _say(f"{case.name}: making {case.files} files")
            place = Path(folder, str(len(files)))
            place.mkdir()
            files[case.name], rows[case.name] = make_files(case, size, place)
        runs: dict[tuple[str, str], list[Run]] = {(case.name, name): [] for case in cases for name in case.contestants}
        order = random.Random(1)
        turns = [(case, name) for case in cases for name in case.contestants]
        for number in range(rounds):
            # In another order each time: whoever follows one that kept both cores busy, and took much memory, is slower.
            for case, name in order.sample(turns, len(turns)):
                found = turn(name, files[case.name])
                runs[case.name, name].append(found)
                _say(f"round {number + 1} of {rounds}: {case.name}: {name} {found.seconds:.2f} s")
        for case in cases:
            check(case, rows[case.name], {name: runs[case.name, name][-1] for name in case.contestants})
            total = sum(path.stat().st_size for path in files[case.name])
            yield from (Measured(case, name, total, tuple(runs[case.name, name])) for name in case.contestants)


def check(case: Case, rows: int, last: dict[str, Run]) -> None:
    """Raise AssertionError where the contestants do not agree on the rows and the sum of `total_cost`, or rows are missing."""
    for name, run in last.items():
        if name.startswith(_OURS) and run.rows + run.rejected != rows:
            raise AssertionError(f"{case.name}: {name} accounts for {run.rows + run.rejected} of {rows} rows")
    if not case.faults:
        answers = {name: (run.rows, Decimal(run.total)) for name, run in last.items()}
        if len(set(answers.values())) > 1 or next(iter(answers.values()))[0] != rows:
            raise AssertionError(f"{case.name}: the contestants do not agree: {answers}, generated were {rows} rows")


def table(measured: Sequence[Measured]) -> str:
    """The results as a Markdown table."""
    yardsticks = {m.case.name: m for m in measured if m.contestant == _YARDSTICK}
    lines = [
        "| files | contestant | seconds (median, spread) | MB/s | CPU seconds | peak memory | time by DuckDB's |",
        "|---|---|---|---|---|---|---|",
    ]
    for m in measured:
        spread = f"{min(r.seconds for r in m.runs):.2f} to {max(r.seconds for r in m.runs):.2f}"
        ratio = m.seconds / yardsticks[m.case.name].seconds
        lines.append(
            f"| {m.case.name}, {m.bytes / 1e6:.0f} MB | {m.contestant} | {m.seconds:.2f} ({spread}) | {m.bytes / m.seconds / 1e6:.0f} "
            f"| {m.cpu:.2f} | {m.peak / 1e6:.0f} MB | {ratio:.2f} |"
        )
    return "\n".join(lines)


def report(measured: Sequence[Measured], rounds: int) -> str:
    """The page of results."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "polars", "numpy", "deltalake"))
    ours = {m.case.name: m for m in measured if m.contestant == _OURS}
    extra = ""
    if {"clean CSV", "CSV, 1 % bad rows"} <= set(ours):
        clean, bad = ours["clean CSV"], ours["CSV, 1 % bad rows"]
        share = (bad.seconds / bad.bytes) / (clean.seconds / clean.bytes) - 1
        cpu = (bad.cpu / bad.bytes) / (clean.cpu / clean.bytes) - 1
        extra = f"\n1 % bad rows cost {share:+.0%} of the time of clean files, {cpu:+.0%} of the CPU time.\n"
    return f"""# Ingestion

Made by `make bench-ingest`. The same generated sales files for all, {rounds} rounds, {CORES} cores, a process for each turn.

{table(measured)}
{extra}
![MB/s by kind of file](ingest.svg)

- **salesmart**: local files are parsed and validated by their contract, written as partitioned Parquet with the origin of each
  row, rejected rows are written with their reasons, and all is committed to the Delta table.
- **salesmart, from S3**: the same through the landing zone: the built-in S3 endpoint is listed, the files are registered in
  the ledger, fetched, hashed, read, committed, and the ledger says so.
- **DuckDB COPY**: a typed read into Parquet files, unpartitioned, without validation; on bad rows with `ignore_errors`.
- **pyarrow read**: a typed read into memory; nothing is written. JSON: money as floats, cast to decimals.

CPU seconds say more than seconds where the machine was busy with other work. Peak memory is that of the process and its children.

Python {platform.python_version()}, {libraries}; {os.cpu_count()} cores, of which {CORES} were used.
"""


def plot(measured: Sequence[Measured], path: Path) -> None:
    """MB/s of each contestant, by case."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "salesmart"
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys(m.case.name for m in measured))
    names = list(dict.fromkeys(m.contestant for m in measured))
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        mine = [m for m in measured if m.contestant == name]
        at = [cases.index(m.case.name) + (place - (len(names) - 1) / 2) * width for m in mine]
        axes.bar(at, [m.bytes / m.seconds / 1e6 for m in mine], width * 0.92, label=name, color=_COLOURS.get(name))
    axes.set_xticks(range(len(cases)), cases)
    axes.set_ylabel("MB/s of the files as they lie there")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write `ingest.md` and `ingest.svg`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description="How fast files become committed staging.")
    parser.add_argument("--size", default="200MB", help="bytes of plain CSV in a case, such as 200MB; the other formats get its rows")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant")
    parser.add_argument("--only", help="only cases whose name contains this text; their results are printed, no file is written")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    chosen = parser.parse_args(arguments)
    cases = [case for case in CASES if chosen.only is None or chosen.only in case.name]
    measured = list(measure(parse_size(chosen.size), chosen.rounds, cases))
    text = report(measured, chosen.rounds)
    if chosen.only is None:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "ingest.md").write_text(text, encoding="utf-8")
        plot(measured, chosen.out / "ingest.svg")
    print(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
