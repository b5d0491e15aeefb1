"""What every asset shares: the partitions, how a step is run, and what it shows in the UI."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from time import monotonic
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    DailyPartitionsDefinition,
    Failure,
    MaterializeResult,
    MetadataValue,
    PartitionKeyRange,
    RetryRequested,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)

from salesmart_assets.batch.run import RESTATED, Report, Run
from salesmart_assets.contracts import Column, Table, build_tables, load_contracts
from salesmart_assets.errors import Permanent, Retryable, SalesmartError, without_data
from salesmart_assets.logs import as_event, within
from salesmart_assets.resources import PlatformResource
from salesmart_assets.settings import Settings
from salesmart_assets.transforms.lineage import NOTHING, Lineage, Origins, lineage

if TYPE_CHECKING:
    from salesmart_assets.batch.platform import Platform

OWNER = "team:retail-data"
TAKE_TAG = "salesmart/take"
"""Tag of a run that takes what is pending; a run without it, started by a person, rebuilds its batch."""
PENDING = "pending"
_RETRIES = 3
_PAUSE_SECONDS = 5
_ADDRESSES = ("pages", "workbooks")
"""Facts that are addresses of files for people; the latest is shown so that it can be copied."""
_log = logging.getLogger(__name__)

# Only files are read here: the package's contracts, and the user's own where SALESMART_CONTRACTS names a folder.
SETTINGS = Settings.load_graph()
CONTRACTS = load_contracts(SETTINGS.contracts)
TABLES = build_tables(CONTRACTS)
LINEAGE = lineage(CONTRACTS, TABLES)
PARTITIONS = DailyPartitionsDefinition(start_date=SETTINGS.first_batch_date.isoformat(), end_offset=1, timezone="UTC")


def batch_dates(tags: Mapping[str, str]) -> list[date]:
    """The batch dates of a run, by its tags: those of a range where it has several; none where it was started without any."""
    first = tags.get("dagster/asset_partition_range_start", tags.get("dagster/partition"))
    if first is None:
        return []
    last = tags.get("dagster/asset_partition_range_end", first)
    return [date.fromisoformat(key) for key in PARTITIONS.get_partition_keys_in_range(PartitionKeyRange(first, last))]


def column_schema(columns: Iterable[Column], key: tuple[str, ...] = (), made: Mapping[str, Origins] | None = None) -> TableSchema:
    """Columns as the UI shows them, each with what it is made of: Dagster's open-source UI shows `dagster/column_lineage` nowhere."""
    return TableSchema(
        columns=[
            TableColumn(
                c.name,
                c.type.name,
                _described(c, (made or {}).get(c.name, NOTHING)),
                constraints=TableColumnConstraints(nullable=c.nullable, unique=key == (c.name,)),
                tags={"pii": ""} if c.pii else {},
            )
            for c in columns
        ]
    )


def _described(column: Column, origins: Origins) -> str:
    """What a column means, and the columns that it is made of, as Markdown with links to their assets."""
    by_table: dict[str, list[str]] = {}
    for origin in sorted(origins):
        by_table.setdefault(origin.table, []).append(f"`{origin.column}`")
    made_of = "; ".join(f"[{table}](/assets/{table}) {', '.join(names)}" for table, names in by_table.items())
    return f"{column.description}\n\nMade of {made_of}." if made_of else column.description


def column_lineage(made: Lineage) -> TableColumnLineage:
    """What the columns of a table are made of, as Dagster knows it."""
    return TableColumnLineage({name: [TableColumnDep(o.table, o.column) for o in sorted(origins)] for name, origins in made.items()})


def described(meaning: str, table: Table) -> str:
    """What a table is and what one row of it is, as the first words that people read of it."""
    return f"{meaning} Grain: {table.grain}."


def table_metadata(table: Table, code: str) -> dict[str, Any]:
    """What the UI shows of a table before it was ever made. `code`: the module that makes it, as a path in the package."""
    made = LINEAGE.get(table.name)
    return {
        "dagster/column_schema": column_schema(table.columns, table.key, made),
        **({"dagster/column_lineage": column_lineage(made)} if made else {}),
        "dagster/table_name": table.name,
        "dagster/uri": f"{SETTINGS.lake_uri}/{table.name}",
        "code": code_at(code),
        "dictionary": MetadataValue.path(f"docs/data-dictionary.md#{table.name}"),
        "grain": table.grain,
        "key": ", ".join(table.key),
        "partitioned_by": ", ".join(table.partition_by) or "not partitioned",
    }


def code_at(path: str) -> MetadataValue[Any]:
    """Where in the package something is made."""
    return MetadataValue.path(f"salesmart_assets/{path}")


def run_step(
    context: AssetExecutionContext, platform: PlatformResource, step: Callable[[Platform, Run], Report], *, by_date: bool = False
) -> MaterializeResult[None]:
    """Run a step for the context's batch date, tell the log, and show what it did.

    A run of several dates, such as a month that is rebuilt, does a step `by_date` for one date after another; any other
    once, for all that the dates touch together.

    A fault that may pass is tried again after a pause; for any other the step fails at once, with the cause and the cure
    as the first line that people see.
    """
    days = [date.fromisoformat(key) for key in context.partition_keys]
    run_id, rebuild = context.run.run_id, context.run.tags.get(TAKE_TAG) != PENDING
    runs = [Run(day, run_id, rebuild) for day in days] if by_date else [Run(days[-1], run_id, rebuild, tuple(days[:-1]))]
    results = [_run_once(context, platform, step, run) for run in runs]
    if len(results) == 1:
        return MaterializeResult(metadata=results[0])
    for run, shown in zip(runs, results, strict=True):
        context.add_asset_metadata(shown, partition_key=run.batch_date.isoformat())
    return MaterializeResult()


def _run_once(
    context: AssetExecutionContext, platform: PlatformResource, step: Callable[[Platform, Run], Report], run: Run
) -> dict[str, Any]:
    name = context.asset_key.to_user_string()
    with within(run_id=run.run_id, batch_date=run.batch_date.isoformat(), step=name):
        _log.info("%s begins.", name, extra=as_event("step.started"))
        started = monotonic()
        try:
            with platform.open() as opened:
                try:
                    report = step(opened, run)
                    shown = {**_shown(report), **_table_now(opened, name, report)}
                except Permanent as error:
                    # Whoever asks the ledger why a file is not done gets the answer there, however the run was started.
                    for day in (run.batch_date, *run.others):
                        opened.ledger.failed(day, f"{name}: {error}")
                    raise
        except Exception as error:
            seconds = round(monotonic() - started, 3)
            if isinstance(error, Retryable) and context.retry_number < _RETRIES:
                _log.warning("%s Trying again in %d s.", error, _PAUSE_SECONDS, extra=as_event("step.retried", seconds=seconds))
                raise RetryRequested(max_retries=_RETRIES, seconds_to_wait=_PAUSE_SECONDS) from error
            _log.error("%s failed: %s", name, without_data(error), extra=as_event("step.failed", seconds=seconds))
            if isinstance(error, SalesmartError):
                raise Failure(str(error), allow_retries=False) from error
            raise
        seconds = round(monotonic() - started, 3)
        _log.info(
            "%s is done in %.1f s: %d rows, %d bytes.",
            name,
            seconds,
            report.rows,
            report.bytes,
            extra=as_event("step.ended", seconds=seconds, rows=report.rows, bytes=report.bytes),
        )
        restated = report.facts.get(RESTATED)
        if isinstance(restated, list) and restated:
            _log.info("Restated months: %s", ", ".join(restated))
    return {"seconds": seconds, **shown}


def _table_now(platform: Platform, name: str, report: Report) -> Mapping[str, Any]:
    """The table after the step: how many rows it has, and a few of those that the step made, personal data hidden."""
    if name not in platform.tables.by_name:
        return {}
    from salesmart_assets.batch.preview import preview

    snapshot = platform.lake.snapshot(name)
    rows = preview(snapshot, report.slices)
    return {"dagster/row_count": snapshot.rows, **({"preview": MetadataValue.md(rows)} if rows else {})}


def _shown(report: Report) -> Mapping[str, Any]:
    # Numbers stay numbers, and are there each time: the UI plots them from run to run.
    shown: dict[str, Any] = {"rows": report.rows, "bytes": report.bytes}
    if report.version is not None:
        shown["delta_version"] = report.version
    if report.slices:
        shown["slices"] = MetadataValue.json(list(report.slices))
    fact: Any
    for name, fact in report.facts.items():
        if name == "preview":
            shown[name] = MetadataValue.md(str(fact))
        elif name in _ADDRESSES and isinstance(fact, list) and fact:
            shown[name.removesuffix("s")] = MetadataValue.path(fact[-1])
            if len(fact) > 1:
                shown[name] = MetadataValue.json(fact)
        elif isinstance(fact, (int, float, str, bool)):
            shown[name] = fact
        else:
            shown[name] = MetadataValue.json(fact)
    return shown
