"""What the sensor promises, tick by tick, with a real endpoint, a real ledger and a real Dagster instance."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

import pytest
from dagster import DagsterRunStatus

from salesmart_assets.batch import locations
from salesmart_assets.batch.platform import Platform
from salesmart_assets_tests.automation.conftest import Watch

FIRST, SECOND, THIRD = "2026-08-01", "2026-08-02", "2026-08-03"
SECONDS = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def test_first_object_is_asked_for_at_once(watch: Watch) -> None:
    """A batch date that never ran is asked for with the first tick after its first object; an empty zone is skipped."""
    assert watch.tick() == {}
    assert watch.said == "Nothing is pending."
    watch.land(FIRST)
    assert list(watch.tick()) == [FIRST]
    assert watch.asked[0].tags == {"salesmart/take": "pending"}


def test_many_objects_of_one_timestamp(watch: Watch) -> None:
    """Objects with one and the same time are all seen, however they come: by the key of the run, and by the ledger."""
    folder = watch.platform.settings.root / "s3" / "salesmart" / "landing" / "sales" / f"dt={FIRST}"
    folder.mkdir(parents=True)
    keys = set()
    for number in range(30):
        path = folder / f"{number:02}.csv"
        path.write_text(str(number))
        os.utime(path, (1_750_000_000, 1_750_000_000))
        keys.add(watch.tick()[FIRST])
    assert len(keys) == 30
    watch.register(FIRST)
    assert len(watch.platform.ledger.files()) == 30
    assert len({f.last_modified for f in watch.platform.ledger.files()}) == 1


def test_same_pending_is_the_same_run(watch: Watch) -> None:
    """Asked twice about the same, the sensor gives the same key, so that Dagster starts one run."""
    for number in range(20):
        watch.land(FIRST, f"{number}.csv")
    assert watch.tick() == watch.tick()


def test_rewritten_key_is_new(watch: Watch) -> None:
    """A key that is written anew is pending again, under its batch date, after what was there had been loaded."""
    watch.land(FIRST, body=b"old")
    watch.register(FIRST)
    watch.finish()
    assert watch.tick() == {}
    watch.land(FIRST, body=b"new")
    assert list(watch.tick()) == [FIRST]


@pytest.mark.parametrize("status", [DagsterRunStatus.STARTED])
def test_run_in_progress_is_not_doubled(watch: Watch, status: DagsterRunStatus) -> None:
    """A date whose run is in progress is not asked for again, whatever lands; other dates are."""
    watch.land(FIRST)
    watch.land(SECOND)
    watch.run(FIRST, status)
    assert list(watch.tick()) == [SECOND]
    watch.run(SECOND, status)
    watch.land(FIRST, "later.csv")
    assert watch.tick() == {}
    assert "In progress: 2026-08-01, 2026-08-02." in watch.said


def test_at_most_so_many_runs_at_once(watch: Watch) -> None:
    """No more runs are asked for than the setting says, those in progress among them; the oldest batches come first."""
    watch.monkeypatch.setenv("SALESMART_SENSOR_RUNS", "3")
    days = [f"2026-07-{day:02}" for day in range(1, 13)]
    for day in days:
        watch.land(day)
    assert list(watch.tick()) == days[:3]
    watch.run(days[0], DagsterRunStatus.STARTED)
    watch.run(days[1], DagsterRunStatus.STARTED)
    assert list(watch.tick()) == [days[2]]
    watch.run(days[2], DagsterRunStatus.STARTED)
    assert watch.tick() == {}
    assert "free place" in watch.said


def test_files_that_land_all_day_are_taken_together(watch: Watch) -> None:
    """A date runs at most once in the interval; what lands meanwhile waits for its end, under one new key."""
    watch.monkeypatch.setenv("SALESMART_SENSOR_INTERVAL_SECONDS", "600")
    watch.land(FIRST)
    first = watch.tick()[FIRST]
    watch.register(FIRST)
    watch.finish()
    watch.run(FIRST, DagsterRunStatus.SUCCESS)
    watch.land(FIRST, "b.csv")
    watch.land(FIRST, "c.csv")
    watch.land(SECOND)
    assert list(watch.tick()) == [SECOND]
    watch.later = 599 * SECONDS
    assert FIRST not in watch.tick()
    watch.later = 601 * SECONDS
    assert watch.tick()[FIRST] != first


def test_failed_batch_waits_longer_each_time_and_is_given_up(watch: Watch) -> None:
    """A batch that fails is tried `max_attempts` times with doubled pauses, each under a new key, then given up; others go on."""
    watch.monkeypatch.setenv("SALESMART_SENSOR_INTERVAL_SECONDS", "1")
    watch.land(FIRST)
    keys = [watch.tick()[FIRST]]
    for pause in (60, 120):
        watch.fail(FIRST)
        watch.land(SECOND, f"{pause}.csv")
        watch.later = (pause - 5) * SECONDS
        assert list(watch.tick()) == [SECOND]
        watch.later = (pause + 5) * SECONDS
        keys.append(watch.tick()[FIRST])
    assert len(set(keys)) == 3
    watch.fail(FIRST)
    watch.later = timedelta(hours=2)
    watch.tick()
    assert [
        (f.outcome, "given up after 3 tries" in (f.reason or "")) for f in watch.platform.ledger.files() if str(f.batch_date) == FIRST
    ] == [("given_up", True)]
    assert FIRST not in watch.tick()


def test_running_batch_is_not_given_up(watch: Watch) -> None:
    """The last try is waited for: while it is in progress nothing is given up."""
    watch.land(FIRST)
    for _ in range(3):
        watch.register(FIRST)
    run = watch.run(FIRST, DagsterRunStatus.STARTED)
    watch.tick()
    assert [f.outcome for f in watch.platform.ledger.files()] == [None]
    watch.instance.report_run_failed(run)
    watch.tick()
    assert [f.outcome for f in watch.platform.ledger.files()] == ["given_up"]


def test_failure_before_anything_is_registered_waits_too(watch: Watch) -> None:
    """A run that fails before it counts a try in the ledger is not asked for with every tick either."""
    watch.land(FIRST)
    watch.run(FIRST, DagsterRunStatus.FAILURE)
    watch.run(FIRST, DagsterRunStatus.CANCELED)
    watch.later = 115 * SECONDS
    assert watch.tick() == {}
    assert "Failed, and wait before the next try: 2026-08-01 until" in watch.said
    watch.later = 125 * SECONDS
    assert list(watch.tick()) == [FIRST]


def test_clock_set_back_holds_nothing_for_ever(watch: Watch) -> None:
    """Runs and tries from the future of a clock that was set back count for nothing: the date is asked for at once."""
    watch.land(FIRST)
    watch.fail(FIRST)
    watch.land(SECOND)
    watch.run(SECOND, DagsterRunStatus.SUCCESS)
    assert watch.tick() == {}
    watch.later = -timedelta(days=400)
    assert list(watch.tick()) == [FIRST, SECOND]


def test_clock_set_forward_misses_nothing(watch: Watch) -> None:
    """Nothing is skipped when the clock jumps forward: what was held is asked for, and what lands later is seen."""
    watch.land(FIRST)
    watch.run(FIRST, DagsterRunStatus.SUCCESS)
    watch.later = timedelta(days=400)
    assert list(watch.tick()) == [FIRST]
    watch.later = timedelta()
    watch.land(SECOND)
    assert list(watch.tick()) == [SECOND]


def test_objects_of_a_clock_that_was_set_back(watch: Watch) -> None:
    """With this machine's clock a day behind, an object of today is not rejected for ever: it waits until its day has come."""
    today = datetime.now(timezone.utc).date()
    watch.land(str(today))
    watch.land(FIRST)
    with watch.monkeypatch.context() as patch:
        patch.setattr(Platform, "today", lambda _: today - timedelta(1))
        assert list(watch.tick()) == [FIRST]
    assert list(watch.tick()) == [FIRST, str(today)]
    assert watch.platform.ledger.files() == []


def test_bad_and_future_dates_reject_their_file_and_nothing_else(watch: Watch) -> None:
    """A dt= that is no date, too early, in the future or contradicted rejects that file; every other file is asked for."""
    future = datetime.now(timezone.utc).date() + timedelta(3)
    bad = ["2026-02-30", "yesterday", "", "2026-8-1", "1999-01-01", str(future), f"{FIRST}/dt={SECOND}"]
    for day in bad:
        watch.land(day)
    watch.land(FIRST)
    watch.land(THIRD)
    assert list(watch.tick()) == [FIRST, THIRD]
    files = watch.platform.ledger.files()
    assert len(files) == len(bad)
    assert {(f.status, f.outcome, (f.reason or "").split(":")[0]) for f in files} == {("I", "rejected", "file.batch_date")}
    assert list(watch.tick()) == [FIRST, THIRD]
    assert len(watch.platform.ledger.files()) == len(bad)


def test_other_depths_and_names(watch: Watch) -> None:
    """A batch's files are found below other folders and without a dt= folder, and those of other dates are left alone."""
    client = watch.platform.zone.client
    today = str(datetime.now(timezone.utc).date())
    for key in (
        f"store7/dt={FIRST}/a.csv",
        f"dt={FIRST}/till/b.csv",
        f"store7/x/dt={FIRST}/y/c.csv",
        f"dt={SECOND}/d.csv",
        "e.csv",
        "store7/f.csv",
    ):
        client.put_object(Bucket="salesmart", Key=f"landing/sales/{key}", Body=b"1")
    assert list(watch.tick()) == [FIRST, SECOND, today]
    for day, count in ((FIRST, 3), (SECOND, 4), (today, 6)):
        watch.register(day)
        assert len(watch.platform.ledger.files()) == count


def test_what_lies_in_no_sources_folder_is_told(watch: Watch) -> None:
    """A feed that lands under a name that is no source's is not read, and every tick says so; the others go on."""
    watch.land(FIRST, source="Sales")
    watch.platform.zone.client.put_object(Bucket="salesmart", Key="landing/loose.csv", Body=b"1")
    assert watch.tick() == {}
    assert "s3://salesmart/landing/Sales/, s3://salesmart/landing/loose.csv" in watch.said
    watch.land(FIRST)
    assert list(watch.tick()) == [FIRST]


def test_a_new_bucket_is_in_the_next_tick(watch: Watch) -> None:
    """A location is looked at from the tick after it was added, and not any more from the tick after it was disabled."""
    assert watch.tick() == {}
    locations.add(watch.platform, "stores", "s3://annex/stores", None)
    watch.platform.zone.client.put_object(Bucket="annex", Key=f"stores/dt={SECOND}/a.csv", Body=b"1")
    watch.land(FIRST)
    assert list(watch.tick()) == [FIRST, SECOND]
    locations.switch(watch.platform, "stores", "s3://annex/stores/", active=False)
    assert list(watch.tick()) == [FIRST]
    locations.switch(watch.platform, "stores", "s3://annex/stores", active=True)
    assert list(watch.tick()) == [FIRST, SECOND]


def test_a_missing_bucket_is_told_and_the_others_are_asked_for(watch: Watch) -> None:
    """A bucket that is missing is told by every tick until it is back; what is in the others is asked for."""
    locations.add(watch.platform, "stores", "s3://annex/stores", None)
    (watch.platform.settings.root / "s3" / "annex").rmdir()
    assert watch.tick() == {}
    assert "s3://annex failed: the bucket does not exist." in watch.said
    watch.land(FIRST)
    assert list(watch.tick()) == [FIRST]
    (watch.platform.settings.root / "s3" / "annex").mkdir()
    watch.run(FIRST, DagsterRunStatus.STARTED)
    assert watch.tick() == {}
    assert "annex" not in watch.said
