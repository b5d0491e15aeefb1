"""The sensor on new S3 objects: pending = listing minus ledger, with no clock cursor that could skip one."""

import logging
from datetime import datetime, timezone

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SensorResult, SkipReason, sensor

from salesmart_assets.assets.step import PENDING, TAKE_TAG
from salesmart_assets.automation.jobs import load_batch
from salesmart_assets.automation.ticks import tick_of
from salesmart_assets.automation.turns import Runs, turns
from salesmart_assets.errors import SalesmartError, Unreachable, without_data
from salesmart_assets.logs import as_event, within
from salesmart_assets.resources import PlatformResource
from salesmart_assets.settings import Settings

_log = logging.getLogger(__name__)


@sensor(
    job=load_batch,
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Looks for objects in the landing zone that the ledger does not know as done, and asks for one run per batch date with "
        "something pending: so many at once, each date once in a while, and again after a pause where it failed."
    ),
)
def landing_sensor(context: SensorEvaluationContext, platform: PlatformResource) -> SensorResult | SkipReason:
    """One tick: list, compare with the ledger, ask for runs."""
    with tick_of("landing_sensor", context.log):
        return _look(Runs(context.instance, load_batch.name), platform)


def _look(runs: Runs, platform: PlatformResource) -> SensorResult | SkipReason:
    from sqlalchemy.exc import SQLAlchemyError

    from salesmart_assets.batch import attempts, landing
    from salesmart_assets.batch.publication import archive_finished

    try:
        with platform.open() as opened:
            before = runs.busy()
            for file in attempts.give_up(opened, before):
                with within(run_id=file.run_id or "", batch_date=str(file.batch_date)):
                    _log.error("%s: %s", file.address, file.reason, extra=as_event("file.given_up"))
            pending = landing.look(opened)
            if pending.set_aside:
                archive_finished(opened)
            settings = opened.settings
    except (SalesmartError, SQLAlchemyError) as failure:
        # A connection that breaks in the middle speaks in the driver's words.
        error = failure if isinstance(failure, SalesmartError) else Unreachable(f"The ledger's database fails: {type(failure).__name__}.")
        _log.error("Nothing could be looked at: %s", error, extra=as_event("look.failed"))
        _tell_of_look(error)
        return SkipReason(f"Nothing could be looked at: {error}")
    _tell_of_look(None)
    # Looking takes a while: what began or ended meanwhile counts as in progress.
    now = runs.busy()
    busy = [*now, *(day for day in set(before) - set(now))]
    found = turns(pending.batches, busy, runs, settings, _now())
    told = [f"{pending.new_objects} new objects; {len(pending.batches)} batches have something pending."]
    told += [found.why()] if found.why() else []
    if pending.set_aside:
        told.append(f"{len(pending.set_aside)} objects without a valid batch date were set aside.")
    if pending.ahead:
        told.append(f"Dated after today, and taken when it is their day: {', '.join(str(day) for day in pending.ahead)}.")
    if pending.strays:
        told.append(pending.told_of_strays())
    for fault in pending.faults:
        _log.warning("%s", fault)
    told += pending.faults
    if not found.now:
        return SkipReason(" ".join(told) if pending.batches or len(told) > 1 else "Nothing is pending.")
    _log.info("%d runs asked for. %s", len(found.now), " ".join(told))
    tags = {TAKE_TAG: PENDING}
    return SensorResult(run_requests=[RunRequest(run_key=key, partition_key=str(day), tags=tags) for day, key in found.now.items()])


def _tell_of_look(error: SalesmartError | None) -> None:
    """Have people told why nothing can be looked at, or that what they were told of that has ended; `alert_sensor` delivers it."""
    from salesmart_assets.alerts.tell import Alerts

    try:
        with Alerts(Settings.load()) as alerts:
            alerts.looked(error)
    except Exception as problem:  # noqa: BLE001 (whatever it is, files are loaded all the same)
        _log.error("Nobody could be told: %s", without_data(problem), extra=as_event("alert.lost"))


def _now() -> datetime:
    return datetime.now(timezone.utc)
