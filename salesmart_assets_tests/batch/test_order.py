"""Order of arrival does not matter: what is there in the end decides."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesmart_assets.batch.recount import recount
from salesmart_assets_tests.batches import HEADER, Batches, accounted, load, tables

FIRST = date(2026, 7, 30)
Line: TypeAlias = "tuple[int | None, int, bool]"
"""A line of a receipt: its receipt number or none, its sale date in days from the first, whether it keeps the contract."""


@dataclass(frozen=True)
class Delivery:
    """A file as it is in the end: what it held before that, if it is overwritten, and whether its content comes a second time."""

    batch: int
    lines: tuple[Line, ...]
    before: tuple[Line, ...] | None
    copied: bool


lines = st.lists(st.tuples(st.none() | st.integers(1, 4), st.integers(0, 3), st.integers(0, 5).map(bool)), max_size=5).map(tuple)
deliveries = st.lists(st.builds(Delivery, st.integers(0, 2), lines, st.none() | lines, st.booleans()), min_size=2, max_size=4)


def text(number: int, content: tuple[Line, ...], *, before: bool = False) -> str:
    rows = []
    for place, (receipt, day, good) in enumerate(content):
        # What was sold tells file, version and row apart.
        quantity = number * 1000 + before * 500 + place + 1
        key = f"t{receipt},1" if receipt else ","
        rows.append(f"1,121,bread,{FIRST + timedelta(day)},1,{'1.00' if good else 'free'},{quantity},{quantity}.00,{key}")
    return "\n".join([f"{HEADER},transaction_id,line_number", *rows]) + "\n"


def expected(files: list[Delivery]) -> tuple[list[tuple[date, int]], list[tuple[date, int]]]:
    """Sale dates and quantities in staging and in the fact, by the rules alone."""
    staged, winners, rest = [], {}, []
    for number, file in sorted(enumerate(files), key=lambda item: (item[1].batch, item[0])):
        for place, (receipt, day, good) in enumerate(file.lines):
            if good:
                row = (FIRST + timedelta(day), number * 1000 + place + 1)
                staged.append(row)
                if receipt is None:
                    rest.append(row)
                else:
                    # A receipt's line is one of a store and a day. Later batches, then later files and rows, win.
                    winners[day, receipt] = row
    return sorted(staged), sorted([*rest, *winners.values()])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(deliveries, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_tables(files, chance):
    """Files that are split, shuffled, repeated, delayed and overwritten at random give the same staging and fact."""
    events: list[tuple[int, int, str, str]] = []
    for number, file in enumerate(files):
        if file.before is not None:
            events.append((number, file.batch, f"f{number}.csv", text(number, file.before, before=True)))
        events.append((number, file.batch, f"f{number}.csv", text(number, file.lines)))
        if file.copied:
            events.append((number, file.batch, f"f{number}.csv~", text(number, file.lines)))
    # Any order, but the versions of one file come one after the other, and its copy last.
    order = [number for number, *_ in events]
    chance.shuffle(order)
    queues = {number: [event for event in events if event[0] == number] for number in order}
    with tempfile.TemporaryDirectory() as folder:
        batches = Batches(Path(folder, "home"), {"archive": "never"})
        with batches.platform() as platform:
            waiting: set[date] = set()
            for at, number in enumerate(order):
                _, batch, name, content = queues[number].pop(0)
                day = FIRST + timedelta(batch)
                batches.land(platform, content, "sales", day.isoformat(), name)
                waiting.add(day)
                if chance.random() < 0.5 or at == len(order) - 1:
                    for each in chance.sample(sorted(waiting), len(waiting)):
                        load(platform, each, until="fact_sales")
                    waiting.clear()
            if chance.random() < 0.3:
                load(platform, FIRST + timedelta(files[0].batch), rebuild=True, until="fact_sales")
            # A copy that counts since its original was superseded waits for its batch.
            for each in platform.ledger.pending_dates():
                load(platform, each, until="fact_sales")
            found = tables(platform, ["stg_sales", "fact_sales"])
            staged, sold = expected(files)
            assert sorted((row["sales_date"], row["quantity"]) for row in found["stg_sales"]) == staged
            assert sorted((row["sales_date"], row["quantity"]) for row in found["fact_sales"]) == sold
            assert sum(row["total_cost"] for row in found["fact_sales"]) == sum(Decimal(quantity) for _, quantity in sold)
            assert accounted(platform)
            live = [f for f in platform.ledger.files(live_only=True) if f.outcome == "loaded"]
            assert sum(f.rows_accepted for f in live) == len(sold)
            assert sum(f.rows_duplicate for f in live) == len(staged) - len(sold)
            assert [difference for level in recount(platform) for difference in level.differences] == []
