"""Everything counted again, from the files to the database, by other means than those by which it was made.

Each level is held against the one before it: a file against the ledger, the ledger against staging, staging against the
fact, the fact against the rollups and the marts, the lake against the database. What waits to be computed anew is left out.

Belongs here: what is compared, and what mends a difference. Does not belong here: a batch's own audits, which look at what it
writes before it is committed (`batch.audits`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path

import polars as pl

from salesmart_assets.batch import marts
from salesmart_assets.batch.audits import NOTHING, Totals, added_up
from salesmart_assets.batch.fetching import fetch
from salesmart_assets.batch.locations import Locations, locations_of
from salesmart_assets.batch.parsing import reader_of
from salesmart_assets.batch.platform import SCRATCH, Platform
from salesmart_assets.batch.warehouse import month_of
from salesmart_assets.contracts import SOURCES
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, REJECTED_ROWS, ROLLUPS, SOURCE_OF, staging_name
from salesmart_assets.ingest.kernel import FileSummary
from salesmart_assets.lake import Snapshot
from salesmart_assets.ledger import File
from salesmart_assets.publish.publisher import SliceLoad
from salesmart_assets.publish.rows import WHOLE

_MONEY = pl.Decimal(28, 2)
MEND = "salesmart reconcile --mend; salesmart run"
"""What mends a table that does not follow from the one before it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A slice that is not what the level before it says, how, and which command mends it. `stale`: what that command marks."""

    level: str
    slice: str
    says: str
    mend: str
    stale: tuple[str, str] | None = None


@dataclass(slots=True)
class Level:
    """A level that was compared: how many slices, what they add up to, and what differs; some may have been left out."""

    name: str
    compared: int = 0
    left_out: int = 0
    totals: Totals = NOTHING
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class _State:
    """Everything as it stood at one moment, while nobody wrote downstream of staging."""

    platform: Platform
    dates: frozenset[date]
    files: Sequence[File]
    locations: Locations
    snapshots: Mapping[str, Snapshot]
    stale: Mapping[str, frozenset[str]]
    duplicates: Mapping[date, Mapping[int, int]]

    @classmethod
    def of(cls, platform: Platform, dates: Collection[date]) -> _State:
        # First the ledger: what it knows as staged is in every later snapshot.
        files = platform.ledger.files()
        snapshots = {table.name: platform.lake.snapshot(table.name) for table in platform.tables}
        stale: dict[str, set[str]] = {}
        for item in platform.ledger.pending():
            stale.setdefault(item.table, set()).add(item.slice)
        duplicates: dict[date, dict[int, int]] = {}
        days = [date.fromisoformat(day) for day in snapshots["stg_sales"].partitions("sales_date")]
        for (file_id, day), count in platform.ledger.duplicates(days).items():
            duplicates.setdefault(day, {})[file_id] = count
        known = {table: frozenset(slices) for table, slices in stale.items()}
        return cls(platform, frozenset(dates), files, locations_of(platform), snapshots, known, duplicates)

    def wants(self, day: date | None) -> bool:
        """Whether a batch date is among those that were asked for."""
        return not self.dates or day in self.dates

    @cached_property
    def settled(self) -> list[File]:
        """The files whose rows are in staging, and stay there until a later run says otherwise."""
        return [f for f in self.files if f.outcome == "loaded" and f.stage != "registered" and self.wants(f.batch_date)]

    @cached_property
    def unsettled(self) -> set[str]:
        """The marks of files that a run has begun to read or read again: what is staged of them is not known yet."""
        return {f.mark for f in self.files if f.stage == "registered"}

    def days(self, *tables: str) -> list[str]:
        """The sale dates of tables, as far as they were asked for."""
        found = {day for name in tables for day in self.snapshots[name].partitions("sales_date")}
        if self.dates:
            asked = {day.isoformat() for day in self.dates}
            staged = self.snapshots["stg_sales"].where(lambda f: f.value("batch_date") in asked)
            found &= staged.partitions("sales_date")
        return sorted(found)

    def stale_days(self, *tables: str) -> set[str]:
        return {day for name in ("fact_sales", *tables) for day in self.stale.get(name, ())}

    def stale_months(self, mart: str) -> set[str]:
        rollup = marts.ROLLUP_OF[mart]
        return {month_of(day) for day in self.stale_days(rollup)} | set(self.stale.get(mart, ()))


def recount(platform: Platform, dates: Collection[date] = (), *, read_files: bool = True) -> Iterator[Level]:
    """Compare level by level, for some batch dates or all. `read_files`: also read each file once more, where its object is there."""
    with platform.ledger.writer.hold(waiting=platform.say):
        state = _State.of(platform, dates)
        published = _database(state)
    if read_files:
        yield _files(state)
    for level in (_ledger, _staging, _fact, _rollups, _marts, _dimensions):
        platform.say(f"Counting {level.__name__.strip('_')}")
        yield level(state)
    yield published


def mark_stale(platform: Platform, levels: Iterable[Level]) -> int:
    """Mark what differs as stale, so that the next run computes it anew; returns how many slices."""
    touched: dict[str, set[str]] = {}
    for level in levels:
        for difference in level.differences:
            if difference.stale is not None:
                touched.setdefault(difference.stale[0], set()).add(difference.stale[1])
    platform.ledger.touch(touched, None)
    return sum(len(slices) for slices in touched.values())


def _rebuild(day: date | None) -> str:
    return f"salesmart run --date {day}"


def _files(state: _State) -> Level:
    """Each loaded file, read once more: its rows, units and money are those that the ledger noted."""
    level = Level("files", left_out=sum(f.replay_of is not None for f in state.settled))
    mine = [f for f in state.settled if f.superseded_by is None and f.replay_of is None]
    with (
        tempfile.TemporaryDirectory(prefix=SCRATCH) as folder,
        ThreadPoolExecutor(state.platform.settings.workers, thread_name_prefix="recount") as pool,
    ):
        for file, (found, says) in zip(mine, pool.map(lambda f: _read_again(state, f, Path(folder)), mine), strict=True):
            if found is None and not says:
                level.left_out += 1  # its object is no longer there: what the ledger noted has to do
                continue
            level.compared += 1
            level.totals += found or NOTHING
            if says:
                level.differences.append(Difference(level.name, file.address, says, _rebuild(file.batch_date)))
    return level


def _read_again(state: _State, file: File, folder: Path) -> tuple[Totals | None, str]:
    """The totals of a file's clean rows, None where it can't be had; and what is not as the ledger noted it."""
    item = fetch(state.platform.zone, file, folder)
    try:
        if item.fault is not None:
            return None, f"it can't be read: {item.fault}"
        if item.content_hash is None:
            return None, ""
        reader = reader_of(state.platform.contracts[file.source], file, item.path, state.locations.hint(file))
        found = NOTHING
        for batch in reader:
            found += Totals.of(batch.rows, batch.chosen) if file.source == "sales" else Totals(batch.accepted_rows)
    finally:
        item.path.unlink(missing_ok=True)
    return found, _read_wrong(file, item.content_hash, reader.summary, found)


def _read_wrong(file: File, content_hash: str, summary: FileSummary, found: Totals) -> str:
    if content_hash != file.content_hash:
        return "its content is another one than was loaded"
    if summary.outcome != "loaded":
        return f"it was loaded, and now is {summary.outcome}: {summary.reason or 'there is nothing in it'}"
    read = (summary.rows_read, found.rows, summary.rows_rejected)
    if read != (file.rows_read, file.rows_staged, file.rows_rejected):
        noted = f"{file.rows_read}, {file.rows_staged} and {file.rows_rejected}"
        return f"{read[0]} rows, {read[1]} clean, {read[2]} rejected; the ledger noted {noted}"
    noted_sums = Totals.from_json(file.rows_staged, file.control_sums) if file.control_sums else found
    return f"it adds up to {found}; the ledger noted {noted_sums}" if found != noted_sums else ""


def _ledger(state: _State) -> Level:
    """Of each file, rows read = accepted + rejected + duplicate."""
    level = Level("ledger")
    for file in state.files:
        if not state.wants(file.batch_date):
            continue
        level.compared += 1
        level.totals += Totals(file.rows_read)
        if file.rows_read != file.rows_accepted + file.rows_rejected + file.rows_duplicate:
            parts = f"{file.rows_accepted} accepted + {file.rows_rejected} rejected + {file.rows_duplicate} duplicate"
            level.differences.append(Difference("ledger", file.address, f"{file.rows_read} rows read, {parts}", _rebuild(file.batch_date)))
    return level


def _staging(state: _State) -> Level:
    """Of each file, what is staged and rejected is what the ledger noted; nothing else is there."""
    level = Level("staging", left_out=len(state.unsettled))
    rejected = _rows_by_file(state, state.snapshots[REJECTED_ROWS.name])
    for source in SOURCES:
        files = {f.file_id: f for f in state.settled if f.source == source}
        staged = state.snapshots[staging_name(source)]
        found = _rows_by_file(state, staged, sales=source == "sales")
        for file_id in sorted(files.keys() | found.keys()):
            level.compared += 1
            have, file = found.get(file_id, NOTHING), files.get(file_id)
            level.totals += have
            if file is None:
                says = f"{have} are staged of file {file_id}, which the ledger does not know as loaded"
                level.differences.append(Difference("staging", staged.table.name, says, "salesmart status"))
            elif (says := _staged_wrong(file, have, rejected.get(file_id, NOTHING).rows)) and not _changed_since(state, file):
                level.differences.append(Difference("staging", file.address, says, _rebuild(file.batch_date)))
    return level


def _rows_by_file(state: _State, snapshot: Snapshot, *, sales: bool = False) -> dict[int, Totals]:
    """What the rows of each file add up to, by its number, of those that are settled and were asked for."""
    part = snapshot.where(lambda f: f.origin not in state.unsettled)
    if state.dates:
        part = part.only("batch_date", {day.isoformat() for day in state.dates})
    found: dict[int, Totals] = {}
    if sales:
        for (file_id, _), lines in added_up(part.scan()).items():
            found[file_id] = found.get(file_id, NOTHING) + lines
        return found
    counts = part.scan().group_by("file_id").agg(pl.len().alias("rows")).collect(engine="streaming")
    return {file_id: Totals(rows) for file_id, rows in counts.iter_rows()}


def _staged_wrong(file: File, have: Totals, rejected: int) -> str:
    """What is wrong with what is staged of a file, and with the number of its rejections that are kept."""
    read = Totals(file.rows_staged, have.quantity, have.money)
    if file.control_sums:  # which a file that an older salesmart loaded does not have
        read = Totals.from_json(file.rows_staged, file.control_sums)
    if have != read:
        return f"{read} were read, {have} are staged"
    kept = rejected if file.stage in ("kept", "published") else file.rows_rejected
    return f"{file.rows_rejected} rows were rejected, {kept} are kept" if kept != file.rows_rejected else ""


def _changed_since(state: _State, file: File) -> bool:
    """Whether a run has changed a file since the ledger was read: then what is staged of it is another matter."""
    return state.platform.ledger.file(file.file_id) != file


def _fact(state: _State) -> Level:
    """On each sale date: what is staged is in the fact, or stands behind another row with the same business key."""
    level = Level("fact")
    stale = state.stale_days()
    days = state.days("stg_sales", "fact_sales")
    level.left_out = len(stale & set(days))
    key = list(state.platform.contracts["sales"].business_key)
    for day in days:
        if day in stale:
            continue
        staged, facts = (state.snapshots[name].only("sales_date", [day]) for name in ("stg_sales", "fact_sales"))
        level.compared += 1
        have = sum(added_up(facts.scan()).values(), NOTHING)
        level.totals += have
        if says := _fact_wrong(state, date.fromisoformat(day), staged, facts, key):
            level.differences.append(Difference("fact", day, says, MEND, ("fact_sales", day)))
    return level


def _fact_wrong(state: _State, day: date, staged: Snapshot, facts: Snapshot, key: Sequence[str]) -> str:
    rows, lines = staged.scan(), facts.scan()
    lost = rows.join(lines, on=["file_id", "source_row"], how="anti")
    want, have, behind = (added_up(frame) for frame in (rows, lines, lost))
    for at in sorted(want.keys() | have.keys()):
        if want.get(at, NOTHING) != have.get(at, NOTHING) + behind.get(at, NOTHING):
            return (
                f"file {at[0]}: {want.get(at, NOTHING)} staged, {have.get(at, NOTHING)} in the fact, {behind.get(at, NOTHING)} duplicates"
            )
    noted = {(file_id, day): count for file_id, count in state.duplicates.get(day, {}).items()}
    if noted != {at: totals.rows for at, totals in behind.items()}:
        return f"{sum(t.rows for t in behind.values())} rows are duplicates, the ledger counts {sum(noted.values())}"
    if not key:
        return f"{sum(noted.values())} rows are missing, though there is no business key to tell duplicates by" if noted else ""
    complete = pl.all_horizontal(pl.col(name).is_not_null() for name in key)
    # NULL is equal to nothing: a row without a complete key finds no other.
    alone = _count(lost.join(lines.filter(complete), on=key, how="anti"))
    if alone:
        return f"{alone} rows are not in the fact, and no other row stands for them"
    twice = _count(lines.filter(complete).group_by(key).len().filter(pl.col("len") > 1))
    return f"{twice} business keys are there more than once" if twice else ""


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect(engine="streaming").item())


_SELLERS = ("store_id", "sales_person_id")
_SUMS: Mapping[str, tuple[tuple[str, ...], Mapping[str, pl.Expr]]] = {
    "daily_seller_sales": (
        _SELLERS,
        {"total_sales": pl.col("total_cost").cast(_MONEY).sum(), "number_of_sales": pl.len(), "units": pl.col("quantity").sum()},
    ),
    "daily_customer_sales": (("customer_id",), {"total_sales": pl.col("total_cost").cast(_MONEY).sum()}),
}


def _rollups(state: _State) -> Level:
    """On each sale date: every row of the rollups is the sum of the fact's rows."""
    level = Level("rollups")
    for name in ROLLUPS:
        keys, sums = _SUMS[name]
        stale = state.stale_days(name)
        days = state.days("fact_sales", name)
        level.left_out += len(stale & set(days))
        for day in days:
            if day in stale:
                continue
            rows, facts = (state.snapshots[table].only("sales_date", [day]).scan() for table in (name, "fact_sales"))
            want = facts.group_by(keys).agg(expression.cast(_type_of(column)).alias(column) for column, expression in sums.items())
            have = rows.select(*keys, *(pl.col(column).cast(_type_of(column)) for column in sums))
            both = pl.concat([want.with_columns(side=pl.lit(1)), have.with_columns(side=pl.lit(-1))])
            wrong = _count(both.group_by(*keys, *sums).agg(pl.col("side").sum()).filter(pl.col("side") != 0))
            level.compared += 1
            if name == ROLLUPS[0]:  # the money of one: the others add up the same
                level.totals += Totals(0, 0, have.select(pl.col("total_sales").sum()).collect().item())
            if wrong:
                says = f"{wrong} sums are not those of the fact"
                level.differences.append(Difference("rollups", f"{name} {day}", says, MEND, (name, day)))
    return level


def _type_of(column: str) -> pl.DataType:
    return _MONEY if column == "total_sales" else pl.Int64()


def _marts(state: _State) -> Level:
    """In each month: the marts add up to the fact."""
    level = Level("marts")
    facts = state.snapshots["fact_sales"]
    sold = {month_of(day) for day in state.days("fact_sales")}
    for name in MARTS:
        rows = state.snapshots[name]
        months = sold if state.dates else sold | rows.partitions("sales_month")
        stale = state.stale_months(name)
        level.left_out += len(stale & months)
        for month in sorted(months - stale):
            level.compared += 1
            part = rows.only("sales_month", [month])
            days = (day for day in facts.partitions("sales_date") if month_of(day) == month)
            tree = marts.tree_of(state.platform, state.snapshots["dim_sales_person"], days) if name == "manager_mart" else None
            if name == "sales_team_mart":
                level.totals += Totals(0, 0, part.scan().select(pl.col("total_sales").cast(_MONEY).sum()).collect().item())
            if says := marts.differences(name, [month], part, facts, tree).get(month):
                level.differences.append(Difference("marts", f"{name} {month}", says, MEND, (name, month)))
    return level


def _dimensions(state: _State) -> Level:
    """Each dimension has the members that were staged, each with one current version."""
    level = Level("dimensions")
    for name in DIMENSIONS:
        if state.stale.get(name):
            level.left_out += 1
            continue
        level.compared += 1
        source = SOURCE_OF[name]
        member = state.platform.contracts[source].natural_key or ""
        rows = state.snapshots[name].scan()
        staged = state.snapshots[staging_name(source)]
        level.totals += Totals(state.snapshots[name].rows)
        lacking = _count(staged.scan().select(member).unique().join(rows, on=member, how="anti"))
        strange = _count(rows.select(member).unique().join(staged.scan(), on=member, how="anti"))
        current = _count(rows.group_by(member).agg(pl.col("is_current").sum()).filter(pl.col("is_current") != 1))
        if lacking or strange or current:
            says = f"{lacking} members are missing, {strange} were never delivered, {current} have not one current version"
            latest = max(staged.partitions("batch_date"), default=None)
            mend = _rebuild(date.fromisoformat(latest)) if latest else "load the source again"
            level.differences.append(Difference("dimensions", name, says, mend))
    return level


def _database(state: _State) -> Level:
    """Each slice of marts and dimensions stands in the database as it is in the lake, value by value; no other does."""
    level = Level("database")
    platform = state.platform
    waiting = state.stale.get("publication", frozenset())
    asked = {month_of(day) for day in state.days("fact_sales")} if state.dates else None
    standing = platform.publisher.slices()
    for name in (*DIMENSIONS, *MARTS):
        table, snapshot = platform.tables[name], state.snapshots[name]
        slices = {slice_ for mart, slice_ in standing if mart == name}
        slices |= snapshot.partitions("sales_month") if table.partition_by else {WHOLE}
        if asked is not None and table.partition_by:
            slices &= asked
        for slice_ in sorted(slices):
            part = snapshot if slice_ == WHOLE else snapshot.only("sales_month", [slice_])
            if f"{name}/{slice_}" in waiting or (name in MARTS and slice_ in state.stale_months(name)):
                level.left_out += 1
                continue
            level.compared += 1
            level.totals += Totals(part.rows)
            says = platform.publisher.difference(SliceLoad(table, slice_, snapshot.version, part.read))
            if says:
                stale = ("publication", f"{name}/{slice_}")
                level.differences.append(Difference("database", f"{name} {slice_}", f"database against lake: {says}", MEND, stale))
    return level
