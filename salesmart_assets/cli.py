"""The command line. Its names and outputs are a promise: scripts rely on them."""

from __future__ import annotations

import errno
import os
import re
import secrets
import sqlite3
import sys
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from salesmart_assets.contracts.model import SOURCES
from salesmart_assets.errors import ContractError, SalesmartError, Unreachable, UsageError
from salesmart_assets.security import sealing
from salesmart_assets.security.files import short_path
from salesmart_assets.security.key import old_keys, open_to_others
from salesmart_assets.settings import PREFIX, Settings

if TYPE_CHECKING:
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.ledger import File

STATUS_COLUMNS = (
    "batch_date",
    "source",
    "bucket",
    "key",
    "size",
    "status",
    "stage",
    "outcome",
    "rows_read",
    "rows_accepted",
    "rows_rejected",
    "rows_duplicate",
    "reason",
    "run_id",
)
PUBLISH_COLUMNS = ("mart", "slice", "lake_version", "rows", "changed_rows")
REJECT_COLUMNS = ("source", "batch_date", "source_file", "source_row", "codes", "raw")
SOURCE_COLUMNS = ("source", "bucket", "prefix", "format_hint", "active", "added_at", "fault")


class _Date(click.ParamType[date]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else self.fail("")
        except (ValueError, click.BadParameter):
            return self.fail(f"{value!r} is no date: write it as YYYY-MM-DD.", param, ctx)


class _DateOrMonth(click.ParamType[tuple[date, date]]):
    """A date or a month, as its first and last day."""

    name = "date or month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[date, date]:
        if isinstance(value, tuple):
            return value
        try:
            if re.fullmatch(r"\d{4}-\d{2}", value):
                first = date.fromisoformat(f"{value}-01")
                return first, first.replace(day=monthrange(first.year, first.month)[1])
            day = DATE.convert(value, None, None)
        except (ValueError, click.BadParameter):
            return self.fail(f"{value!r} is no date and no month: write it as YYYY-MM-DD or YYYY-MM.", param, ctx)
        return day, day


class _Since(click.ParamType[datetime]):
    """A moment: so long ago, or a date, in UTC."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"(\d{1,6})([smhdw])", value)
        if ago is not None:
            unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[ago[2]]
            try:
                return datetime.now(timezone.utc) - timedelta(**{unit: int(ago[1])})
            except OverflowError:
                return datetime.min.replace(tzinfo=timezone.utc)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return self.fail(f"{value!r} is no time: write 30m, 2h or 1d for so long ago, or a date such as 2026-08-01.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


class _Month(click.ParamType[date]):
    """A month, as its first day."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(f"{value}-01") if re.fullmatch(r"\d{4}-\d{2}", value) else self.fail("")
        except (ValueError, click.BadParameter):
            return self.fail(f"{value!r} is no month: write it as YYYY-MM.", param, ctx)


def _examples(*lines: str) -> str:
    """What the help of a command ends with: command lines as they are typed, each perhaps with what it does behind a `#`."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


DATE = _Date()
_NARRATORS = ("salesmart_assets.runs", "salesmart_assets.alerts")
"""Who in the log tells a person at the terminal how a run goes; the others' words are for the log alone."""
_PLATFORM = "salesmart_assets.batch.platform"
"""Who tells what a command without runs is about to do, or waits for."""
_source_option = click.option("--source", type=click.Choice(SOURCES), help="Only this source.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="salesmart")
def cli() -> None:
    """Retail sales files from S3 to checked, reconciled data marts.

    \b
    Try:  salesmart demo                                  three days of data, from files to marts
          salesmart land sales.csv --source sales         put a file of your own into the landing zone
          salesmart run                                   load what is pending
          salesmart query "select * from sales_team_mart"
    """  # noqa: D301 (click's sign for a block that is not to be wrapped: the character, not the letters)


@cli.command(
    epilog=_examples(
        "salesmart generate --out files --rows 1000                     # a small day, in a folder",
        "salesmart generate --out s3://salesmart/landing --days 3       # three days, into the landing zone",
        "salesmart generate --out files --size 1GB --format parquet     # a large day",
    )
)
@click.option("--out", required=True, metavar="DIR_OR_S3", help="Folder, or s3://bucket/prefix, that gets SOURCE/dt=DATE/FILE.")
@click.option("--from", "first_day", type=DATE, help="First batch date. Default: today.")
@click.option("--days", default=1, show_default=True, type=click.IntRange(1), help="Number of batch dates.")
@click.option("--rows", type=click.IntRange(1), help="Sales rows a day. Default 10,000.")
@click.option("--size", metavar="SIZE", help="Bytes of sales a day, such as 200MB or 15GB; instead of --rows.")
@click.option("--format", "kind", type=click.Choice(("csv", "json", "parquet")), default="csv", show_default=True)
@click.option("--gzip", is_flag=True, help="Compress CSV and JSON.")
@click.option("--faults", default=0.0, type=click.FloatRange(0, 1), metavar="RATIO", help="Share of sales rows that are made bad.")
@click.option("--seed", default=1, show_default=True, type=int, help="The same seed gives the same files.")
def generate(
    out: str, first_day: date | None, days: int, rows: int | None, size: str | None, kind: str, gzip: bool, faults: float, seed: int
) -> None:
    """Write realistic files of the five sources, reproducibly."""
    from salesmart_assets import terminal
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.generate.days import Plan, parse_size
    from salesmart_assets.generate.days import generate as files_of
    from salesmart_assets.generate.sinks import FolderSink, S3Sink

    if rows is not None and size is not None:
        raise UsageError("--rows and --size both say how much to write: give one of them.")
    settings = Settings.load()
    with Platform(settings) as platform:
        plan = Plan(
            first_day or platform.today(),
            days,
            rows,
            parse_size(size) if size else None,
            kind,  # type: ignore[arg-type]
            gzip,
            faults,
            seed,
        )
        if out.startswith("s3://"):
            bucket, _, prefix = out.removeprefix("s3://").partition("/")
            sink: FolderSink | S3Sink = S3Sink(platform.zone.client, bucket, prefix.strip("/"))
        else:
            sink = FolderSink(Path(out))
        files = 0
        written = 0
        started = monotonic()
        with terminal.progress() as bar:
            task = bar.add_task("writing", total=days)
            for file in files_of(plan, sink, platform.contracts):
                files += 1
                written += file.bytes
                bar.update(task, description=f"{file.source} {file.batch_date}", completed=(file.batch_date - plan.first_day).days + 1)
        seconds = monotonic() - started
    click.echo(
        f"Wrote {files} files, {terminal.size(written)}, to {out} in {seconds:.1f} s ({terminal.size(written / max(seconds, 0.001))}/s)."
    )


@cli.command(
    epilog=_examples(
        "salesmart land sales.csv --source sales                        # today's batch",
        "salesmart land sales.csv --source sales --date 2026-08-01      # the batch of a day",
        "salesmart land till.csv --source sales --to s3://tills/drop    # another of the source's locations",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--source", required=True, type=click.Choice(SOURCES))
@click.option("--date", "batch_date", type=DATE, help="Batch date. Default: today, in UTC.")
@click.option("--to", "address", metavar="S3_ADDRESS", help="Location of the source that gets them. Default: the landing zone's.")
def land(files: Sequence[Path], source: str, batch_date: date | None, address: str | None) -> None:
    """Put files into the landing zone, under their names; the same key is overwritten."""
    from salesmart_assets.batch.locations import landing_place
    from salesmart_assets.batch.platform import Platform

    for path in files:
        if not path.is_file():
            raise UsageError(f"{path} is no file: nothing was landed.")
        if any("\ud800" <= sign <= "\udfff" for sign in path.name):
            raise UsageError(f"The name {path.name!a} is not UTF-8, as that of an object must be: rename the file. Nothing was landed.")
    if len({path.name for path in files}) < len(files):
        raise UsageError(
            "Two of the files have the same name, and one would overwrite the other: nothing was landed. Land them by themselves."
        )
    with Platform(Settings.load()) as platform:
        day = _landing_day(platform, batch_date)
        place = landing_place(platform, source, address)
        for path in files:
            key = platform.zone.put(path, source, day, bucket=place.bucket, prefix=place.prefix)
            click.echo(f"s3://{place.bucket}/{key}")
    click.echo("Load them with `salesmart run`." if len(files) > 1 else "Load it with `salesmart run`.", err=True)


def _landing_day(platform: Platform, asked: date | None) -> date:
    """The batch date under which files are landed: the one that was asked for, or today."""
    day, first = asked or platform.today(), platform.settings.first_batch_date
    if not first <= day <= platform.today():
        raise UsageError(f"{day} is no batch date: they go from {first} to today, in UTC. Nothing was landed.")
    return day


@cli.command(
    "import",
    epilog=_examples(
        "salesmart import mysql+pymysql://user@db.example.com/retail      # its members, under today's date",
        "salesmart import mysql://user@db/retail --date 2026-07-01        # under another",
    ),
)
@click.argument("url", envvar="SALESMART_IMPORT_URL")
@click.option("--date", "batch_date", type=DATE, help="Batch date of the files. Default: today, in UTC.")
def import_members(url: str, batch_date: date | None) -> None:
    """Land another system's MySQL tables customer, store, product and sales_team as files of the sources.

    Where URL is left out it is read from the variable SALESMART_IMPORT_URL, so that no password shows in the list of processes.
    """
    from salesmart_assets.batch.importing import import_tables
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        for item in import_tables(platform, url, _landing_day(platform, batch_date)):
            click.echo(f"{item.table}: {item.rows} rows, {item.address}")
    click.echo("Load them with `salesmart run`.", err=True)


@cli.group()
def sources() -> None:
    """Say where the files of each source land: buckets and prefixes beside the landing zone of the settings."""


_source_argument = click.argument("source", type=click.Choice(SOURCES), metavar="SOURCE")


@sources.command(
    "list",
    epilog=_examples(
        "salesmart sources list",
        "salesmart sources list --json",
    ),
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array, every row.")
def sources_list(as_json: bool) -> None:
    """Every location, those of SALESMART_LANDING first, and why one can't be looked at."""
    from salesmart_assets import terminal
    from salesmart_assets.batch import locations
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        known = locations.locations_of(platform)
        faults = {**known.refused, **{place: fault.reason for place, fault in locations.faults(platform).items()}}
    rows = [{c: faults.get(place) if c == "fault" else getattr(place, c) for c in SOURCE_COLUMNS} for place in known.every]
    if as_json:
        terminal.print_json(rows)
    else:
        terminal.print_table(rows, SOURCE_COLUMNS)


@sources.command(
    "add",
    epilog=_examples(
        "salesmart sources add sales s3://tills-north/drop",
        "salesmart sources add sales s3://tills-south/drop --format csv",
    ),
)
@_source_argument
@click.argument("address", metavar="S3_ADDRESS")
@click.option("--format", "hint", type=click.Choice(("csv", "json", "parquet")), help="Format of files whose content leaves it open.")
def sources_add(source: str, address: str, hint: str | None) -> None:
    """Look for a source's files at s3://BUCKET/PREFIX too, from the next run and the sensor's next look on."""
    from salesmart_assets.batch import locations
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        place = locations.add(platform, source, address, hint)
    click.echo(f"{place.address}dt=YYYY-MM-DD/FILE is read as {source}.")
    click.echo("Load what lies there with `salesmart run`.", err=True)


@sources.command(
    "disable",
    epilog=_examples(
        "salesmart sources disable sales s3://tills-north/drop",
    ),
)
@_source_argument
@click.argument("address", metavar="S3_ADDRESS")
def sources_disable(source: str, address: str) -> None:
    """Read nothing more from a location. What was loaded from it stays loaded, and can be rebuilt."""
    _switch(source, address, active=False)


@sources.command(
    "enable",
    epilog=_examples(
        "salesmart sources enable sales s3://tills-north/drop",
    ),
)
@_source_argument
@click.argument("address", metavar="S3_ADDRESS")
def sources_enable(source: str, address: str) -> None:
    """Take a disabled location up again: what landed there meanwhile is loaded."""
    _switch(source, address, active=True)


def _switch(source: str, address: str, *, active: bool) -> None:
    from salesmart_assets.batch import locations
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        place = locations.switch(platform, source, address, active=active)
    click.echo(f"{place.address} is {'read as' if active else 'no longer read as'} {source}.")


@cli.group()
def landing() -> None:
    """List, fetch and delete objects of the landing zone, processed/ and error/."""


def _areas(platform: Platform) -> list[tuple[str, str]]:
    """Bucket and prefix of all places in which objects of the platform lie, none inside another: the landing zone's first."""
    from salesmart_assets.batch.locations import locations_of

    zone = platform.zone
    done = [zone.area("processed"), zone.area("error")]
    found = [(zone.bucket, zone.prefix), *((zone.bucket, area) for area in done)]
    for place in locations_of(platform).every:
        # A bucket of others may have a processed/ of its own.
        found += [(place.bucket, place.prefix), *((place.bucket, f"{area}{place.source}/") for area in done)]
    found = list(dict.fromkeys(found))
    return [one for one in found if not any(one != other and one[0] == other[0] and one[1].startswith(other[1]) for other in found)]


def _placed(platform: Platform, name: str) -> tuple[str, str]:
    """Bucket and key (or prefix) that people name: by their address, or by the key alone in the landing zone's bucket."""
    if name.startswith("s3://"):
        bucket, _, key = name.removeprefix("s3://").partition("/")
        return bucket, key
    return platform.zone.bucket, name


@landing.command(
    "ls",
    epilog=_examples(
        "salesmart landing ls                                           # everything",
        "salesmart landing ls landing/sales/dt=2026-08-01               # one day of a source",
        "salesmart landing ls s3://tills-north/drop --json              # another location",
    ),
)
@click.argument("prefix", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def landing_ls(prefix: str | None, as_json: bool) -> None:
    """List objects: all of the three areas and of the other locations, or those under PREFIX, a key or an address."""
    from salesmart_assets import terminal
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.landing.faults import BucketFault

    columns = ("bucket", "key", "size", "last_modified", "etag")
    rows: list[dict[str, object]] = []
    faults: list[str] = []
    with Platform(Settings.load()) as platform:
        for bucket, under in [_placed(platform, prefix)] if prefix else _areas(platform):
            try:
                rows += [{c: getattr(o, c) for c in columns} for o in platform.zone.list_any(under, bucket=bucket)]
            except BucketFault as error:
                faults.append(str(error))
    if as_json:
        terminal.print_json(rows)
    elif rows:
        terminal.print_table(rows, columns)
    elif not faults:
        terminal.err.print("Nothing is there. Put a file with `salesmart land FILE --source SOURCE`.")
    if faults:
        raise Unreachable(faults[0])


def _own_keys(platform: Platform, names: Sequence[str]) -> list[tuple[str, str]]:
    areas = _areas(platform)
    found = []
    for name in names:
        bucket, key = _placed(platform, name)
        if not any(bucket == there and key.startswith(area) for there, area in areas):
            raise UsageError(f"{name} is not in the landing zone, processed/ or error/: `salesmart landing ls` lists what is.")
        if platform.zone.head(key, bucket=bucket) is None:
            raise UsageError(f"There is no object {key}: `salesmart landing ls` lists what is there.")
        found.append((bucket, key))
    return found


@landing.command(
    "get",
    epilog=_examples(
        "salesmart landing get landing/sales/dt=2026-08-01/sales.csv --out sales.csv",
    ),
)
@click.argument("key")
@click.option("--out", type=click.Path(path_type=Path), help="File to write. Default: standard output.")
def landing_get(key: str, out: Path | None) -> None:
    """Fetch an object."""
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        ((bucket, wanted),) = _own_keys(platform, [key])
        if out is None:
            platform.zone.copy_to(wanted, sys.stdout.buffer, bucket=bucket)
        else:
            with _whole(out) as target:
                platform.zone.copy_to(wanted, target, bucket=bucket)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its place at `path` when all is written; until then, and if that fails, what was there stays."""
    if path.exists() and not path.is_file():
        with path.open("wb") as place:  # a pipe or a device: there is nothing to keep; a folder: the system says so
            yield place
        return
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@landing.command(
    "rm",
    epilog=_examples(
        "salesmart landing rm landing/sales/dt=2026-08-01/sales.csv",
    ),
)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
def landing_rm(keys: Sequence[str]) -> None:
    """Delete objects. What was loaded from them stays loaded."""
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        for bucket, key in _own_keys(platform, keys):
            platform.zone.delete(key, bucket=bucket)
            click.echo(f"deleted s3://{bucket}/{key}")


@cli.command(
    epilog=_examples(
        "salesmart run                                                  # load what is pending",
        "salesmart run --date 2026-08-01                                # rebuild a day from its files",
        "salesmart run --date 2026-07 --date 2026-08                    # rebuild two months",
    )
)
@click.option(
    "--date",
    "spans",
    type=_DateOrMonth(),
    multiple=True,
    metavar="DATE_OR_MONTH",
    help="Rebuild this batch date, or each of a month such as 2026-08, from its files; may be given several times.",
)
@click.option("--require-files", is_flag=True, help="Exit 1 if nothing is pending.")
def run(spans: Sequence[tuple[date, date]], require_files: bool) -> None:
    """Load what is pending, oldest batch first; with --date, rebuild those dates, and nothing else."""
    from salesmart_assets import terminal
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.runs import load, print_summary, tell

    settings = Settings.load()
    with Platform(settings) as platform, terminal.narrated(*_NARRATORS):
        dates = {day for span in spans for day in _batch_dates(platform, *span)}
        try:
            done = load(platform, sorted(dates))
        except SalesmartError as error:
            tell(platform, [], error)
            raise
        faulty = _tell_faults(platform)
        if done:
            print_summary(platform, done)
        else:
            terminal.err.print("Nothing is pending. Land a file with `salesmart land FILE --source SOURCE`.")
        tell(platform, done)
        if faulty or any(item.reason for item in done) or (require_files and not done):
            sys.exit(1)


def _tell_faults(platform: Platform) -> bool:
    """Say which locations could not be looked at; whether there are any."""
    from salesmart_assets import terminal
    from salesmart_assets.batch import locations

    found = locations.faults(platform)
    for place, fault in found.items():
        since = f"{fault.since:%Y-%m-%d %H:%M} UTC"
        terminal.err.print(f"Not looked at since {since}: {place.address} ({place.source}). {fault.reason}", style="yellow")
    return bool(found)


def _batch_dates(platform: Platform, first: date, last: date) -> Sequence[date]:
    """The batch dates that a person names: a date, whether it has files or not, or those of a month that have some."""
    if first < last:
        known = platform.ledger.batch_dates(first, last)
        if not known:
            raise UsageError(f"No batch of {first:%Y-%m} was ever loaded: `salesmart status` lists those that were.")
        return known
    if not platform.settings.first_batch_date <= first <= platform.today():
        raise UsageError(f"{first} is no batch date: they go from {platform.settings.first_batch_date} to today, in UTC.")
    return [first]


@cli.command(
    epilog=_examples(
        "salesmart status",
        "salesmart status --json",
    )
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array, every row.")
def status(as_json: bool) -> None:
    """The ledger: every file ever seen and what became of it, newest first."""
    from salesmart_assets import terminal
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        files = platform.ledger.files(newest_first=True)
        _tell_faults(platform)
    if as_json:
        terminal.print_json({c: getattr(f, c) for c in STATUS_COLUMNS} for f in files)
    elif not files:
        terminal.err.print("No file was ever seen. Land one with `salesmart land FILE --source SOURCE`, then `salesmart run`.")
    else:
        shown = (
            "batch_date",
            "source",
            "key",
            "size",
            "status",
            "outcome",
            "rows_read",
            "rows_accepted",
            "rows_rejected",
            "rows_duplicate",
            "reason",
        )
        names = {f.file_id: f.key.rsplit("/", 1)[-1] for f in files}
        terminal.print_table([{c: _short(f, c, names) for c in shown} for f in files], shown, most=40 if terminal.out.is_terminal else None)


def _short(file: File, column: str, names: Mapping[int, str]) -> object:
    """A column of the ledger for people: the key without what the other columns say; `names` are the files' by number."""
    if column != "key":
        return getattr(file, column)
    return names[file.file_id] if file.replay_of is None else f"mended rows of {names[file.replay_of]}"


@cli.command(
    epilog=_examples(
        "salesmart rejects                                              # every rejected row",
        "salesmart rejects --source sales --date 2026-08-01             # those of one day",
        "salesmart rejects --replayed --json                            # also those that were mended since",
    )
)
@_source_option
@click.option("--date", "batch_date", type=DATE, help="Only this batch date.")
@click.option("--replayed", is_flag=True, help="Also rows that were mended and replayed since.")
@click.option("--whole", is_flag=True, help="With personal data, which is hidden otherwise.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, every row.")
def rejects(source: str | None, batch_date: date | None, replayed: bool, whole: bool, as_json: bool) -> None:
    """Rejected rows and files, with all their reasons. A file rejected whole has no row number. Personal data is hidden."""
    from salesmart_assets import terminal
    from salesmart_assets.batch import rejections
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform:
        rows = rejections.listed(platform, source, batch_date, replayed=replayed, whole=whole)
    if as_json:
        terminal.print_json(rows)
    elif rows:
        terminal.print_table(rows, REJECT_COLUMNS, most=40 if terminal.out.is_terminal else None)
        if any(row["source_row"] is not None for row in rows):
            terminal.err.print("Mend rows: `salesmart replay --source SOURCE --out FILE` writes them to a file.")
    else:
        terminal.err.print("Nothing was rejected. `salesmart status` tells what became of each file.")


@cli.command(
    epilog=_examples(
        "salesmart replay --source sales --out mend.csv                 # write them out, to be mended",
        "salesmart replay mend.csv                                      # give them back",
        "salesmart run                                                  # load them",
    )
)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write rejected rows to this CSV file, to be mended."
)
@_source_option
@click.option("--date", "batch_date", type=DATE, help="With --out: only this batch date.")
def replay(file: Path | None, out: Path | None, source: str | None, batch_date: date | None) -> None:
    """Mend rejected rows: --out writes them to a file; edit it, and give it back as FILE. `salesmart run` then loads them.

    However often a row is replayed, it counts once: as it came back last. It leaves when its file is superseded.
    """
    from salesmart_assets.batch import rejections, replay
    from salesmart_assets.batch.platform import Platform

    if (file is None) == (out is None):
        raise UsageError("Name the file to write with --out FILE, or give a mended one back: `salesmart replay FILE`.")
    with Platform(Settings.load()) as platform:
        if out is not None:
            if not out.absolute().parent.is_dir():
                raise UsageError(f"{out.absolute().parent} is no folder: nothing was written.")
            rows = rejections.rejected_rows(platform, source, batch_date).to_dicts()
            written = replay.write_out(platform, out, rows)
            click.echo(f"{written.rows} rejected {written.source} rows of {written.files} files are in {out}.")
            click.echo(f"Mend them there, take out what stays rejected, then: salesmart replay {out}", err=True)
        elif file is not None:
            taken = replay.take_back(platform, file)
            for address in taken.landed:
                click.echo(address)
            if taken.outdated:
                click.echo(f"{taken.outdated} rows were left out: their file was replaced since.", err=True)
            click.echo(
                f"{taken.rows} rows landed. Load them with `salesmart run`." if taken.rows else "There was no row to take back.", err=True
            )


@cli.command(
    epilog=_examples(
        "salesmart report --month 2026-08 --open                        # the month, in the browser",
        "salesmart report --month 2026-08 --out august.xlsx             # only its Excel workbook",
        "salesmart report --date 2026-08-01                             # the day",
    )
)
@click.option("--date", "day", type=DATE, help="The daily report of this batch date.")
@click.option("--month", type=_Month(), metavar="MONTH", help="The monthly report of a month such as 2026-08, with its Excel workbook.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it here instead; a month's workbook goes beside it, or is all that is written if FILE ends in .xlsx.",
)
def report(day: date | None, month: date | None, show: bool, out: Path | None) -> None:
    """Make a report anew from the tables as they are, and print its address. Nothing is loaded."""
    if (day is None) == (month is None):
        raise UsageError("Name the report: --date YYYY-MM-DD for a day's, or --month YYYY-MM for a month's.")
    workbook_only = out is not None and out.suffix.lower() == ".xlsx"
    if workbook_only and day is not None:
        raise UsageError("A day has no workbook: give --out a name that ends in .html, or ask for its --month.")
    if out is not None and not out.absolute().parent.is_dir():
        raise UsageError(f"{out.absolute().parent} is no folder: nothing was written.")
    from salesmart_assets import terminal
    from salesmart_assets.batch import reporting
    from salesmart_assets.batch.platform import Platform

    workbook = ""
    with Platform(Settings.load()) as platform, terminal.narrated(_PLATFORM):
        if day is not None:
            reporting.refuse_empty_day(platform, day)
            address = reporting.store_daily(platform, day).page if out is None else str(out.absolute())
            if out is not None:
                with _whole(out) as target:
                    target.write(reporting.make_daily(platform, day).html.encode())
        elif month is not None:
            reporting.refuse_empty_month(platform, month)
            if out is None:
                stored = reporting.store_monthly(platform, month)
                address, workbook = stored.page, stored.workbook
            else:
                book = out.with_suffix(out.suffix if workbook_only else ".xlsx")
                made, content = reporting.make_monthly(platform, month, book.name)
                with _whole(book) as target:
                    target.write(content)
                address = str(out.absolute())
                if not workbook_only:
                    workbook = str(book.absolute())
                    with _whole(out) as target:
                        target.write(made.html.encode())
    click.echo(address)
    if workbook:
        click.echo(f"Excel workbook: {workbook}", err=True)
    if show:
        _open(address)


def _open(address: str) -> None:
    """Show a file in the browser, or say why that can't be done here: its address is printed in any case."""
    import webbrowser

    # Without a screen, Python would put a browser for text terminals in front of whoever asked.
    blind = sys.platform == "linux" and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if address.startswith("s3://"):
        click.echo("A browser can't open an address on S3: write the report to a file with --out FILE, and open that.", err=True)
    elif blind or not webbrowser.open(Path(address).as_uri()):
        click.echo("There is no browser here: open the address above where there is one.", err=True)


@cli.command(
    epilog=_examples(
        "salesmart publish                                              # a database that is new, restored or changed by hand",
        "salesmart publish --json",
    )
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array: every slice, and how many of its rows had to be put right.")
def publish(as_json: bool) -> None:
    """Compare the database with the lake, row by row, and put right what differs; readers see all of it at once.

    For a database that is new, was restored from a backup, or was changed by hand. Nothing is loaded.
    """
    from salesmart_assets import terminal
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.batch.publication import restore
    from salesmart_assets.publish.database import describe

    settings = Settings.load()
    with Platform(settings) as platform, terminal.narrated(_PLATFORM):
        found = restore(platform, f"publish-{secrets.token_hex(4)}")
    if as_json:
        terminal.print_json({c: getattr(item, c) for c in PUBLISH_COLUMNS} for item in found.slices)
    else:
        rows = [{c: getattr(item, c) for c in PUBLISH_COLUMNS} for item in found.differed]
        if rows:
            terminal.print_table(rows, PUBLISH_COLUMNS, title="Put right")
        click.echo(f"{len(found.slices)} slices compared with the lake, {len(rows)} put right in {describe(settings.marts_url)}.")
    if found.unsettled:
        months = ", ".join(month[:7] for month in found.unsettled)
        click.echo(f"Left out, because a batch is in the middle of them: {months}. `salesmart run` finishes and publishes them.", err=True)
        sys.exit(1)


@cli.command(
    epilog=_examples(
        'salesmart query "select * from sales_team_mart order by total_sales desc limit 10"',
        'salesmart query "select count(*) as lines from fact_sales" --format json',
    )
)
@click.argument("sql")
@click.option("--format", "kind", type=click.Choice(("table", "csv", "json")), default="table", show_default=True)
def query(sql: str, kind: str) -> None:
    """Run SQL over the lake; tables are named as in the graph, such as fact_sales or sales_team_mart."""
    from salesmart_assets import terminal
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.batch.query import run_query

    with Platform(Settings.load()) as platform:
        rows, columns = run_query(platform, sql)
    if kind == "json":
        terminal.print_json(rows)
    elif kind == "csv":
        terminal.print_csv(rows, columns)
    else:
        terminal.print_table(rows, columns, most=200 if terminal.out.is_terminal else None)


@cli.command(
    epilog=_examples(
        "salesmart reconcile                                            # everything",
        "salesmart reconcile --date 2026-08 --ledger-only               # a month, without reading its files again",
        "salesmart reconcile --date 2026-08-01 --mend                   # mark what differs; `salesmart run` mends it",
    )
)
@click.option(
    "--date",
    "spans",
    type=_DateOrMonth(),
    multiple=True,
    metavar="DATE_OR_MONTH",
    help="Only this batch date, or those of a month such as 2026-08; may be given several times.",
)
@click.option("--ledger-only", is_flag=True, help="Take the files' totals from the ledger: no object is read.")
@click.option("--mend", is_flag=True, help="Mark what differs as stale, so that the next `salesmart run` computes it anew.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of the differences.")
def reconcile(spans: Sequence[tuple[date, date]], ledger_only: bool, mend: bool, as_json: bool) -> None:
    """Count everything again, from file to database, and say which slice differs and what mends it. Exit 1 if one does."""
    from salesmart_assets import terminal
    from salesmart_assets.batch import recount
    from salesmart_assets.batch.platform import Platform

    with Platform(Settings.load()) as platform, terminal.narrated(_PLATFORM):
        dates = {day for span in spans for day in _batch_dates(platform, *span)}
        levels = list(recount.recount(platform, dates, read_files=not ledger_only))
        marked = recount.mark_stale(platform, levels) if mend else 0
    found = [{"level": d.level, "slice": d.slice, "says": d.says, "mend": d.mend} for level in levels for d in level.differences]
    counted = [
        {
            "level": level.name,
            "compared": level.compared,
            "left_out": level.left_out,
            "rows": level.totals.rows or None,
            "units": level.totals.quantity or None,
            "money": level.totals.money or None,
            "differences": len(level.differences),
        }
        for level in levels
    ]
    if as_json:
        terminal.print_json(found)
    else:
        terminal.print_table(counted, tuple(counted[0]), title="Counted")
        if found:
            terminal.out.print()
            terminal.print_table(found, tuple(found[0]), title="What differs")
    if mend:
        terminal.err.print(f"{marked} slices are marked: `salesmart run` computes them anew.")
    if found:
        sys.exit(1)


@cli.command(
    epilog=_examples(
        "salesmart maintain",
    )
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array of the tasks.")
def maintain(as_json: bool) -> None:
    """Upkeep: join small files, sum up logs, remove what no version within the retention shows, and old reports. No table changes."""
    from salesmart_assets import terminal
    from salesmart_assets.batch import upkeep
    from salesmart_assets.batch.platform import Platform

    rows = []
    with Platform(Settings.load()) as platform, terminal.narrated(_PLATFORM):
        for task in upkeep.maintain(platform, f"upkeep-{secrets.token_hex(8)}"):
            rows.append({"task": task.name, "ok": task.ok, "says": task.says, "seconds": task.seconds})
            if not as_json:
                terminal.err.print(f"{task.name}: {task.says}", style=None if task.ok else "red")
    if as_json:
        terminal.print_json(rows)
    if not all(row["ok"] for row in rows):
        sys.exit(1)


@cli.command(
    epilog=_examples(
        "salesmart doctor",
        "salesmart doctor --json",
    )
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array of the parts.")
def doctor(as_json: bool) -> None:
    """Every setting (secrets masked) and whether each part answers. Exit 2 if one does not."""
    from salesmart_assets import terminal
    from salesmart_assets.batch.doctor import examine, settings_table

    settings = Settings.load()
    parts = [{"part": p.name, "ok": p.ok, "says": p.says} for p in examine(settings)]
    if as_json:
        terminal.print_json(parts)
    else:
        terminal.print_table(settings_table(settings), ("setting", "value", "meaning"), title="Settings")
        terminal.out.print()
        terminal.print_table(parts, ("part", "ok", "says"), title="Parts")
    if not all(p["ok"] for p in parts):
        sys.exit(2)


@cli.group("secrets")
def secrets_() -> None:
    """Settings that are encrypted in a file, which may be committed; the key stays outside of the project."""


class _Setting(click.ParamType[str]):
    """A setting, as its variable; `database_url` is understood as well."""

    name = "setting"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value).upper().removeprefix(PREFIX)
        if name.lower() in Settings.model_fields:
            return PREFIX + name
        # What was given is not repeated: it may be NAME=VALUE.
        return self.fail("this is the name of no setting, such as database_url. `salesmart doctor` shows them all.", param, ctx)


_setting_argument = click.argument("setting", type=_Setting(), metavar="NAME")


@secrets_.command(
    "init",
    epilog=_examples(
        "salesmart secrets init",
    ),
)
def secrets_init() -> None:
    """Make a key and a file for encrypted settings; what is there already stays."""
    given = Settings.given(may_lack_file=True)
    made = sealing.begin(given)
    click.echo(f"Key   {given.key.place}{', made now' if made else ''}")
    click.echo(f"File  {short_path(given.file.path)}")
    if made:
        click.echo("Keep a copy of the key where your backups are: without it nothing can be decrypted.", err=True)


@secrets_.command(
    "encrypt",
    epilog=_examples(
        "salesmart secrets encrypt SALESMART_DATABASE_URL               # the value is asked for",
    ),
    context_settings={"allow_extra_args": True},
)
@_setting_argument
@click.pass_context
def secrets_encrypt(context: click.Context, setting: str) -> None:
    """Encrypt a setting's value, asked for or read from standard input, and put it into the file."""
    if context.args:
        raise UsageError("A value is not given on the command line, which others see and the shell keeps: it is asked for. Change it now.")
    given = Settings.given(may_lack_file=True)
    _ = given.key  # whoever lacks it need not type the value
    value = _typed(f"Value of {setting}")
    with sealing.alone(given):
        sealing.encrypt(Settings.given(may_lack_file=True), setting, value)
    click.echo(f"{setting} is encrypted in {short_path(given.file.path)}.")
    if setting in given.environment:
        click.echo(f"It is in the environment as well, which comes first: unset {setting}.", err=True)


def _typed(what: str) -> str:
    """A secret from the keyboard, not shown and asked for twice, or from standard input: a command line is seen by others."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, confirmation_prompt=True, err=True))
    try:
        text = sys.stdin.read()
        text.encode()
    except UnicodeError:
        # Where it is not read strictly, signs that are none come through. The error would quote the value.
        raise UsageError("What stands on standard input is no text in UTF-8: nothing was done.") from None
    return text.removesuffix("\n").removesuffix("\r")


@secrets_.command(
    "decrypt",
    epilog=_examples(
        "salesmart secrets decrypt SALESMART_DATABASE_URL",
    ),
)
@_setting_argument
def secrets_decrypt(setting: str) -> None:
    """Print a setting's value in the clear."""
    given = Settings.given()
    if setting not in given.references:
        raise UsageError(f"{setting} is not encrypted: `salesmart secrets check` lists those that are.")
    click.echo(given.open(setting))


@secrets_.command(
    "rotate",
    epilog=_examples(
        "salesmart secrets rotate",
    ),
)
def secrets_rotate() -> None:
    """Encrypt all values of the file with a new key; a new passphrase is asked for, or read from standard input."""
    given = Settings.given()
    _ = given.key
    passphrase = _typed("New passphrase") if given.has_passphrase else ""
    with sealing.alone(given):
        count = sealing.rotate(Settings.given(), passphrase)
    click.echo(f"{count} settings in {short_path(given.file.path)} are encrypted with a new key: {given.key.place}.")
    click.echo("Bring it to every machine that reads this file, together with the file.", err=True)
    if not given.has_passphrase:
        kept = short_path(old_keys(given.key_file))
        click.echo(f"The old key is in {kept}: delete it when nothing else needs it, such as the file of another project.", err=True)


@secrets_.command(
    "check",
    epilog=_examples(
        "salesmart secrets check",
    ),
)
def secrets_check() -> None:
    """Which settings are encrypted or in a vault, and whether each can be had. Exit 2 if one can't."""
    from salesmart_assets import terminal

    given = Settings.given()
    found = sealing.check(given, Settings.secrets())
    if found:
        rows = [{"setting": c.setting, "stands in": c.place, "is": c.kind, "opens": not c.fault} for c in found]
        terminal.print_table(rows, ("setting", "stands in", "is", "opens"))
    else:
        terminal.err.print("No setting is encrypted, in a vault, or a secret in the clear.")
    if not given.has_passphrase and open_to_others(given.key_file):
        click.echo(f"Others may read the key file {short_path(given.key_file)}: chmod 600 it.", err=True)
    for item in found:
        if item.fault:
            click.echo(f"salesmart: {item.fault}", err=True)
    if any(item.fault for item in found):
        sys.exit(2)


@cli.command(
    epilog=_examples(
        "salesmart logs --level error --since 1d                        # what went wrong since yesterday",
        "salesmart logs --date 2026-08-01 --format csv > log.csv        # a batch's lines, for a spreadsheet",
    )
)
@click.option("--level", type=click.Choice(("info", "warning", "error")), default="info", show_default=True, help="This level, and worse.")
@click.option("--since", type=_Since(), metavar="WHEN", help="From then on: 30m, 2h or 1d ago, or a date in UTC.")
@click.option("--date", "batch_date", type=DATE, help="Only lines about this batch date.")
@click.option("--run", "run_id", metavar="RUN", default="", help="Only lines of this run, by its id or the beginning of it.")
@click.option("--format", "kind", type=click.Choice(("text", "csv", "json")), default="text", show_default=True)
def logs(level: str, since: datetime | None, batch_date: date | None, run_id: str, kind: str) -> None:
    """What happened, oldest first: the log of all processes of this home, with run, batch date, step, duration, rows and bytes."""
    from salesmart_assets import terminal
    from salesmart_assets.logs import COLUMNS, Reading, read

    wanted = Reading(level, since, run_id, str(batch_date or ""))
    lines = read(Settings.load().logs_folder, wanted)
    if kind == "json":
        terminal.print_json(lines)
    elif kind == "csv":
        terminal.print_csv(lines, COLUMNS)
    else:
        terminal.print_log(lines)
    if wanted.damaged:
        click.echo(f"{wanted.damaged} damaged lines were left out: the disk was full, or the machine lost power.", err=True)


@cli.group()
def alerts() -> None:
    """Messages to people: by e-mail, to Slack, to any webhook. SALESMART_ALERT_… says to whom."""


@alerts.command(
    "test",
    epilog=_examples(
        "salesmart alerts test",
    ),
)
def alerts_test() -> None:
    """Send a test message to each channel that is set, and say how it went. Exit 2 if one did not arrive."""
    from salesmart_assets import terminal
    from salesmart_assets.alerts.tell import Alerts

    with Alerts(Settings.load()) as teller:
        if not teller.channels:
            raise UsageError(
                "No channel is set: give SALESMART_ALERT_EMAIL_TO with SALESMART_ALERT_SMTP_URL, SALESMART_ALERT_SLACK_URL or "
                "SALESMART_ALERT_WEBHOOK_URL."
            )
        rows = [{"channel": c.name, "to": c.to, "arrived": not why, "says": why} for c, why in teller.test()]
    terminal.print_table(rows, ("channel", "to", "arrived", "says"))
    if not all(row["arrived"] for row in rows):
        sys.exit(2)


@cli.command(
    epilog=_examples(
        "salesmart dev",
        "salesmart dev --read-only                                      # for analysts: nothing can be changed",
    )
)
@click.option("--read-only", is_flag=True, help="The UI changes nothing: for analysts.")
def dev(read_only: bool) -> None:
    """Dagster's UI with the daemon, the local S3 endpoint and the sensor on; Ctrl-C ends all."""
    from salesmart_assets.dev import serve

    sys.exit(serve(Settings.load(), read_only=read_only))


@cli.command(
    epilog=_examples(
        "salesmart demo",
    )
)
def demo() -> None:
    """Three days of data with known faults, from files to marts; run again, the next three days."""
    from salesmart_assets import terminal
    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.demo import run_demo

    with Platform(Settings.load()) as platform, terminal.narrated(*_NARRATORS):
        sys.exit(run_demo(platform))


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)
_SQLITE_DISK_ERROR = re.compile("full|readonly|disk I/O|unable to open")


def _disk_trouble(error: BaseException | None) -> str | None:
    """What the system or SQLite says of a disk that can't be written, somewhere behind an error of Dagster's or SQLAlchemy's."""
    while error is not None:
        full = isinstance(error, OSError) and error.errno in _DISK_ERRORS
        if full or (isinstance(error, sqlite3.OperationalError) and _SQLITE_DISK_ERROR.search(str(error))):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def main() -> None:
    """Entry point: one clear sentence and exit code 2 for what the caller can mend, 1 for a batch that failed."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "salesmart"
        click.echo(f"{name}: {error.format_message().rstrip('.')}. `{name} --help` says how it is used.", err=True)
        sys.exit(2)
    except click.Abort:
        click.echo("Interrupted. What was begun is finished or repaired by the next `salesmart run`.", err=True)
        sys.exit(130)
    except (UsageError, Unreachable, ContractError) as error:
        click.echo(f"salesmart: {error}", err=True)
        sys.exit(2)
    except SalesmartError as error:
        click.echo(f"salesmart: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        # A folder that can't be made or written, a full disk: what the system says is the cause, and the caller can mend it.
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"salesmart: {place}{error.strerror or error}. Check the path, its rights and the free space.", err=True)
        sys.exit(2)
    except Exception as error:
        from polars.exceptions import ComputeError

        if isinstance(error, ComputeError) and "parquet" in str(error):
            click.echo(
                f"salesmart: A file of the lake is damaged ({str(error).splitlines()[0]}). Restore it from a copy of the lake, or have the "
                "batches that its rows are of computed anew: salesmart run --date DATE_OR_MONTH",
                err=True,
            )
            sys.exit(1)
        cause = _disk_trouble(error)
        if cause is None:
            raise
        click.echo(
            f"salesmart: {Settings.load().root} can't be written ({cause}). Check its rights and the free space; what was begun is "
            "finished by the next `salesmart run`.",
            err=True,
        )
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
