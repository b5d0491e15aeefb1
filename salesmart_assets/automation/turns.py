"""Whose turn it is: which of the batches that wait are run now, and why the others are not.

Time is only ever compared with what is not later than now: a clock that was set back holds nobody for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

if TYPE_CHECKING:
    from salesmart_assets.batch.landing import Waiting
    from salesmart_assets.settings import Settings

PARTITION_TAG = "dagster/partition"
LONGEST_PAUSE_SECONDS = 3600.0
"""Pauses double up to this, or to `retry_seconds` where that is longer."""
_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_FAILED = (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
_RECORDS = 20
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one job, as Dagster's instance remembers them."""

    instance: DagsterInstance
    job: str

    def busy(self) -> list[date]:
        """Batch dates with a run that is queued or in progress, one for each such run."""
        runs = self.instance.get_runs(RunsFilter(job_name=self.job, statuses=_UNFINISHED))
        return [date.fromisoformat(run.tags[PARTITION_TAG]) for run in runs if PARTITION_TAG in run.tags]

    def of(self, day: date) -> list[RunRecord]:
        """The latest runs of a batch date, newest first."""
        found = self.instance.get_run_records(RunsFilter(job_name=self.job, tags={PARTITION_TAG: day.isoformat()}), limit=_RECORDS)
        return list(found)


@dataclass(slots=True)
class Turns:
    """The batches to run now, with a key each; and what keeps the others."""

    now: dict[date, str] = field(default_factory=dict)
    running: list[date] = field(default_factory=list)
    resting: dict[date, datetime] = field(default_factory=dict)
    retrying: dict[date, datetime] = field(default_factory=dict)
    later: list[date] = field(default_factory=list)

    def why(self) -> str:
        """What keeps the batches that are not run now, in sentences; empty if none is kept."""
        told = []
        if self.running:
            told.append(f"In progress: {_named(self.running)}.")
        if self.resting:
            told.append(f"Ran a moment ago, and gather what still lands: {_until(self.resting)}.")
        if self.retrying:
            told.append(f"Failed, and wait before the next try: {_until(self.retrying)}.")
        if self.later:
            told.append(f"Wait for a free place among the runs: {_named(self.later)}.")
        return " ".join(told)


def turns(waiting: dict[date, Waiting], busy: list[date], runs: Runs, settings: Settings, now: datetime) -> Turns:
    """Decide, oldest batch first. `busy` has one entry for each run in progress; `now` is in UTC."""
    found = Turns()
    free = max(settings.sensor_runs - len(busy), 0)
    for day, batch in waiting.items():
        if day in busy:
            found.running.append(day)
            continue
        if free == 0:
            found.later.append(day)
            continue
        records = runs.of(day)
        rest = _rest_until(records, settings, now)
        retry = _retry_until(batch, records, settings, now)
        if retry is not None and (rest is None or retry >= rest):
            found.retrying[day] = retry
        elif rest is not None:
            found.resting[day] = rest
        else:
            # A used key never runs again: with the last run in it, it is a new one after each run, whatever the clock says.
            last = records[0].dagster_run.run_id if records else "first"
            found.now[day] = f"{day.isoformat()}-{batch.mark}-{last[:8]}"
            free -= 1
    return found


def _rest_until(records: list[RunRecord], settings: Settings, now: datetime) -> datetime | None:
    created = [r.create_timestamp.astimezone(timezone.utc) for r in records]
    ends = [t + timedelta(seconds=settings.sensor_interval_seconds) for t in created if t <= now]
    return _ahead(max(ends, default=None), now)


def _retry_until(batch: Waiting, records: list[RunRecord], settings: Settings, now: datetime) -> datetime | None:
    failed = []
    for record in records:
        if record.dagster_run.status not in _FAILED:
            break
        failed.append(record)
    tries = max(batch.tries, len(failed))
    ended = [
        datetime.fromtimestamp(r.end_time, timezone.utc) if r.end_time else r.create_timestamp.astimezone(timezone.utc) for r in failed
    ]
    moments = [t for t in (*ended, batch.tried_at) if t is not None and t <= now]
    if not tries or not moments:
        return None
    longest = max(LONGEST_PAUSE_SECONDS, settings.retry_seconds)
    return _ahead(max(moments) + timedelta(seconds=min(settings.retry_seconds * 2 ** (tries - 1), longest)), now)


def _ahead(moment: datetime | None, now: datetime) -> datetime | None:
    return moment if moment is not None and moment > now else None


def _named(days: list[date]) -> str:
    more = f" and {len(days) - _NAMED} more" if len(days) > _NAMED else ""
    return ", ".join(str(day) for day in days[:_NAMED]) + more


def _until(held: dict[date, datetime]) -> str:
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    return ", ".join(f"{day} until {moment:%H:%M:%S} UTC" for day, moment in list(held.items())[:_NAMED]) + more
