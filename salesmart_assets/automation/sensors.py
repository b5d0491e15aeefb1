"""The sensor on new S3 objects: pending = listing minus ledger, with no clock cursor that could skip one."""

from datetime import datetime, timezone

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SensorResult, SkipReason, sensor

from salesmart_assets.assets.step import PENDING, TAKE_TAG
from salesmart_assets.automation.jobs import load_batch
from salesmart_assets.automation.turns import Runs, turns
from salesmart_assets.errors import SalesmartError
from salesmart_assets.resources import PlatformResource


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
    from salesmart_assets.batch import attempts, landing
    from salesmart_assets.batch.publication import archive_finished

    runs = Runs(context.instance, load_batch.name)
    try:
        with platform.open(context.log.info) as opened:
            before = runs.busy()
            for file in attempts.give_up(opened, before):
                context.log.warning("%s: %s", file.address, file.reason)
            pending = landing.look(opened)
            if pending.set_aside:
                archive_finished(opened)
            settings = opened.settings
    except SalesmartError as error:
        return SkipReason(f"Nothing could be looked at: {error}")
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
        context.log.warning("%s", fault)
    told += pending.faults
    if not found.now:
        return SkipReason(" ".join(told) if pending.batches or len(told) > 1 else "Nothing is pending.")
    context.log.info("%d runs asked for. %s", len(found.now), " ".join(told))
    tags = {TAKE_TAG: PENDING}
    return SensorResult(run_requests=[RunRequest(run_key=key, partition_key=str(day), tags=tags) for day, key in found.now.items()])


def _now() -> datetime:
    return datetime.now(timezone.utc)
