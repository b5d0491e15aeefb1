"""The sensor that tells people: of runs that failed, checks, rejections, late batches, and files that were given up."""

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from salesmart_assets.automation.outcomes import ended_lately, outcome_of
from salesmart_assets.automation.ticks import tick_of
from salesmart_assets.errors import SalesmartError, without_data
from salesmart_assets.logs import as_event, within
from salesmart_assets.resources import PlatformResource

if TYPE_CHECKING:
    from salesmart_assets.alerts.tell import Alerts

_log = logging.getLogger(__name__)


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Tells people, where SALESMART_ALERT_… names some, once of each cause: runs that failed, checks, rejected files and rows, files "
        "that were given up, batches that are late; and how the day went. It starts no runs."
    ),
)
def alert_sensor(context: SensorEvaluationContext, platform: PlatformResource) -> SkipReason:
    """One tick: look at the runs that have ended and at the ledger, and send what waits."""
    from sqlalchemy.exc import SQLAlchemyError

    from salesmart_assets.alerts.tell import Alerts

    with tick_of("alert_sensor", context.log), platform.open() as opened, Alerts(opened.settings) as alerts:
        tell_of_runs(context.instance, alerts)
        try:
            alerts.look(opened.ledger)
        except (SalesmartError, SQLAlchemyError) as error:
            # The sensor that looks for files has that told; here, what waits is delivered all the same.
            _log.warning("The ledger could not be looked at: %s", without_data(error))
        alerts.deliver()
        if not alerts.channels:
            return SkipReason("Nobody is told: SALESMART_ALERT_… names no channel.")
        waiting = alerts.book.undelivered()
        return SkipReason(f"{len(alerts.book.open_causes())} causes are open; {waiting} messages wait to be delivered.")


def tell_of_runs(instance: DagsterInstance, alerts: "Alerts", besides: Collection[str] = ()) -> None:
    """Write the ends of runs to the log and have people told of them: those that nobody has dealt with yet, besides these."""
    records = {record.dagster_run.run_id: record for record in ended_lately(instance)}
    new = alerts.book.unseen(records) - set(besides)
    for run_id in (run_id for run_id in records if run_id in new):
        outcome = outcome_of(instance, records[run_id])
        with within(run_id=run_id, batch_date=outcome.batch_dates[-1] if outcome.batch_dates else ""):
            what = f"{outcome.what[0].upper()}{outcome.what[1:]}"
            if outcome.succeeded:
                _log.info("%s: done.", what, extra=as_event("run.ended", seconds=outcome.seconds))
            else:
                _log.error("%s failed: %s", what, outcome.why(with_data=False), extra=as_event("run.failed", seconds=outcome.seconds))
            alerts.run_ended(outcome)
