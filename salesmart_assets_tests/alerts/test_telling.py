"""One message for each cause, whatever is tried again, started again, or told at the same time by another process."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from salesmart_assets.alerts import FailedCheck, RunOutcome, StepFailure, book, channels, tell
from salesmart_assets.alerts.tell import Alerts
from salesmart_assets.errors import Unreachable
from salesmart_assets.settings import Settings
from salesmart_assets_tests.receivers import WebServer, web_server

AUDIT = StepFailure("fact_sales", "AuditFailed", "fact_sales: 2026-08-01 adds up to 15.00, staging to 15.01.", own=True)
GONE = "The database retail on db:3306 does not answer (error 2003): check host and port."


def failed(run: str, day: str, *failures: StepFailure, checks: tuple[FailedCheck, ...] = ()) -> RunOutcome:
    return RunOutcome(run, (day,), succeeded=False, failures=failures, checks=checks)


def done(run: str, day: str, *checks: FailedCheck) -> RunOutcome:
    return RunOutcome(run, (day,), succeeded=True, checks=checks)


def unreachable(error: int = 2003) -> StepFailure:
    return StepFailure("raw_sales", "Unreachable", GONE.replace("2003", str(error)), own=True)


def told(settings: Settings, *outcomes: RunOutcome) -> None:
    """Each as a process of its own would: opened, told, delivered, closed."""
    for outcome in outcomes:
        with Alerts(settings) as alerts:
            alerts.run_ended(outcome)
            alerts.deliver()


def test_a_cause_is_told_once_until_it_recurs(settings: Settings, web: WebServer) -> None:
    """A batch that fails again and again for one cause is told once, across restarts; when it fails again after a success, anew."""
    told(settings, *(failed(f"run-{number}", "2026-08-01", AUDIT) for number in range(3)))
    assert web.titles() == ["Batch 2026-08-01 failed"]
    assert web.got[0]["causes"][0].items() >= {"what": AUDIT.text, "where": "batch 2026-08-01, step fact_sales"}.items()
    assert web.got[0]["causes"][0]["link"] == "https://ui.example/runs/run-0"
    told(settings, done("run-3", "2026-08-01"), failed("run-4", "2026-08-01", AUDIT))
    assert web.titles() == ["Batch 2026-08-01 failed"] * 2


def test_one_cause_that_stops_many_batches_is_one_message(settings: Settings, web: WebServer) -> None:
    """A database that is gone is one message, however many batches fail for it; what is wrong with a batch itself is told of each."""
    told(settings, *(failed(f"run-{day}", f"2026-08-0{day}", unreachable(2000 + day)) for day in range(1, 6)))
    assert len(web.got) == 1
    told(settings, *(failed(f"run-1{day}", f"2026-08-0{day}", AUDIT) for day in range(1, 4)))
    assert web.titles()[1:] == [f"Batch 2026-08-0{day} failed" for day in range(1, 4)]
    told(settings, done("run-20", "2026-08-09"), failed("run-21", "2026-08-01", unreachable()), failed("run-22", "2026-08-02", AUDIT))
    assert len(web.got) == 5, "the database is told again, since a batch came through; the audit of the other batch is not mended"


def test_only_a_run_that_went_through_a_batch_ends_what_was_told_of_it(settings: Settings, web: WebServer) -> None:
    """A report that was made anew ends no failure of its batch; a month that was rebuilt ends those of its dates."""
    report = RunOutcome("run-1", ("2026-08-01",), succeeded=True, job="make_daily_report")
    told(settings, failed("run-0", "2026-08-01", AUDIT), report, failed("run-2", "2026-08-01", AUDIT))
    assert web.titles() == ["Batch 2026-08-01 failed"]
    month = tuple(f"2026-08-{day:02}" for day in range(1, 32))
    told(settings, RunOutcome("run-3", month, succeeded=True), failed("run-4", "2026-08-01", AUDIT))
    assert web.titles() == ["Batch 2026-08-01 failed"] * 2
    told(
        settings,
        RunOutcome("run-5", month, succeeded=False, failures=(AUDIT,)),
        replace(report, run_id="run-6", succeeded=False, failures=(AUDIT,)),
    )
    assert web.titles()[2:] == ["Batches 2026-08-01 to 2026-08-31 failed", "Run of make_daily_report for 2026-08-01 failed"]


def test_a_check_that_stops_a_run_is_the_cause(settings: Settings, web: WebServer) -> None:
    """A run that a blocking check stopped is told as that check, once; a check that fails in a run that goes on is told too."""
    check = FailedCheck("fact_sales", "reconciles_with_staging", "1 of 2 sale dates differ.", blocking=True)
    stopped = StepFailure("fact_sales_reconciles", "DagsterAssetCheckFailedError", "1 blocking check failed", own=True)
    told(settings, failed("run-1", "2026-08-01", stopped, checks=(check,)), failed("run-2", "2026-08-01", stopped, checks=(check,)))
    assert web.titles() == ["Check reconciles_with_staging of fact_sales failed for batch 2026-08-01"]
    unread = FailedCheck("mart_publication", "every_file_read", "1 files could not be read.", blocking=False)
    told(settings, done("run-3", "2026-08-01", unread), done("run-4", "2026-08-01", unread), failed("run-5", "2026-08-01", checks=(check,)))
    assert web.titles()[1:] == [
        "Check every_file_read of mart_publication failed for batch 2026-08-01",
        "Check reconciles_with_staging of fact_sales failed for batch 2026-08-01",
    ]


def test_what_an_unexpected_error_says_stays_here(settings: Settings, web: WebServer) -> None:
    """An error that may quote a row is named in a message, and not quoted."""
    told(settings, failed("run-1", "2026-08-01", StepFailure("stg_customers", "ArrowInvalid", "ArrowInvalid: 'Ann Smith'", own=False)))
    assert "Ann" not in str(web.got)
    assert web.got[0]["causes"][0]["what"] == "ArrowInvalid: the run's page has the details."


def test_nothing_to_be_seen_is_told_and_ends(settings: Settings, web: WebServer) -> None:
    """That nothing can be looked for is told once; after a look that went well, it would be told again."""
    for error in (Unreachable("S3 is away, try 1."), Unreachable("S3 is away, try 2."), None, Unreachable("S3 is away, try 1.")):
        with Alerts(settings) as alerts:
            alerts.looked(error)
            alerts.deliver()
    assert web.titles() == ["The landing zone or the ledger cannot be looked at"] * 2


def test_a_delivery_that_fails_twice_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that answers 500 twice gets the message with the third try, in the same turn."""
    monkeypatch.setattr(tell, "_PAUSES", (0.01, 0.02))
    with web_server(500, 500) as web:
        told(Settings.load(home=tmp_path, alert_webhook_url=web.address), failed("run-1", "2026-08-01", AUDIT))
        assert (web.asked, len(web.got)) == (3, 1)


def test_a_delivery_that_fails_waits_longer_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that does not arrive stays, across restarts, is tried after pauses that double, and given up after a day; runs go on."""
    monkeypatch.setattr(tell, "_PAUSES", (0.0,))
    now = time.time()
    monkeypatch.setattr(book.time, "time", lambda: now)
    with web_server(*[503] * 100) as web, caplog.at_level(logging.INFO, "salesmart_assets"):
        settings = Settings.load(home=tmp_path, alert_webhook_url=web.address)
        told(settings, failed("run-1", "2026-08-01", AUDIT))
        asked = []
        for pause in (59, 2, 118, 4, 23 * 3600, 3600, 3600):
            now += pause
            with Alerts(settings) as alerts:
                alerts.deliver()
                asked.append((web.asked, alerts.book.undelivered()))
        assert asked == [(2, 1), (4, 1), (4, 1), (6, 1), (8, 1), (10, 0), (10, 0)]
    told_of = [(r.levelname, r.getMessage()) for r in caplog.records if r.name.endswith("tell")]
    assert told_of[0] == ("WARNING", "webhook, 'Batch 2026-08-01 failed': 127.0.0.1 answers 503 Service Unavailable. Trying again in 60 s.")
    assert told_of[-1][0] == "ERROR"
    assert "given up after a day" in told_of[-1][1]
    assert "hidden-word" not in caplog.text


def test_a_channel_that_hangs_keeps_no_other_waiting(
    tmp_path: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While one receiver hangs, the others get their messages; what hung arrives when it answers again."""
    monkeypatch.setattr(channels, "_SECONDS", 0.2)
    monkeypatch.setattr(tell, "_PAUSES", ())
    with web_server(None) as hangs:
        settings = Settings.load(home=tmp_path, alert_webhook_url=web.address, alert_slack_url=hangs.address)
        told(settings, failed("run-1", "2026-08-01", AUDIT))
        assert (len(web.got), hangs.got) == (1, [])
        later = time.time() + 61
        monkeypatch.setattr(book.time, "time", lambda: later)
        with Alerts(settings) as alerts:
            alerts.deliver()
        assert (len(web.got), len(hangs.got)) == (1, 1)


def test_a_turn_ends_though_a_receiver_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn of deliveries ends in time, whatever a receiver does; the message is this process's until its claim runs out."""
    monkeypatch.setattr(tell, "_TURN_SECONDS", 0.2)
    with web_server(None) as hangs:
        settings = Settings.load(home=tmp_path, alert_webhook_url=hangs.address)
        told(settings, failed("run-1", "2026-08-01", AUDIT))
        with Alerts(settings) as alerts:
            assert (alerts.book.take("webhook"), alerts.book.undelivered()) == (None, 1)


def test_several_processes_tell_a_cause_once(settings: Settings, web: WebServer) -> None:
    """Processes that find the same cause at the same moment, and deliver at the same moment, tell it once."""
    start = threading.Barrier(6)

    def process() -> None:
        with Alerts(settings) as alerts:
            start.wait()
            alerts.run_ended(failed("run-1", "2026-08-01", AUDIT))
            alerts.deliver()

    threads = [threading.Thread(target=process) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(web.got) == 1


def test_without_a_channel_nothing_is_kept(tmp_path: Path) -> None:
    """Where nobody is to be told, no cause is opened: who is named later is told of what is then."""
    settings = Settings.load(home=tmp_path)
    told(settings, failed("run-1", "2026-08-01", AUDIT))
    with Alerts(settings) as alerts:
        assert (alerts.book.open_causes(), alerts.book.undelivered()) == ([], 0)
