"""Batches in this process: the steps of the graph in their order, without Dagster, over a home in a temporary folder.

What the steps do is the same as in the graph (a test compares the order with it); what is left out is Dagster's own
history, which takes most of a small batch's time, and the reports.
"""

from __future__ import annotations

import argparse
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salesmart_assets.batch import dimensions, landing, locations, marts, publication, staging, warehouse
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Run
from salesmart_assets.contracts import SOURCES
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, REJECTED_ROWS, ROLLUPS, staging_name
from salesmart_assets.ledger.files import REPORT_TABLES
from salesmart_assets.publish.read import read_table
from salesmart_assets.settings import Settings
from salesmart_assets.transforms.session import Engine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Tables = dict[str, list[dict[str, Any]]]
HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"
_PER_RUN = ("file_id", "coupon_code")
"""Columns that differ from one installation to another."""

STEPS: dict[str, Callable[[Platform, Run], object]] = {
    **{f"raw_{s}": lambda p, r, s=s: landing.register(p, s, r) for s in SOURCES},
    **{staging_name(s): lambda p, r, s=s: staging.stage(p, s, r) for s in SOURCES},
    REJECTED_ROWS.name: staging.keep_rejections,
    **{d: lambda p, r, d=d: dimensions.build_dimension(p, d, r) for d in DIMENSIONS},
    "fact_sales": warehouse.build_fact,
    **{n: lambda p, r, n=n: warehouse.build_rollup(p, n, r) for n in ROLLUPS},
    **{m: lambda p, r, m=m: marts.build_mart(p, m, r) for m in MARTS},
    "mart_publication": publication.publish,
}
"""Every step of a batch up to its publication, by asset, in an order that the graph allows."""

_LAST = next(reversed(STEPS))
_engines: list[Engine] = []


def session() -> SparkSession:
    """A session of the one engine that this process starts."""
    if not _engines:
        _engines.append(Engine.start("sail"))
    return _engines[0].session()


@dataclass
class Batches:
    """An installation of its own; `environment` holds settings by their short names."""

    home: Path
    overrides: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def platform(self) -> Iterator[Platform]:
        """The installation, opened."""
        with Platform(Settings.load(home=self.home, **self.overrides), given_session=session) as opened:
            yield opened

    def land(self, platform: Platform, text: str | bytes, source: str, day: str, name: str, to: str | None = None) -> str:
        """Put an object into the landing zone, or into another location by its address; returns its key."""
        place = locations.landing_place(platform, source, to)
        scratch = self.home.parent / f"land-{uuid.uuid4().hex}"
        scratch.write_bytes(text if isinstance(text, bytes) else text.encode())
        key = platform.zone.put(scratch, source, date.fromisoformat(day), name, bucket=place.bucket, prefix=place.prefix)
        scratch.unlink()
        return key


def load(platform: Platform, day: date, *, rebuild: bool = False, until: str = _LAST) -> None:
    """Run the steps of one batch, up to one of them."""
    run = Run(day, uuid.uuid4().hex, rebuild)
    for name, step in STEPS.items():
        step(platform, run)
        if name == until:
            return


def load_pending(platform: Platform) -> list[date]:
    """Load what is pending until nothing is; returns the batch dates in the order in which they were run."""
    done: list[date] = []
    while batches := list(landing.look(platform).batches):
        if len(done) > 50:
            raise AssertionError(f"batches stay pending: {batches}")
        for day in batches:
            load(platform, day)
            done.append(day)
        platform.ledger.clear([stale for name in REPORT_TABLES for stale in platform.ledger.pending(name)])
    publication.archive_finished(platform)
    return done


def tables(platform: Platform, names: Sequence[str] = ()) -> Tables:
    """Every table of the lake and the database (or those named), in a fixed order, without what differs from home to home."""
    found = {t.name: platform.lake.snapshot(t.name).read().to_pylist() for t in platform.tables if not names or t.name in names}
    for name in () if names else (*DIMENSIONS, *MARTS):
        found[f"database/{name}"] = read_table(platform.marts, platform.tables[name]).to_pylist()
    kept = {name: [{k: v for k, v in row.items() if k not in _PER_RUN} for row in rows] for name, rows in found.items()}
    return {name: sorted(rows, key=lambda row: str(list(row.values()))) for name, rows in kept.items()}


def accounted(platform: Platform) -> bool:
    """Whether every row of every file is accounted for in the ledger."""
    return all(f.rows_read == f.rows_accepted + f.rows_rejected + f.rows_duplicate for f in platform.ledger.files())


def main() -> None:
    """A child process for the tests: loads batches one after another."""
    parser = argparse.ArgumentParser(prog="python -m salesmart_assets_tests.batches")
    parser.add_argument("days", nargs="+", type=date.fromisoformat)
    parser.add_argument("--rebuild", action="store_true", help="from the files that were read already")
    parser.add_argument("--until", choices=STEPS, default=_LAST, help="the last step")
    asked = parser.parse_args()
    with Platform(Settings.load()) as platform:
        for day in asked.days:
            load(platform, day, rebuild=asked.rebuild, until=asked.until)


if __name__ == "__main__":
    # Sail writes warnings of its own on the way out.
    os.environ.setdefault("RUST_LOG", "error")
    main()
