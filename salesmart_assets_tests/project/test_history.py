"""Dagster's history by connections that are kept: the same files, seen by everybody at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster
import pytest
import sqlalchemy as sa
from dagster import AssetKey, DagsterEventType, DagsterInstance, EventLogEntry

from salesmart_assets.history import Events
from salesmart_assets.runs import prepare_home
from salesmart_assets.settings import Settings


@dagster.asset
def till() -> None:
    """Rows."""


@dagster.asset_check(asset=till)
def is_there() -> dagster.AssetCheckResult:
    return dagster.AssetCheckResult(passed=True)


JOB = dagster.Definitions([till], asset_checks=[is_there], jobs=[dagster.define_asset_job("tills")]).resolve_job_def("tills")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an instance as `salesmart` makes it."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    settings = Settings.load(home=tmp_path)
    prepare_home(settings)
    return settings.dagster_home


@contextmanager
def plain(home: Path) -> Iterator[DagsterInstance]:
    """The same folder as Dagster's own storage sees it."""
    file = home / "dagster.yaml"
    ours = file.read_text("utf-8")
    file.write_text(ours.partition("\nstorage:")[0], "utf-8")
    try:
        with DagsterInstance.from_config(str(home)) as instance:
            assert not isinstance(instance.event_log_storage, Events)
            yield instance
    finally:
        file.write_text(ours, "utf-8")


def told(instance: DagsterInstance, run_id: str) -> list[tuple[str, str]]:
    """All that is known of a run: its state and events, those of the index among them."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    key = AssetKey("till")
    event = instance.get_latest_materialization_event(key)
    assert event is not None
    (check,) = instance.event_log_storage.get_asset_check_execution_history(next(iter(JOB.asset_layer.asset_graph.asset_check_keys)), 1)
    entries = [(str(entry.step_key), entry.message) for entry in instance.all_logs(run_id)]
    return [("state", run.status.value), ("of", event.run_id), ("check", check.status.value), *entries]


def test_history_is_read_by_either_storage(home: Path) -> None:
    """What is told by kept connections is what Dagster's own storage tells, whichever of them wrote it."""
    with DagsterInstance.from_config(str(home)) as instance:
        assert isinstance(instance.event_log_storage, Events)
        first = JOB.execute_in_process(instance=instance).run_id
        ours = told(instance, first)
        with plain(home) as dagsters:
            # While the other is open.
            assert told(dagsters, first) == ours
            second = JOB.execute_in_process(instance=dagsters).run_id
            theirs = told(dagsters, second)
        assert told(instance, second) == theirs
        assert len(ours) == len(theirs) > 5
        instance.delete_run(first)
        instance.wipe()
        assert not instance.get_runs_count()
        assert not instance.all_logs(second)
        assert told(instance, JOB.execute_in_process(instance=instance).run_id)[0] == ("state", "SUCCESS")


def test_connections_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The databases that all runs share are opened once, and so many runs' databases as there may be are forgotten again."""
    with DagsterInstance.from_config(str(home)) as instance:
        JOB.execute_in_process(instance=instance)
        opened: list[str] = []
        make = sa.create_engine

        def noted(url: str, **options: object) -> sa.Engine:
            opened.append(url.rsplit("/", 1)[-1])
            return make(url, **options)

        monkeypatch.setattr(sa, "create_engine", noted)
        runs = [JOB.execute_in_process(instance=instance).run_id for _ in range(12)]
        assert sorted(opened) == sorted(f"{run}.db" for run in runs)
        assert isinstance(instance.event_log_storage, Events)
        assert len(instance.event_log_storage._engines) <= 9
        assert all(told(instance, run)[0] == ("state", "SUCCESS") for run in runs)


def test_a_run_can_be_watched(home: Path) -> None:
    """Who watches a run, as the UI does, hears of its events while it is going on in another process's storage."""
    with DagsterInstance.from_config(str(home)) as watching, DagsterInstance.from_config(str(home)) as working:
        run = watching.create_run_for_job(JOB)
        came = threading.Event()

        def hear(entry: EventLogEntry, _: str) -> None:
            if entry.message == "The till is open.":
                came.set()

        watching.watch_event_logs(run.run_id, None, hear)
        working.report_engine_event("The till is open.", run)
        assert came.wait(60), "nothing was heard"
        watching.end_watch_event_logs(run.run_id, hear)


def test_many_threads_write_at_once(home: Path) -> None:
    """Threads of one process, and those of another storage on the same files, all find their events again."""
    with DagsterInstance.from_config(str(home)) as one, DagsterInstance.from_config(str(home)) as other:
        runs = [one.create_run_for_job(JOB) for _ in range(3)]

        def write(instance: DagsterInstance, name: str) -> Callable[[], None]:
            def all_of_them() -> None:
                for number in range(8):
                    for run in runs:
                        instance.report_engine_event(f"{name} {number}", run)
                    instance.create_run_for_job(JOB, tags={"by": name})

            return all_of_them

        threads = [threading.Thread(target=write(instance, f"{at}{name}")) for at, instance in enumerate((one, other)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run in runs:
            events = [entry.message for entry in other.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)]
            assert sorted(events) == sorted(f"{at}{name} {number}" for at in (0, 1) for name in "ab" for number in range(8))
        assert one.get_runs_count() == len(runs) + 4 * 8
