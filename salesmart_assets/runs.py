"""Running the batch job from a terminal, in this process, with its history in Dagster's instance."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from importlib import resources
from time import monotonic

from dagster import DagsterExecutionInterruptedError, DagsterInstance, DagsterRunStatus, FloatMetadataValue, JsonMetadataValue, RunsFilter

from salesmart_assets import terminal
from salesmart_assets.alerts import RunOutcome
from salesmart_assets.alerts.tell import Alerts
from salesmart_assets.assets import ALL_ASSETS
from salesmart_assets.assets.step import PENDING, TAKE_TAG
from salesmart_assets.automation.alerts import tell_of_runs
from salesmart_assets.automation.outcomes import outcome_of
from salesmart_assets.automation.turns import PARTITION_TAG
from salesmart_assets.batch import landing
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.publication import archive_finished
from salesmart_assets.batch.reconcile import unread
from salesmart_assets.batch.run import RESTATED
from salesmart_assets.contracts import SOURCES
from salesmart_assets.definitions import defs
from salesmart_assets.errors import SalesmartError, UsageError, without_data
from salesmart_assets.logs import as_event, within
from salesmart_assets.publish.database import describe, for_dagster, open_database
from salesmart_assets.settings import PREFIX, Settings
from salesmart_assets.workers import PROCESS_TAG, alive, this_process

_DAGSTER_URL = f"{PREFIX}DAGSTER_URL"
_ON_MYSQL = f"""
# Everybody who uses this instance has the address in the environment; it stands in no file.
storage:
  mysql:
    mysql_url:
      env: {_DAGSTER_URL}
"""
_ON_SQLITE = """
# Dagster's own files, by connections that are kept; without these lines Dagster opens them anew for each event, which takes longer.
storage:
  custom:
    module: salesmart_assets.history
    class: LocalHistory
    config:
      base_dir:
        env: DAGSTER_HOME
"""
_MOST_ROUNDS = 3
_STEPS_SHOWN = 8
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_OPEN = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchRun:
    """How the run of one batch ended: `reason` is empty where it succeeded. `restated`: months, by their first days.

    `steps` are the seconds that each step took.
    """

    batch_date: date
    run_id: str
    seconds: float
    reason: str
    outcome: RunOutcome
    restated: frozenset[str] = frozenset()
    steps: Mapping[str, float] = field(default_factory=dict)


def prepare_home(settings: Settings) -> None:
    """Make Dagster's home, with the packaged `dagster.yaml` unless there is one already, and point Dagster at it.

    Raises `UsageError` where that file and `SALESMART_DAGSTER_URL` contradict each other, and `Unreachable` if that database is.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    target = home / "dagster.yaml"
    url = settings.dagster_database_url
    if target.exists() and bool(url) != (_DAGSTER_URL in re.sub(r"#.*", "", target.read_text("utf-8"))):
        raise UsageError(
            f"{_DAGSTER_URL} is {'set' if url else 'not set'}, but {target} {'does not name it' if url else 'names it'} as the place of "
            "Dagster's history. Set it accordingly, or move that file away: it is made anew, and the history begins anew where it then is."
        )
    if url:
        os.environ[_DAGSTER_URL] = _for_dagster(url)
    if not target.exists():
        packaged = resources.files("salesmart_assets.local").joinpath("dagster.yaml").read_text("utf-8")
        # Whole or not at all: half a file would be taken for the user's own.
        whole = home / f".dagster.yaml.{os.getpid()}"
        whole.write_text(packaged + (_ON_MYSQL if url else _ON_SQLITE), "utf-8")
        whole.replace(target)
    os.environ["DAGSTER_HOME"] = str(home)


def _for_dagster(url: str) -> str:
    """The address of Dagster's database by the driver that Dagster uses; the database is made if it does not exist."""
    if importlib.util.find_spec("dagster_mysql") is None:
        raise UsageError(f"{_DAGSTER_URL} needs one more package: pip install 'salesmart[mysql-instance]'.")
    driver, _, rest = url.partition("://")
    if driver.partition("+")[0] not in ("mysql", "mariadb"):
        raise UsageError(f"{_DAGSTER_URL} takes MySQL or MariaDB: mysql+pymysql://user:password@host/dagster.")
    address = f"mysql+pymysql://{rest}"
    open_database(address).dispose()
    return for_dagster(address)


@contextmanager
def instance(settings: Settings) -> Iterator[DagsterInstance]:
    """Dagster's instance of this home. Runs whose process is gone are marked as failed, so that none waits for them."""
    prepare_home(settings)
    with DagsterInstance.from_config(str(settings.dagster_home)) as opened:
        for run in opened.get_runs(RunsFilter(statuses=_OPEN)):
            if PROCESS_TAG in run.tags and not alive(run.tags[PROCESS_TAG]):
                why = "The process of this run ended without finishing it. What it left is repaired by the next run."
                with within(run_id=run.run_id, batch_date=run.tags.get(PARTITION_TAG, "")):
                    _log.error(why, extra=as_event("run.failed"))
                opened.report_run_failed(run, why)
        yield opened


def run_batch(opened: DagsterInstance, batch_date: date, *, rebuild: bool) -> BatchRun:
    """Run `load_batch` for one batch date in this process; never raises for a failed batch, but for one that was interrupted."""
    job = defs.resolve_job_def("load_batch")
    tags = {PROCESS_TAG: this_process()} | ({} if rebuild else {TAKE_TAG: PENDING})
    started = monotonic()
    with _interruptible():
        result = job.execute_in_process(
            instance=opened, partition_key=batch_date.isoformat(), tags=tags, run_config=_QUIET, raise_on_error=False
        )
    restated: set[str] = set()
    steps: dict[str, float] = {}
    for event in result.get_asset_materialization_events():
        took = event.materialization.metadata.get("seconds")
        if isinstance(took, FloatMetadataValue):
            steps[event.materialization.asset_key.to_user_string()] = took.value or 0.0
        months = event.materialization.metadata.get(RESTATED)
        restated |= set(months.value) if isinstance(months, JsonMetadataValue) and isinstance(months.value, list) else set()
    (record,) = opened.get_run_records(RunsFilter(run_ids=[result.run_id]))
    outcome = outcome_of(opened, record)
    return BatchRun(batch_date, result.run_id, monotonic() - started, outcome.why(with_data=True), outcome, frozenset(restated), steps)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C during a run reaches the caller as such, after Dagster has noted it.

    Dagster turns it into an error, which can be raised anywhere: in the middle of a step it is that step's failure, and in a
    library's callback it is swallowed. So what counts is whether the signal came.
    """
    with _signals() as came:
        try:
            yield
        except DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        if came() & {signal.SIGINT, signal.SIGTERM}:
            raise KeyboardInterrupt


@contextmanager
def _signals() -> Iterator[Callable[[], AbstractSet[int]]]:
    """What tells which signals came meanwhile; none are seen outside the main thread, where Python tells nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield frozenset
        return
    read, write = socket.socketpair()
    with read, write:
        read.setblocking(False)
        write.setblocking(False)
        before = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)

        def came() -> AbstractSet[int]:
            try:
                return frozenset(read.recv(4096))
            except BlockingIOError:
                return frozenset()

        try:
            yield came
        finally:
            signal.set_wakeup_fd(before)


def load(platform: Platform, dates: Sequence[date]) -> list[BatchRun]:
    """Run batches, with a plan before and progress meanwhile: the given dates again, or else all that is pending.

    What a batch leaves pending for another (a copy that counts now, for example) is taken too, until nothing is left; a
    batch that failed is not tried again.
    """
    done: list[BatchRun] = []
    with ExitStack() as stack:
        opened: DagsterInstance | None = None
        while True:
            batches = list(dates) or _waiting(platform, done)
            if not batches:
                return done
            if opened is None:
                opened = stack.enter_context(instance(platform.settings))
            _log.info(_plan(platform, batches, rebuild=bool(dates)))
            done += [_watched(platform, opened, day, rebuild=bool(dates)) for day in batches]
            if dates:
                return done


def _waiting(platform: Platform, done: Sequence[BatchRun]) -> list[date]:
    """Batch dates with something pending, without those that have just failed, or were run as often as can help."""
    pending = landing.look(platform)
    if pending.strays and not done:
        _log.warning(pending.told_of_strays())
    for file in pending.set_aside:
        _log.warning("Set aside %s: %s", file.address, file.reason, extra=as_event("file.set_aside"))
    if pending.set_aside or not pending.batches:
        # What a crash left finished but not moved is moved now.
        archive_finished(platform)
    failed = {item.batch_date for item in done if item.reason}
    tries = Counter(item.batch_date for item in done)
    return [day for day in pending.batches if day not in failed and tries[day] < _MOST_ROUNDS]


def _plan(platform: Platform, batches: Sequence[date], *, rebuild: bool) -> str:
    span = str(batches[0]) if len(batches) == 1 else f"{batches[0]} to {batches[-1]}"
    verb = "rebuild" if rebuild else "load"
    count = f"{len(batches)} batch{'es' if len(batches) > 1 else ''}"
    return f"Plan: {verb} {count} ({span}): land, stage, warehouse, marts, publish to {describe(platform.settings.marts_url)}, report."


def _watched(platform: Platform, opened: DagsterInstance, day: date, *, rebuild: bool) -> BatchRun:
    with terminal.steps_shown(str(day), len(ALL_ASSETS)):
        result = run_batch(opened, day, rebuild=rebuild)
    why = result.outcome.why(with_data=False)
    left = [] if result.reason else unread(platform, day)
    if left:
        # The rest of the batch is loaded; the run says all the same that something is not.
        why = f"{len(left)} files could not be read; the others are loaded. {left[0].reason}"
        result = replace(result, reason=why)
    with within(run_id=result.run_id, batch_date=str(day)):
        if result.reason:
            platform.ledger.failed(day, why)
            failed = f"Batch {day} failed after {result.seconds:.1f} s"
            _log.error("%s: %s", failed, why, extra=as_event("run.failed", seconds=result.seconds, shown=f"{failed}: {result.reason}"))
        else:
            _log.info("Batch %s done in %.1f s.", day, result.seconds, extra=as_event("run.ended", seconds=result.seconds))
    return result


def tell(platform: Platform, done: Sequence[BatchRun], error: SalesmartError | None = None) -> None:
    """Tell people what these runs did, and why nothing could be looked for; where that fails, the log says so, and no more happens."""
    try:
        with Alerts(platform.settings) as alerts:
            if alerts.channels:
                with instance(platform.settings) as opened:
                    # Runs of other processes too: one that died tells nobody itself.
                    tell_of_runs(opened, alerts, [item.run_id for item in done])
            for item in done:
                alerts.run_ended(item.outcome)
            alerts.looked(error)
            if error is None:
                alerts.look(platform.ledger)
            alerts.deliver()
    except Exception as problem:  # noqa: BLE001 (whatever it is, it is no fault of the batches that are done)
        _log.error("Nobody could be told: %s", without_data(problem), extra=as_event("alert.lost"))


def print_summary(platform: Platform, done: Sequence[BatchRun]) -> None:
    """What the runs did, for a stranger: files, rows and what became of them, seconds and speed."""
    runs = {item.run_id for item in done}
    files = [f for f in platform.ledger.files() if f.run_id in runs and f.superseded_by is None]
    columns = (
        "source",
        "files",
        "loaded",
        "rejected_files",
        "duplicate_files",
        "empty",
        "rows_read",
        "rows_accepted",
        "rows_rejected",
        "rows_duplicate",
    )
    rows: list[dict[str, object]] = []
    for source in SOURCES:
        mine = [f for f in files if f.source == source]
        outcomes = Counter(f.outcome for f in mine)
        if mine:
            rows.append(
                {
                    "source": source,
                    "files": len(mine),
                    "loaded": outcomes["loaded"],
                    "rejected_files": outcomes["rejected"],
                    "duplicate_files": outcomes["duplicate"],
                    "empty": outcomes["empty"],
                    **{c: sum(getattr(f, c) for f in mine) for c in columns[6:]},
                }
            )
    seconds = sum(item.seconds for item in done)
    read = sum(f.size for f in files)
    if rows:
        terminal.print_table(rows, columns, title="What came in")
    failed = [item for item in done if item.reason]
    loaded = len(done) - len(failed)
    terminal.out.print(
        f"\n{loaded} batch{'' if loaded == 1 else 'es'} loaded, {len(failed)} failed; {terminal.size(read)} in {seconds:.1f} s "
        f"({terminal.size(read / max(seconds, 0.001))}/s)."
    )
    terminal.out.print(_where_time_went(done))
    restated = sorted({month for item in done for month in item.restated})
    if restated:
        terminal.out.print(f"Restated months: {', '.join(month[:7] for month in restated)}")
    if any(f.rows_rejected or f.outcome == "rejected" for f in files):
        terminal.out.print("Rejected rows and files are kept with their reasons: `salesmart rejects`.")


def _where_time_went(done: Sequence[BatchRun]) -> str:
    """The steps that took most of the time, in a line; and what was none of a step's, which is Dagster's own."""
    total = sum(item.seconds for item in done)
    steps: dict[str, float] = {}
    for item in done:
        for name, seconds in item.steps.items():
            steps[name] = steps.get(name, 0.0) + seconds
    longest = sorted(steps.items(), key=lambda step: -step[1])
    shown = [f"{name} {seconds:.1f} s" for name, seconds in longest[:_STEPS_SHOWN]]
    rest = sum(seconds for _, seconds in longest[_STEPS_SHOWN:])
    between = max(0.0, total - sum(steps.values()))
    return f"Time: {', '.join(shown)}, other steps {rest:.1f} s, between steps {between:.1f} s."
