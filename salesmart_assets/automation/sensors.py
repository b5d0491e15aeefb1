"""The sensor on new S3 objects: pending = listing minus ledger, with no clock cursor that could skip one."""

import hashlib
import time
from collections.abc import Iterable
from datetime import date

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from salesmart_assets.assets.step import PENDING, TAKE_TAG
from salesmart_assets.automation.jobs import load_batch
from salesmart_assets.errors import SalesmartError
from salesmart_assets.resources import PlatformResource

MOST_RUNS = 8
"""Runs asked for in one tick; the oldest batches come first, the others with the next ticks."""
_PAUSE_SECONDS = 600
_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


@sensor(
    job=load_batch,
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Looks for objects in the landing zone that the ledger does not know as done, and asks for one run per batch date with "
        "something pending."
    ),
)
def landing_sensor(context: SensorEvaluationContext, platform: PlatformResource) -> SensorResult | SkipReason:
    """One tick: list, compare with the ledger, ask for runs."""
    from salesmart_assets.batch import attempts, landing
    from salesmart_assets.batch.publication import archive_finished

    try:
        with platform.open(context.log.info) as opened:
            attempts.give_up(opened)
            pending = landing.look(opened)
            if pending.set_aside:
                archive_finished(opened)
    except SalesmartError as error:
        return SkipReason(f"Nothing could be looked at: {error}")
    busy = _busy_dates(context)
    waiting = [day for day in pending.batches if day.isoformat() not in busy]
    requests = [request(day, pending.batches[day], time.time()) for day in waiting[:MOST_RUNS]]
    aside = f" {len(pending.set_aside)} objects without a valid batch date were set aside." if pending.set_aside else ""
    if not requests:
        held = f" Batches {', '.join(sorted(busy))} are running." if busy else ""
        return SkipReason(f"Nothing is pending that is not running.{held}{aside}")
    context.log.info("%d new objects in %d batches; %d runs asked for.%s", pending.new_objects, len(pending.batches), len(requests), aside)
    return SensorResult(run_requests=requests)


def request(day: date, marks: Iterable[str], now: float) -> RunRequest:
    """The run of a batch date.

    A used run key never runs again, so the key carries what is pending, how often it was tried, and the ten minutes in
    which it is asked for: a batch whose last step failed without a change in the ledger is tried again after that.
    """
    key = hashlib.sha256("\n".join((*marks, str(int(now // _PAUSE_SECONDS)))).encode()).hexdigest()[:32]
    return RunRequest(run_key=f"{day.isoformat()}-{key}", partition_key=day.isoformat(), tags={TAKE_TAG: PENDING})


def _busy_dates(context: SensorEvaluationContext) -> set[str]:
    runs = context.instance.get_runs(RunsFilter(job_name=load_batch.name, statuses=_UNFINISHED))
    return {run.tags["dagster/partition"] for run in runs if "dagster/partition" in run.tags}
