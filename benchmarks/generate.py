"""How fast a day of sales is generated, on one core, beside a loop with `csv.writer`.

    python -m benchmarks.generate --size 500MB --rounds 3

Each turn is a process of its own on one core, so that its peak memory is its own; the S3 endpoint has the other core. The loop draws the
same columns with `random`, evenly, without people who come back, seasons or a long tail, and writes them row by row.

Belongs here: the turns and the table of the results.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

from benchmarks.contestants import own_memory
from salesmart_assets.contracts import load_contracts
from salesmart_assets.generate.days import FolderSink, Plan, S3Sink, generate, parse_size

DAY = date(2026, 3, 1)
_RESULTS = Path(__file__).with_name("results") / "generate.md"
_LOOP_SHARE = 10
"""The loop writes a tenth of the bytes: its speed does not depend on how many there are."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Wall seconds, bytes written, and peak memory in bytes."""

    seconds: float
    bytes: int
    peak: int


def _to_folder(size: int, folder: Path) -> tuple[float, int]:
    started = time.perf_counter()
    count = sum(file.bytes for file in generate(Plan(DAY, size=size), FolderSink(folder), load_contracts()))
    return time.perf_counter() - started, count


def _to_s3(size: int, folder: Path) -> tuple[float, int]:
    from salesmart_assets.landing.zone import connect
    from salesmart_assets.local.endpoint import LocalEndpoint
    from salesmart_assets.settings import Settings

    settings = Settings.model_construct(home=folder / "home")
    _use_core(1)
    with LocalEndpoint.start(settings) as endpoint:
        _use_core(0)
        client = connect(settings, endpoint).client
        client.create_bucket(Bucket="made")
        started = time.perf_counter()
        count = sum(file.bytes for file in generate(Plan(DAY, size=size), S3Sink(client, "made"), load_contracts()))
        return time.perf_counter() - started, count


def _loop(size: int, folder: Path) -> tuple[float, int]:
    started = time.perf_counter()
    path = folder / "sales.csv"
    products = [(number, f"product {number}", random.randint(50, 9_999)) for number in range(1, 2_001)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(load_contracts()["sales"].columns)
        receipt = 0
        while file.tell() < size // _LOOP_SHARE:
            for _ in range(1_000):
                receipt += 1
                customer, store, seller = random.randint(1, 1_000_000), random.randint(121, 160), random.randint(1, 400)
                day = DAY - timedelta(days=random.choice((0, 0, 0, 1, 2)))
                mode, till = random.choice(("cash", "card", "UPI")), f"{store}-{random.randint(1, 12):02d}"
                for line in range(1, random.randint(1, 5) + 1):
                    number, name, cents = random.choice(products)
                    quantity = random.randint(1, 10)
                    price, total = f"{cents / 100:.2f}", f"{cents * quantity / 100:.2f}"
                    row = (customer, store, name, day, seller, price, quantity, total, f"R{receipt:012d}", line, number, mode, till)
                    writer.writerow(row)
    return time.perf_counter() - started, path.stat().st_size


WAYS: dict[str, Callable[[int, Path], tuple[float, int]]] = {
    "salesmart, to a folder": _to_folder,
    "salesmart, to S3 by multipart upload": _to_s3,
    "a loop with csv.writer": _loop,
}


def _use_core(number: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {number % (os.cpu_count() or 1)})


def turn(way: str, size: int) -> Turn:
    """One turn, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.generate", "--child", way, "--size", str(size)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-4000:]}")
    return Turn(**json.loads(done.stdout.splitlines()[-1]))


def report(turns: dict[str, list[Turn]]) -> str:
    """The page of results."""
    loop = list(turns)[-1]
    lines = ["| way | MB/s (median, spread) | peak memory | speed by the loop's |", "|---|---|---|---|"]
    speeds = {way: [t.bytes / t.seconds / 1e6 for t in taken] for way, taken in turns.items()}
    for way, found in speeds.items():
        ratio = statistics.median(mine / its for mine, its in zip(found, speeds[loop], strict=True))
        peak = max(t.peak for t in turns[way]) / 1e6
        lines.append(f"| {way} | {statistics.median(found):.0f} ({min(found):.0f} to {max(found):.0f}) | {peak:.0f} MB | {ratio:.0f} |")
    size = max(t.bytes for taken in turns.values() for t in taken)
    return "\n".join(
        [
            "# The generator",
            "",
            f"Made by `make bench-generate`. A day of {size / 1e6:,.0f} MB of CSV on one core; {len(turns[loop])} rounds.",
            "The loop draws the same columns evenly, one by one, without people who come back, seasons or a long tail.",
            "",
            *lines,
            "",
            f"Python {platform.python_version()}, numpy {version('numpy')}, pyarrow {version('pyarrow')}.",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write `generate.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description="How fast a day of sales is generated, on one core.")
    parser.add_argument("--size", default="500MB", help="bytes of the day's sales")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="file of the results")
    parser.add_argument("--child", choices=tuple(WAYS), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    size = parse_size(chosen.size)
    if chosen.child:
        _use_core(0)
        with tempfile.TemporaryDirectory(prefix="salesmart-turn-") as folder:
            seconds, count = WAYS[chosen.child](size, Path(folder))
        print(json.dumps({"seconds": seconds, "bytes": count, "peak": own_memory()}))
        return
    turns: dict[str, list[Turn]] = {way: [] for way in WAYS}
    for number in range(chosen.rounds):
        for way, taken in turns.items():
            taken.append(turn(way, size))
            print(f"round {number + 1} of {chosen.rounds}: {way}: {taken[-1].bytes / taken[-1].seconds / 1e6:.0f} MB/s", file=sys.stderr)
    text = report(turns)
    chosen.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
