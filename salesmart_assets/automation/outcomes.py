"""How runs ended, as Dagster's instance remembers it: what failed in them, and which checks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from dagster import AssetCheckSeverity, DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from salesmart_assets.alerts import FailedCheck, RunOutcome, StepFailure
from salesmart_assets.assets.step import batch_dates
from salesmart_assets.automation import jobs

LOOKED_BACK = timedelta(hours=1)
"""How far back runs are looked for: a daemon that rested longer tells no old stories."""
_READ = {DagsterEventType.STEP_FAILURE, DagsterEventType.ASSET_CHECK_EVALUATION, DagsterEventType.RUN_FAILURE}
_WHOLE = (jobs.load_batch.name, jobs.rebuild_month.name)
"""Jobs that go through all steps of their batches."""
_JOBS = (
    *_WHOLE,
    *(job.name for job in (jobs.publish_marts, jobs.make_daily_report, jobs.make_monthly_report, jobs.maintain)),
    "__ASSET_JOB",
)
"""The jobs of this platform; the last is Dagster's name for assets that somebody materializes by themselves."""


def ended_lately(instance: DagsterInstance) -> Iterator[RunRecord]:
    """Runs of this platform that succeeded or failed in the last hour, in the order in which they ended."""
    since = datetime.now(timezone.utc) - LOOKED_BACK
    statuses = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
    found = instance.get_run_records(RunsFilter(statuses=statuses, updated_after=since))
    yield from sorted((r for r in found if r.dagster_run.job_name in _JOBS), key=lambda r: r.end_time or 0.0)


def outcome_of(instance: DagsterInstance, record: RunRecord) -> RunOutcome:
    """What became of a run that has ended."""
    run = record.dagster_run
    failures: list[StepFailure] = []
    checks: list[FailedCheck] = []
    ended = ""
    for entry in instance.all_logs(run.run_id, of_type=_READ):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type is DagsterEventType.STEP_FAILURE:
            failures.append(_failure(event))
        elif event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            if not found.passed and found.severity is AssetCheckSeverity.ERROR:
                asset = found.asset_key.to_user_string()
                checks.append(FailedCheck(asset, found.check_name, found.description or "", blocking=bool(found.blocking)))
        else:
            ended = event.message or ""
    succeeded = run.status is DagsterRunStatus.SUCCESS
    if not succeeded and not failures:
        # Killed, out of memory, or a machine that is gone: what Dagster says of it does not tell which.
        failures.append(StepFailure("", "", f"No step failed: the run's process died, or was ended. {ended}".rstrip(), own=True))
    seconds = record.end_time - record.start_time if record.start_time and record.end_time else None
    dates = tuple(day.isoformat() for day in batch_dates(run.tags))
    job = "" if run.job_name in _WHOLE else run.job_name
    return RunOutcome(run.run_id, dates, succeeded, job, seconds, tuple(failures), tuple(checks))


def _failure(event: DagsterEvent) -> StepFailure:
    data = event.step_failure_data
    step, error, said = event.step_key or "", data.error, data.user_failure_data
    if said is not None and said.description:
        # Raised as `Failure` by the step itself, from an error of salesmart's own.
        cause = error.cause if error else None
        return StepFailure(step, (cause.cls_name if cause else None) or "", said.description.strip(), own=True)
    while error is not None and error.cause is not None:
        error = error.cause
    name = (error.cls_name if error else None) or ""
    return StepFailure(step, name, (error.message.strip() if error else "") or "unknown", own=name == "DagsterAssetCheckFailedError")
