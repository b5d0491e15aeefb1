"""Reconciliation: what the tables say against each other, in words and numbers, with examples of what is wrong.

The same rules have been checked on the files before they were committed; here they are looked at again on what readers see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import polars as pl
import sqlalchemy as sa

from salesmart_assets.batch.audits import NOTHING, Totals, added_up, strangers, totals
from salesmart_assets.batch.locations import faults, locations_of
from salesmart_assets.batch.marts import ROLLUP_OF, differences, names_shown, tree_of
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.warehouse import month_of
from salesmart_assets.contracts import HIDDEN
from salesmart_assets.contracts.tables import MARTS, REJECTED_ROWS, SOURCE_OF, UNKNOWN_KEY
from salesmart_assets.lake import Snapshot
from salesmart_assets.ledger import File
from salesmart_assets.reports.page import plural
from salesmart_assets.reports.stock import EXPIRED, EXPIRES_SOON, SOLD_OUT, StockWarning, stock_warnings
from salesmart_assets.transforms.management import management_bridge

_EXAMPLES = 5
_FILES_SHOWN = 50
_PROBLEMS_SHOWN = 20
_WORDS = {"customers": "customer", "stores": "store", "products": "product", "sales_team": "seller"}
_MONEY = pl.Decimal(28, 2)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: whether all is well, a sentence, and numbers or examples by name."""

    passed: bool
    sentence: str
    facts: Mapping[str, object] = field(default_factory=dict)


def of_all(findings: Mapping[date, Finding]) -> Finding:
    """The findings of several batch dates as one: it fails if one of them does, and tells of the first that failed, or of the last."""
    if len(findings) == 1:
        return next(iter(findings.values()))
    failed = [day for day, finding in findings.items() if not finding.passed]
    told = failed[0] if failed else max(findings)
    count = f"{len(failed)} of {len(findings)} batch dates failed" if failed else f"{len(findings)} batch dates passed"
    return Finding(not failed, f"{count}. {told}: {findings[told].sentence}", findings[told].facts)


def every_row_accounted(platform: Platform, source: str, day: date) -> Finding:
    """Rows read = accepted + rejected + duplicate, for every file of the batch."""
    files = platform.ledger.files(source=source, batch_date=day)
    wrong = [f.key for f in files if f.rows_read != f.rows_accepted + f.rows_rejected + f.rows_duplicate]
    read = sum(f.rows_read for f in files)
    sentence = f"{len(files)} files, {read:,} rows read, each accepted, rejected or duplicate."
    if wrong:
        sentence = f"Rows are unaccounted for in {len(wrong)} files."
    return Finding(not wrong, sentence, {"files": len(files), "rows_read": read, "examples": wrong[:_EXAMPLES]})


def every_file_read(platform: Platform, day: date) -> Finding:
    """No file of the batch waits because it could not be read."""
    waiting = unread(platform, day)
    sentence = "Every file of the batch was read."
    if waiting:
        sentence = f"{len(waiting)} files could not be read and are tried again; the others are loaded. {waiting[0].reason}"
    return Finding(not waiting, sentence, {"examples": [f"{f.key}: {f.reason}" for f in waiting[:_EXAMPLES]]})


def unread(platform: Platform, day: date) -> list[File]:
    """Files of a batch that wait because they could not be read; not those in a location that somebody disabled."""
    files = platform.ledger.files(batch_date=day, status="A", stages=("registered",), live_only=True)
    locations = locations_of(platform)
    return [f for f in files if f.reason is not None and not locations.awaits(f)]


def every_location_answers(platform: Platform) -> Finding:
    """Every active location could be looked at when that was last tried."""
    found = faults(platform)
    active = [location for location in locations_of(platform).every if location.active]
    sentence = f"All of {len(active)} locations were looked at."
    if found:
        first = next(iter(found.values()))
        sentence = f"{len(found)} of {len(active)} locations can't be looked at; what lands there is not read. {first.reason}"
    told = [f"{place.address} ({place.source}), since {fault.since:%Y-%m-%d %H:%M} UTC: {fault.reason}" for place, fault in found.items()]
    return Finding(not found, sentence, {"locations": len(active), "examples": told})


def rejections_are_kept(platform: Platform, day: date) -> Finding:
    """The table of rejections holds as many rows as the ledger counts in the batch's loaded files."""
    files = [f for f in platform.ledger.files(batch_date=day, live_only=True) if f.outcome == "loaded"]
    want = sum(f.rows_rejected for f in files)
    snapshot = platform.lake.snapshot(REJECTED_ROWS.name).only("batch_date", [day.isoformat()])
    have = snapshot.where(lambda f: f.origin in {file.mark for file in files}).rows
    return Finding(want == have, f"{have:,} rejected rows are kept, the ledger counts {want:,}.", {"kept": have, "counted": want})


def one_version_a_day(platform: Platform, dimension: str) -> Finding:
    """Each member has one current version, and its versions neither overlap nor leave gaps."""
    natural = platform.contracts[SOURCE_OF[dimension]].natural_key or ""
    rows = platform.lake.snapshot(dimension).scan().select(natural, "valid_from", "valid_to", "is_current").sort(natural, "valid_from")
    following = pl.col("valid_from").shift(-1).over(natural)
    bad = rows.with_columns(following=following, current=pl.col("is_current").sum().over(natural)).filter(
        (pl.col("current") != 1) | pl.col("following").ne_missing(pl.col("valid_to"))
    )
    wrong = bad.select(natural).unique().sort(natural).collect()[natural].to_list()
    count = rows.select(pl.len()).collect().item()
    sentence = f"{count:,} versions; on each day one of each member."
    if wrong:
        sentence = f"{len(wrong)} members have gaps, overlaps or no current version."
    return Finding(not wrong, sentence, {"versions": count, "examples": [str(v) for v in wrong[:_EXAMPLES]]})


@dataclass(frozen=True, slots=True)
class _Sold:
    """The sale dates that a batch has rows for, as far as nobody has made them stale again: there all tables agree."""

    days: Sequence[date]
    stale: int
    staged: Snapshot
    facts: Snapshot
    members: Mapping[str, Snapshot]
    duplicates: Mapping[tuple[int, date], int]

    @property
    def rest(self) -> str:
        """What is not looked at, in words."""
        return f" {self.stale} more are about to be recomputed." if self.stale else ""


def _sold(platform: Platform, day: date) -> _Sold:
    # Another batch may stage rows of the same sale dates at any time: while nobody else writes, what it has made stale is pending.
    with platform.ledger.writer.hold(waiting=platform.say):
        staged = platform.lake.snapshot("stg_sales")
        facts = platform.lake.snapshot("fact_sales")
        members = {name: platform.lake.snapshot(name) for name in SOURCE_OF}
        stale = {item.slice for item in platform.ledger.pending("fact_sales")}
        mine = {d for f in staged.files if f.value("batch_date") == day.isoformat() and (d := f.value("sales_date"))}
        days = sorted(date.fromisoformat(d) for d in mine - stale)
        duplicates = platform.ledger.duplicates(days)
    return _Sold(
        days, len(mine & stale), staged.only("sales_date", mine - stale), facts.only("sales_date", mine - stale), members, duplicates
    )


def fact_reconciles_with_staging(platform: Platform, day: date) -> Finding:
    """Staged rows = fact rows + duplicates, on every sale date that the batch has rows for."""
    sold = _sold(platform, day)
    duplicates = sum(sold.duplicates.values())
    return Finding(
        sold.staged.rows == sold.facts.rows + duplicates,
        f"{len(sold.days)} sale dates: {sold.staged.rows:,} staged = {sold.facts.rows:,} in the fact + {duplicates:,} duplicates."
        f"{sold.rest}",
        {"sale_dates": len(sold.days), "staged": sold.staged.rows, "fact": sold.facts.rows, "duplicates": duplicates},
    )


def control_totals_agree(platform: Platform, day: date) -> Finding:
    """Rows, units and money of each sales file of the batch: as they were read = staged = fact + duplicates."""
    # First the ledger: what is loaded there is in any later snapshot.
    files = {f.file_id: f for f in platform.ledger.files(source="sales", batch_date=day, live_only=True) if f.outcome == "loaded"}
    sold = _sold(platform, day)
    mine = pl.col("batch_date") == day
    staged, facts = sold.staged.only("batch_date", [day.isoformat()]), sold.facts.scan().filter(mine)
    have, want = added_up(facts), totals(staged)
    # The ledger counts duplicates; what they sold is what is staged under the numbers that the fact does not have.
    doubtful = [file_id for file_id, _ in sold.duplicates]
    some = pl.col("file_id").is_in(doubtful)
    lines = facts.filter(some).select("file_id", "source_row")
    lost = added_up(staged.scan().filter(some).join(lines, on=["file_id", "source_row"], how="anti")) if doubtful else {}
    wrong: set[int] = set()
    shown: dict[int, dict[str, Totals]] = {}
    for at in sorted(have.keys() | want.keys() | lost.keys()):
        parts = {"staged": want.get(at, NOTHING), "fact": have.get(at, NOTHING), "duplicates": lost.get(at, NOTHING)}
        if parts["staged"] != parts["fact"] + parts["duplicates"] or parts["duplicates"].rows != sold.duplicates.get(at, 0):
            wrong.add(at[0])
        so_far = shown.setdefault(at[0], dict.fromkeys(parts, NOTHING))
        shown[at[0]] = {name: so_far[name] + part for name, part in parts.items()}
    for file_id, file in files.items():
        now = shown.get(file_id, {"staged": NOTHING})["staged"]
        read = Totals(file.rows_staged, now.quantity, now.money)
        if file.control_sums:  # which a file that an older salesmart loaded does not have
            read = Totals.from_json(file.rows_staged, file.control_sums)
        if not sold.stale and read != now:
            wrong.add(file_id)
        if file_id in shown:
            shown[file_id] = {"read": read, **shown[file_id]}
    told = sorted(shown, key=lambda file_id: (file_id not in wrong, file_id))[:_FILES_SHOWN]
    named = {file_id: files[file_id].key if file_id in files else f"file {file_id}" for file_id in told}
    whole = sum((parts["staged"] for parts in shown.values()), NOTHING)
    sentence = f"{len(shown)} files: {whole} read and staged, all of it in the fact or duplicate.{sold.rest}"
    if wrong:
        sentence = f"Rows, units or money of {len(wrong)} files differ between file, staging and fact: rebuild the batch."
    return Finding(
        not wrong, sentence, {"files": [{"file": named[f], **{name: str(part) for name, part in shown[f].items()}} for f in told]}
    )


def every_key_exists(platform: Platform, day: date) -> Finding:
    """Every key in the fact, on the batch's sale dates, is that of a version in its dimension, or says that the member is unknown."""
    sold = _sold(platform, day)
    unheard = strangers(sold.facts, sold.members)
    sentence = f"{sold.facts.rows:,} lines of {len(sold.days)} sale dates: each key is in its dimension, or -1.{sold.rest}"
    if unheard:
        sentence = f"Keys that no version has in {', '.join(unheard)}: rebuild the batch."
    return Finding(not unheard, sentence, {"examples": unheard})


def known_members(platform: Platform, day: date) -> Finding:
    """How many lines of the batch name a customer, store, product or seller that nobody delivered yet, with examples."""
    staged = platform.lake.snapshot("stg_sales")
    days = {d for f in staged.files if f.value("batch_date") == day.isoformat() and (d := f.value("sales_date"))}
    rows = platform.lake.snapshot("fact_sales").only("sales_date", days).scan().filter(pl.col("batch_date") == day)
    facts: dict[str, object] = {}
    told = []
    for dimension, source in SOURCE_OF.items():
        role = dimension.removeprefix("dim_")
        natural = "product_name" if role == "product" else f"{role}_id"
        counts = rows.filter(pl.col(f"{role}_key") == UNKNOWN_KEY).group_by(natural).len()
        unknown = counts.sort("len", natural, descending=[True, False]).collect()
        lines = int(unknown["len"].sum())
        hide = platform.contracts["sales"].columns[natural].pii
        examples = [HIDDEN if hide else str(v) for v in unknown[natural].head(_EXAMPLES).to_list()]
        if lines:
            told.append(f"{plural(unknown.height, _WORDS[source])} ({plural(lines, 'line')}, such as {examples[0]})")
        facts[dimension] = {"lines": lines, "members": unknown.height, "examples": examples}
    sentence = "Every line's customer, store, product and seller is known."
    if told:
        sentence = f"Not delivered yet: {', '.join(told)}. Their lines count, and resolve by themselves."
    return Finding(not told, sentence, facts)


def stock_and_expiry(platform: Platform, day: date) -> Finding:
    """Products that the batch's sale dates sold though none is in stock, and those that have expired or soon will."""
    staged = platform.lake.snapshot("stg_sales").only("batch_date", [day.isoformat()])
    sold = platform.lake.snapshot("fact_sales").only("sales_date", staged.partitions("sales_date")).scan()
    days = platform.settings.expiry_days
    warnings = stock_warnings(platform.lake.snapshot("dim_product").scan(), sold, min(day, platform.today()), days)
    words = {SOLD_OUT: "sold though not in stock", EXPIRED: "expired with stock left", EXPIRES_SOON: f"expire within {days} days"}
    by_kind = {what: [w for w in warnings if w.what == what] for what in words}
    told = [f"{len(found)} {words[what]} (such as {_product(found[0])})" for what, found in by_kind.items() if found]
    sentence = f"Nothing was sold that is not in stock, and nothing in stock has expired or expires within {days} days."
    if told:
        sentence = f"Products to look after: {', '.join(told)}."
    return Finding(
        not told,
        sentence,
        {words[what]: {"products": len(found), "examples": [_product(w) for w in found[:_EXAMPLES]]} for what, found in by_kind.items()},
    )


def _product(warning: StockWarning) -> str:
    """A product by number and name, with what is known of it."""
    facts = [f"expires {warning.expiry_date}"] if warning.expiry_date else []
    facts += [f"{warning.units_sold:,} sold"] if warning.units_sold else []
    return f"{warning.product_id} {warning.name or ''}".rstrip() + (f": {', '.join(facts)}" if facts else "")


def management_is_a_tree(platform: Platform, day: date) -> Finding:
    """The sellers' managers, as of the batch date: no circle, no manager who is no seller, one head."""
    today = min(day, platform.today())
    tree = management_bridge(platform.lake.snapshot("dim_sales_person").read(), [today], names_shown(platform))
    sentence = f"Each seller has a way up to one head, as of {today}."
    if tree.problems:
        sentence = f"{tree.problems[0]} The rest of the tree stands."
        if len(tree.problems) > 1:
            sentence = f"{len(tree.problems)} faults in the tree of managers; the rest of it stands. {tree.problems[0]}"
    return Finding(not tree.problems, sentence, {"problems": len(tree.problems), "examples": list(tree.problems[:_PROBLEMS_SHOWN])})


def mart_reconciles_with_fact(platform: Platform, mart: str, day: date) -> Finding:
    """The mart's total of every month that the batch touches is the fact's, where no other batch has made the month stale."""
    months, stale, facts, rows, _ = _months_of(platform, mart, day)
    sold = facts.where(lambda f: month_of(f.value("sales_date") or "") in months)
    want: Decimal = sold.scan().select(pl.col("total_cost").cast(_MONEY).sum()).collect().item()
    have: Decimal = rows.scan().select(pl.col("total_sales").cast(_MONEY).sum()).collect().item()
    sentence = f"{len(months)} months: the mart adds up to {have}, the fact to {want}.{stale}"
    return Finding(want == have, sentence, {"months": sorted(months)})


def teams_reconcile_with_fact(platform: Platform, day: date) -> Finding:
    """Each month's direct and whole teams add up to what was sold below the managers, as the tree stood on each day."""
    months, stale, facts, rows, sellers = _months_of(platform, "manager_mart", day)
    days = (d for d in facts.partitions("sales_date") if month_of(d) in months)
    wrong = differences("manager_mart", months, rows, facts, tree_of(platform, sellers, days))
    sentence = f"{len(months)} months: direct and whole teams add up to what was sold below each manager.{stale}"
    if wrong:
        sentence = f"{next(iter(wrong.values()))} ({len(wrong)} of {len(months)} months)."
    return Finding(not wrong, sentence, {"months": sorted(months), "examples": list(wrong.values())[:_EXAMPLES]})


def _months_of(platform: Platform, mart: str, day: date) -> tuple[set[str], str, Snapshot, Snapshot, Snapshot]:
    """The months that a batch touches and no other has made stale; of the others, in words; fact, the mart's months, and sellers."""
    with platform.ledger.writer.hold(waiting=platform.say):
        staged, facts, rows, sellers = (platform.lake.snapshot(name) for name in ("stg_sales", "fact_sales", mart, "dim_sales_person"))
        stale = {month_of(item.slice) for name in (ROLLUP_OF[mart], mart) for item in platform.ledger.pending(name)}
    mine = {month_of(d) for f in staged.files if f.value("batch_date") == day.isoformat() and (d := f.value("sales_date"))}
    rest = f" {len(mine & stale)} more are about to be recomputed." if mine & stale else ""
    return mine - stale, rest, facts, rows.only("sales_month", mine - stale), sellers


def database_equals_lake(platform: Platform) -> Finding:
    """Every month of every mart is published, at the rows that the lake has, where no other batch is about to publish it."""
    platform.publisher.ensure_schema()
    publication = sa.table("publication", sa.column("mart"), sa.column("slice"), sa.column("row_count"))
    with platform.ledger.writer.hold(waiting=platform.say):
        with platform.marts.connect() as connection:
            published = {f"{row[0]}/{row[1]}": row[2] for row in connection.execute(sa.select(publication)) if row[0] in MARTS}
        snapshots = {mart: platform.lake.snapshot(mart) for mart in MARTS}
        waiting = {item.slice for item in platform.ledger.pending("publication")}
    wanted = {
        f"{mart}/{month}": snapshot.only("sales_month", [month]).rows
        for mart, snapshot in snapshots.items()
        for month in snapshot.partitions("sales_month")
    }
    # A month that lost all its rows is on record as one without rows.
    there = wanted.keys() | {name for name, rows in published.items() if rows}
    wrong = sorted(name for name in there - waiting if published.get(name) != wanted.get(name))
    rest = f" {len(there & waiting)} more are about to be published by another batch." if there & waiting else ""
    sentence = f"{len(there - waiting)} months of the marts are published as they are in the lake.{rest}"
    if wrong:
        sentence = f"{len(wrong)} months differ: run `salesmart publish`."
    return Finding(not wrong, sentence, {"slices": len(there - waiting), "examples": wrong[:_EXAMPLES]})
