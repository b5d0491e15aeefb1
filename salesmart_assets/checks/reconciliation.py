"""The checks of the graph: thin; the rules stand in `batch.reconcile`."""

import logging
from collections.abc import Callable
from datetime import date
from time import monotonic
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    Failure,
    MetadataValue,
    asset_check,
)

from salesmart_assets.assets.step import batch_dates
from salesmart_assets.contracts import SOURCES
from salesmart_assets.contracts.tables import DIMENSIONS
from salesmart_assets.errors import SalesmartError
from salesmart_assets.logs import as_event, within
from salesmart_assets.resources import PlatformResource

if TYPE_CHECKING:
    from types import ModuleType

    from salesmart_assets.batch.platform import Platform
    from salesmart_assets.batch.reconcile import Finding

_log = logging.getLogger(__name__)

# A rule is given the module with the rules, which is loaded when a check runs and not when the graph is.
Rule = Callable[["ModuleType", "Platform", date], "Finding"]


def check_of(asset: str, name: str, protects: str, rule: Rule, *, warn_only: bool = False, blocking: bool = True) -> AssetChecksDefinition:
    """A check of one asset for the run's batch dates. What comes after is stopped by those that are `blocking` and no mere warning."""
    severity = AssetCheckSeverity.WARN if warn_only else AssetCheckSeverity.ERROR

    @asset_check(asset=asset, name=name, description=protects, blocking=blocking and not warn_only)
    def check(context: AssetCheckExecutionContext, platform: PlatformResource) -> AssetCheckResult:
        from salesmart_assets.batch import reconcile

        days = batch_dates(context.run.tags)
        where = {"run_id": context.run.run_id, "batch_date": str(days[-1]) if days else "", "step": asset}
        with within(**where), platform.open() as opened:
            started = monotonic()
            try:
                if len(days) > 1:
                    # Of a month, the dates that have files: on the others there is nothing to be found.
                    days = opened.ledger.batch_dates(days[0], days[-1]) or days[-1:]
                finding = reconcile.of_all({day: rule(reconcile, opened, day) for day in days or [date.max]})
            except SalesmartError as error:
                _log.error("%s of %s: %s", name, asset, error, extra=as_event("check.stopped"))
                raise Failure(str(error), allow_retries=False) from error
            level = logging.INFO if finding.passed else logging.WARNING if warn_only else logging.ERROR
            event = as_event("check.passed" if finding.passed else "check.failed", seconds=round(monotonic() - started, 3))
            _log.log(level, "%s of %s: %s", name, asset, finding.sentence, extra=event)
        metadata: dict[str, Any] = {"found": finding.sentence, **{k: _value(v) for k, v in finding.facts.items()}}
        return AssetCheckResult(passed=finding.passed, severity=severity, description=finding.sentence, metadata=metadata)

    return check


def _value(value: Any) -> Any:
    return value if isinstance(value, (int, str)) else MetadataValue.json(value)


def _accounted(source: str) -> Rule:
    return lambda rules, platform, day: rules.every_row_accounted(platform, source, day)


def _versions(dimension: str) -> Rule:
    return lambda rules, platform, _: rules.one_version_a_day(platform, dimension)


def _mart(mart: str) -> Rule:
    return lambda rules, platform, day: rules.mart_reconciles_with_fact(platform, mart, day)


ALL_CHECKS = [
    *(
        check_of(f"stg_{s}", "every_row_accounted", "No row of a file is lost: read = accepted + rejected + duplicate.", _accounted(s))
        for s in SOURCES
    ),
    check_of(
        "rejected_rows",
        "rejections_are_kept",
        "Every rejected row is kept, with its reasons.",
        lambda rules, platform, day: rules.rejections_are_kept(platform, day),
    ),
    *(
        check_of(
            d,
            "one_version_a_day",
            "A member has one version on each day, and one current one: sales join to it exactly once.",
            _versions(d),
        )
        for d in DIMENSIONS
    ),
    check_of(
        "dim_sales_person",
        "management_is_a_tree",
        "Sales roll up to the managers above: circles, managers who are no sellers and second heads are told, and the rest stands.",
        lambda rules, platform, day: rules.management_is_a_tree(platform, day),
        warn_only=True,
    ),
    check_of(
        "fact_sales",
        "reconciles_with_staging",
        "No sale is lost or counted twice: staged = fact + duplicates.",
        lambda rules, platform, day: rules.fact_reconciles_with_staging(platform, day),
    ),
    check_of(
        "fact_sales",
        "control_totals_agree",
        "No file is counted short or twice: its rows, units and money as read = staged = in the fact + duplicates.",
        lambda rules, platform, day: rules.control_totals_agree(platform, day),
    ),
    check_of(
        "fact_sales",
        "every_key_exists",
        "Each line joins to the one version it names in each dimension, or says by -1 that the member is unknown.",
        lambda rules, platform, day: rules.every_key_exists(platform, day),
    ),
    check_of(
        "fact_sales",
        "known_members",
        "Lines whose customer, store, product or seller nobody delivered yet: they count, under the natural id, and resolve by themselves.",
        lambda rules, platform, day: rules.known_members(platform, day),
        warn_only=True,
    ),
    check_of(
        "fact_sales",
        "stock_and_expiry",
        "Products that are sold though none is in stock, and those that expire soon or have expired: the daily report lists them, too.",
        lambda rules, platform, day: rules.stock_and_expiry(platform, day),
        warn_only=True,
    ),
    *(
        check_of(
            m, "reconciles_with_fact", "The mart adds up to what was sold: nobody is paid for sales that are not in the fact.", _mart(m)
        )
        for m in ("customer_mart", "sales_team_mart")
    ),
    check_of(
        "manager_mart",
        "reconciles_with_fact",
        "The teams add up to what was sold below each manager, as the management tree stood on the day of each sale.",
        lambda rules, platform, day: rules.teams_reconcile_with_fact(platform, day),
    ),
    check_of(
        "mart_publication",
        "every_file_read",
        "No object of the batch was passed over: one that the store refuses is tried again, and meanwhile told here.",
        lambda rules, platform, day: rules.every_file_read(platform, day),
        blocking=False,
    ),
    check_of(
        "mart_publication",
        "every_location_answers",
        "No bucket is forgotten: one that is missing or refused stops nothing else, and is told here until it answers or is disabled.",
        lambda rules, platform, _: rules.every_location_answers(platform),
        blocking=False,
    ),
    check_of(
        "mart_publication",
        "database_equals_lake",
        "What analysts read in the database is what the lake holds.",
        lambda rules, platform, _: rules.database_equals_lake(platform),
    ),
]
