"""A soak: files with faults land at random, processes are killed at random, and in the end everything must add up to the row.

    python -m salesmart_assets_tests.soak --minutes 30

A fresh installation on MariaDB is served by `salesmart dev`. What must come out of it is known from an account that this program keeps
itself, in plain Python, of what it landed: it reads the files' texts, and nothing of the platform. Ends with 1 if anything differs.
Belongs here: what is done, the account, and the comparison. Does not belong here: how processes are found and killed (`chaos`).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeAlias

from salesmart_assets.contracts import load_contracts
from salesmart_assets.generate import FolderSink, Plan, generate
from salesmart_assets.landing.zone import LandingZone
from salesmart_assets_tests.chaos import Served, kill_after
from salesmart_assets_tests.conftest import MariaDbServer
from salesmart_assets_tests.end_to_end.conftest import Installation

FIRST_DAY = date(2026, 7, 29)
DAYS = 6
ROWS = 400
FAULTS = 0.06
_MANDATORY = ("customer_id", "store_id", "product_name", "sales_date", "sales_person_id", "price", "quantity", "total_cost")
_KEY = ("store_id", "sales_date", "transaction_id", "line_number")
_QUIET_SECONDS = 600
_KILL_SECONDS = (2.0, 12.0)
_LAND_SECONDS = (0.5, 4.0)

Line: TypeAlias = dict[str, str]
"""A good row, by column, as texts in one spelling: `sold` makes it."""


def judged(content: bytes) -> tuple[int, list[Line]]:
    """The rows of a sales file, and those that keep the contract: the rules once more, in plain Python."""
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or not set(_MANDATORY) <= set(rows[0]):
        return 0, []
    header, body = rows[0], [row for row in rows[1:] if row]
    lines = [line for row in body if len(row) == len(header) and (line := sold(dict(zip(header, row, strict=True)))) is not None]
    return len(body), lines


def sold(row: Line) -> Line | None:
    """A row in one spelling, or None if it breaks the contract."""
    try:
        numbers = {n: str(int(row[n])) for n in ("customer_id", "store_id", "sales_person_id", "quantity")}
        money = {n: Decimal(row[n]) for n in ("price", "total_cost")}
        numbers["line_number"] = str(int(row["line_number"])) if row["line_number"] else ""
        day = date.fromisoformat(row["sales_date"]).isoformat()
    except (ValueError, InvalidOperation):
        return None
    good = row["product_name"] and money["price"] >= 0 and int(numbers["quantity"]) >= 1
    if not good or abs(money["total_cost"] - money["price"] * int(numbers["quantity"])) > Decimal("0.01"):
        return None
    amounts = {name: f"{value:.2f}" for name, value in money.items()}
    return {"product_name": row["product_name"], "sales_date": day, "transaction_id": row["transaction_id"], **numbers, **amounts}


@dataclass
class Account:
    """What was landed: the last content of each key, and each customer that was ever described."""

    files: dict[tuple[date, str], bytes] = field(default_factory=dict)
    customers: set[str] = field(default_factory=set)

    def live(self) -> Iterator[tuple[date, str, bytes]]:
        """Each content that counts, once, in the order in which later ones win: by batch date, then by key."""
        seen: set[bytes] = set()
        for (day, name), content in sorted(self.files.items()):
            if content not in seen:
                seen.add(content)
                yield day, name, content

    def staged(self) -> Counter[tuple[str, ...]]:
        """Every good row of every file."""
        return Counter(tuple(line[n] for n in _COLUMNS) for _, _, content in self.live() for line in judged(content)[1])

    def sold(self) -> list[Line]:
        """Each sold line once: of those with the same business key the last one."""
        winners: dict[tuple[str, ...], Line] = {}
        rest = []
        for _, _, content in self.live():
            for line in judged(content)[1]:
                key = tuple(line[n] for n in _KEY)
                if all(key):
                    winners[key] = line
                else:
                    rest.append(line)
        return [*winners.values(), *rest]


_COLUMNS = (*_MANDATORY, "transaction_id", "line_number")


@dataclass
class Soak:
    """An installation that is filled and disturbed, and what was done to it."""

    salesmart: Installation
    zone: LandingZone
    database: MariaDbServer
    chance: random.Random
    account: Account = field(default_factory=Account)
    landed: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    lines: dict[date, list[str]] = field(default_factory=dict)
    header: str = ""
    known: dict[tuple[date, str], Path] = field(default_factory=dict)

    def prepare(self, folder: Path) -> None:
        """Generate the days whose lines the files are made of, and the files of the other sources."""
        plan = Plan(FIRST_DAY, DAYS, rows=ROWS, faults=FAULTS, seed=self.chance.randrange(1 << 30))
        for file in generate(plan, FolderSink(folder), load_contracts()):
            path = folder / file.source / f"dt={file.batch_date}" / file.name
            if file.source == "sales":
                self.header, *lines = path.read_text("utf-8").splitlines()
                self.lines[file.batch_date] = lines
            else:
                self.known[file.batch_date, file.source] = path

    def land(self) -> None:
        """Land one thing, drawn at random."""
        things: list[tuple[int, Callable[[], str | None]]] = [
            (6, self._new),
            (3, self._overwritten),
            (2, self._copied),
            (2, self._corrected),
            (1, self._useless),
            (3, self._described),
        ]
        what = self.chance.choices([thing for _, thing in things], [weight for weight, _ in things])[0]()
        if what is not None:
            self.landed[what] += 1

    def _new(self) -> str:
        day = self.chance.choice(list(self.lines))
        self._put(day, f"till_{len(self.account.files)}.csv{self.chance.choice(('', '.gz'))}", self._some_of(day))
        return "files of sales"

    def _overwritten(self) -> str | None:
        if not self.account.files:
            return None
        day, name = self.chance.choice([key for key in self.account.files if key[1].startswith("till_")] or list(self.account.files))
        self._put(day, name, self._some_of(day))
        return "of these overwritten later"

    def _copied(self) -> str | None:
        tills = [(key, content) for key, content in self.account.files.items() if key[1].startswith("till_")]
        if not tills:
            return None
        (day, _), content = self.chance.choice(tills)
        suffix = ".gz" if content[:2] == b"\x1f\x8b" else ""
        self._put(day, f"till_{len(self.account.files)}_again.csv{suffix}", content)
        return "copies under another name"

    def _corrected(self) -> str | None:
        """Lines of an earlier day once more, with another quantity, on a later one: they take the place of the first."""
        day = self.chance.choice(list(self.lines)[:-1])
        later = self.chance.choice([d for d in self.lines if d > day])
        names = self.header.split(",")
        rows = []
        for line in self.chance.sample(self.lines[day], 20):
            good = sold(dict(zip(names, next(csv.reader([line])), strict=False))) if line.count(",") == self.header.count(",") else None
            if good is not None:
                quantity = int(good["quantity"]) + self.chance.randint(1, 9)
                changed = {**good, "quantity": str(quantity), "total_cost": f"{Decimal(good['price']) * quantity:.2f}"}
                rows.append(",".join(f'"{changed[n]}"' for n in _COLUMNS))
        # After a till's file in the order of keys, and never copied: which of two wins is decided by the batch date.
        name = f"z_correction_{len(self.account.files)}.csv"
        self._put(later, name, "\n".join([",".join(_COLUMNS), *rows, ""]).encode())
        return "corrections of earlier days"

    def _useless(self) -> str:
        day = self.chance.choice(list(self.lines))
        content = self.chance.choice((b"", self.chance.randbytes(300), b"price,quantity\n1,2\n", self._some_of(day)[:7]))
        self._land("sales", day, f"useless_{sum(self.landed.values())}.csv", content)
        return "useless files"

    def _described(self) -> str | None:
        if not self.known:
            return None
        (day, source), path = self.known.popitem() if self.chance.random() < 0.5 else (next(iter(self.known.items())))
        self.known.pop((day, source), None)
        if source == "customers":
            with path.open(encoding="utf-8", newline="") as file:
                self.account.customers |= {row["customer_id"] for row in csv.DictReader(file)}
        self._land(source, day, path.name, path.read_bytes())
        return "files of customers, stores, products and sellers"

    def _some_of(self, day: date) -> bytes:
        # A range, so that what two files share are whole receipts as well as torn ones.
        lines = self.lines[day]
        begin = self.chance.randrange(len(lines))
        return "\n".join([self.header, *lines[begin : begin + self.chance.randint(1, len(lines) // 2)], ""]).encode()

    def _put(self, day: date, name: str, content: bytes) -> None:
        if name.endswith(".gz") and content[:2] != b"\x1f\x8b":
            content = gzip.compress(content, mtime=0)
        self._land("sales", day, name, content)
        self.account.files[day, name] = content

    def _land(self, source: str, day: date, name: str, content: bytes) -> None:
        path = self.salesmart.home.parent / "to_land"
        path.write_bytes(content)
        self.zone.put(path, source, day, name)

    def disturb(self, served: Served) -> None:
        """Kill one thing, drawn at random."""
        victim = self.chance.choice(("run", "run", "run", "salesmart run", "daemon", "web server", "code server", "S3", "database", "dev"))
        if victim == "salesmart run":
            done = kill_after(self.salesmart, self.chance.uniform(1, 12), "run")
        elif victim == "database":
            self.database.kill()
            time.sleep(self.chance.uniform(0, 3))
            self.database.start()
            done = True
        elif victim == "dev":
            served.kill_all()
            served.start()
            done = True
        else:
            done = served.kill(victim)
        self.killed[victim] += done

    def run(self, seconds: float) -> None:
        """Land and disturb for so many seconds; then leave it alone until nothing is pending."""
        with Served(self.salesmart) as served:
            end = time.monotonic() + seconds
            next_kill = time.monotonic() + self.chance.uniform(*_KILL_SECONDS)
            while time.monotonic() < end:
                self.land()
                time.sleep(self.chance.uniform(*_LAND_SECONDS))
                if time.monotonic() > next_kill:
                    self.disturb(served)
                    next_kill = time.monotonic() + self.chance.uniform(*_KILL_SECONDS)
            # By itself: nobody runs a command here.
            deadline = time.monotonic() + _QUIET_SECONDS
            while self.unfinished():
                if time.monotonic() > deadline:
                    raise SystemExit(f"After {_QUIET_SECONDS} s these are not done: {self.unfinished()}\n{served.log()[-5000:]}")
                time.sleep(2)
        self.salesmart("run")

    def unfinished(self) -> list[str]:
        """What is still to be done: objects in the landing zone, and files that the ledger does not call done."""
        waiting = [row["key"] for row in self.salesmart.json("landing", "ls", "landing/", "--json")]
        return waiting + [row["key"] for row in self.salesmart.json("status", "--json") if row["status"] != "I"]


def differences(soak: Soak) -> list[str]:
    """Where the platform and the account do not agree, in sentences."""
    found: list[str] = []

    def compare(what: str, have: Counter[tuple[str, ...]], want: Counter[tuple[str, ...]]) -> None:
        if have != want:
            missing, surplus = want - have, have - want
            found.append(
                f"{what}: {missing.total()} missing, such as {list(missing)[:2]}; {surplus.total()} too many, such as {list(surplus)[:2]}"
            )

    account, salesmart = soak.account, soak.salesmart
    compare("staging", _rows(salesmart, "stg_sales", _COLUMNS), account.staged())
    lines = account.sold()
    compare("fact", _rows(salesmart, "fact_sales", _COLUMNS), Counter(tuple(line[n] for n in _COLUMNS) for line in lines))
    unknown = {line["customer_id"] for line in lines} - account.customers
    have = {row[0] for row in _rows(salesmart, "fact_sales where customer_key = -1", ("customer_id",))}
    if have != unknown:
        found.append(f"unknown customers: {len(have)}, must be {len(unknown)}")

    sellers: dict[tuple[str, ...], Decimal] = {}
    buyers: dict[tuple[str, ...], Decimal] = {}
    for line in lines:
        month = f"{line['sales_date'][:7]}-01"
        for sums, key in ((sellers, (month, line["store_id"], line["sales_person_id"])), (buyers, (month, line["customer_id"]))):
            sums[key] = sums.get(key, Decimal(0)) + Decimal(line["total_cost"])
    for mart, columns, sums in (
        ("sales_team_mart", ("sales_month", "store_id", "sales_person_id"), sellers),
        ("customer_mart", ("sales_month", "customer_id"), buyers),
    ):
        rows = soak.database.database.execute(f"SELECT {', '.join(columns)}, total_sales FROM retail.{mart}")
        compare(
            f"{mart} in the database",
            Counter(tuple(str(value) for value in row) for row in rows),
            Counter((*key, f"{total:.2f}") for key, total in sums.items()),
        )

    files = salesmart.json("status", "--json")
    found += [
        f"{row['key']}: read is not accepted + rejected + duplicate"
        for row in files
        if row["rows_read"] != row["rows_accepted"] + row["rows_rejected"] + row["rows_duplicate"]
    ]
    # The newest comes first, and is the one that counts.
    by_key = {(row["batch_date"], row["key"].rsplit("/", 1)[-1]): row for row in reversed(files)}
    for (day, name), content in account.files.items():
        row = by_key[day.isoformat(), name]
        read, good = judged(content)
        if row["outcome"] == "loaded" and (row["rows_read"], row["rows_rejected"]) != (read, read - len(good)):
            found.append(f"{name} of {day}: ledger {row['rows_read']} read, {row['rows_rejected']} rejected; {read}, {read - len(good)}")
        if row["outcome"] not in ("loaded", "duplicate", "empty"):
            found.append(f"{name} of {day} ended as {row['outcome']}: {row['reason']}")
    return found


def _rows(salesmart: Installation, table: str, columns: Sequence[str]) -> Counter[tuple[str, ...]]:
    text = salesmart("query", f"select {', '.join(columns)} from {table}", "--format", "csv").stdout
    return Counter(tuple(row) for row in list(csv.reader(io.StringIO(text)))[1:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak and print what was done to it; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="salesmart-soak-") as folder:
        return soak(Path(folder), asked.minutes * 60, asked.seed)


def soak(folder: Path, seconds: float, seed: int) -> int:
    """Run a soak of so many seconds in a folder, and print its summary; 1 if anything differs."""
    started = time.monotonic()
    with MariaDbServer(durable=True) as database:
        settings = {
            "SALESMART_DATABASE_URL": database.database.url("retail"),
            # What lands is taken at once, and what was killed is tried at once, and for as long as it takes: here it is never the
            # file that is at fault.
            "SALESMART_SENSOR_INTERVAL_SECONDS": "1",
            "SALESMART_RETRY_SECONDS": "1",
            "SALESMART_MAX_ATTEMPTS": "1000",
        }
        salesmart = Installation(folder / "home", settings)
        # Landed through an endpoint of its own, which nobody kills: what is landed is known for certain.
        with salesmart.platform() as platform:
            running = Soak(salesmart, platform.zone, database, random.Random(seed))
            running.prepare(folder / "generated")
            running.run(seconds)
        wrong = differences(running)
        live = list(running.account.live())
        read = sum(judged(content)[0] for _, _, content in live)
        lines = running.account.sold()
        print(f"Soak of {time.monotonic() - started:.0f} s, seed {seed}")
        print("landed:", ", ".join(f"{count} {what}" for what, count in running.landed.most_common()))
        print("killed:", ", ".join(f"{count} × {what}" for what, count in running.killed.most_common()))
        total = sum(Decimal(line["total_cost"]) for line in lines)
        print(
            f"files that count: {len(live)}, with {read:,} rows: {running.account.staged().total():,} good, {len(lines):,} sold, {total:,}"
        )
        for sentence in wrong:
            print(f"WRONG: {sentence}")
        print("Something differs." if wrong else "Everything adds up, to the row: files, staging, fact, marts in the database, ledger.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
