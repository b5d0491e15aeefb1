"""What the ledger says that people must be told, on each database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from salesmart_assets.alerts import watch
from salesmart_assets.alerts.tell import Alerts
from salesmart_assets.errors import Unreachable
from salesmart_assets.ledger import Ledger, Location, Review
from salesmart_assets.ledger.schema import ingest_file
from salesmart_assets.publish.database import open_database
from salesmart_assets.settings import SOURCE_NAMES, Settings
from salesmart_assets_tests.receivers import WebServer

NOW = datetime(2026, 8, 10, 12, tzinfo=timezone.utc)
DAY = date(2026, 8, 1)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    engine = open_database(database_url)
    opened = Ledger(engine)
    opened.create()
    yield opened
    engine.dispose()


def enter(ledger: Ledger, name: str, **values: Any) -> int:
    """A finished file of sales in the ledger, loaded just now unless `values` say otherwise; returns its number."""
    now = NOW.replace(tzinfo=None)
    identity = uuid.uuid4().hex * 2
    row = {
        "identity": identity,
        "key_hash": identity,
        "source": "sales",
        "bucket": "b",
        "key": f"landing/sales/{name}",
        "etag": "e",
        "size": 1,
        "last_modified": now,
        "current_key": name,
        "current_etag": "e",
        "batch_date": DAY,
        "status": "I",
        "stage": "published",
        "outcome": "loaded",
        "run_id": "run-1",
        "first_seen": now,
        "updated_at": now,
        "finished_at": now,
        **values,
    }
    with ledger.engine.begin() as connection:
        return int(connection.execute(sa.insert(ingest_file).values(row)).inserted_primary_key[0])


def change(ledger: Ledger, number: int, **values: Any) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(ingest_file).where(ingest_file.c.file_id == number).values(values))


def found(ledger: Ledger, told: list[str] = [], now: datetime = NOW, **settings: Any) -> list[str]:  # noqa: B006 (never changed)
    """What is wrong, by title."""
    return [cause.title for cause in watch.causes(Review(ledger.engine), Settings.load(**settings), now, told)]


def test_files_that_were_rejected_or_given_up(ledger: Ledger) -> None:
    """A file rejected whole, set aside or given up is told; one that was replaced, or that a run is reading again, is not."""
    bad = enter(ledger, "bad.csv", outcome="rejected", reason="file.header: its first line cannot be read as a header")
    enter(ledger, "stray.csv", outcome="rejected", batch_date=None, reason="file.batch_date: 2026-02-31 is no date")
    enter(ledger, "lost.csv", outcome="given_up", reason="given up after 3 tries: the run failed")
    enter(ledger, "good.csv")
    enter(ledger, "replaced.csv", outcome="rejected", superseded_by=1)
    enter(ledger, "read again.csv", outcome="rejected", status="A")
    titles = ["File bad.csv was rejected whole", "File stray.csv was rejected whole", "File lost.csv was given up"]
    assert found(ledger) == titles
    (cause, *_) = watch.causes(Review(ledger.engine), Settings.load(), NOW, [])
    later = NOW + timedelta(days=2)
    assert found(ledger, now=later) == []
    assert found(ledger, [cause.key], later) == titles[:1], "what is told stays so until it is mended"
    change(ledger, bad, superseded_by=99)
    assert found(ledger, [cause.key], later) == []


def test_too_many_rows_rejected(ledger: Ledger) -> None:
    """A batch's rejected rows are told where their share is over the setting; rows that were mended do not count any more."""
    first = enter(ledger, "a.csv", rows_read=90, rows_rejected=5)
    assert found(ledger, alert_rejected_ratio=0.06) == []
    assert found(ledger) == ["5.6% of the rows of sales in batch 2026-08-01 were rejected"]
    enter(ledger, "b.csv", rows_read=10, rows_rejected=0)
    assert found(ledger) == [], "5 of 100 is not more than 5 %"
    change(ledger, first, rows_rejected=6)
    assert found(ledger) == ["6.0% of the rows of sales in batch 2026-08-01 were rejected"]
    enter(ledger, "mended.csv", rows_read=1, rows_staged=1, replay_of=first)
    assert found(ledger) == []
    enter(ledger, "customers.csv", source="customers", rows_read=2, rows_rejected=2)
    assert found(ledger) == ["100.0% of the rows of customers in batch 2026-08-01 were rejected"]
    assert found(ledger, now=NOW + timedelta(days=2)) == []
    assert len(found(ledger, ["share/customers/2026-08-01"], NOW + timedelta(days=2))) == 1


def test_a_batch_that_does_not_come(ledger: Ledger) -> None:
    """A source whose batch is not loaded at its deadline is told, from the first batch that ever came on; not before it is due."""
    due = {"alert_deadlines": "sales=30"}
    assert found(ledger, **due) == ["sales of 2026-08-09 did not come in time"], "where none ever came, the last one is missed"
    enter(ledger, "a.csv", batch_date=date(2026, 8, 8))
    assert found(ledger, **due) == ["sales of 2026-08-09 did not come in time"]
    assert found(ledger, now=NOW.replace(hour=5), **due) == []
    bad = enter(
        ledger, "b.csv", batch_date=date(2026, 8, 9), outcome="rejected", reason="file.header: none", finished_at=datetime(2026, 8, 1)
    )
    (cause,) = watch.causes(Review(ledger.engine), Settings.load(**due), NOW, [])
    assert cause.what == "1 files have come, and none is loaded: file.header: none. Its deadline was 30 hours after the day began, in UTC."
    change(ledger, bad, outcome="empty")
    assert found(ledger, **due) == []
    assert found(ledger, now=NOW + timedelta(days=2), **due) == [f"sales of 2026-08-{day} did not come in time" for day in (10, 11)]


def test_the_word_of_the_day(ledger: Ledger, tmp_path: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a day, from its time on, comes the word that all went well, with figures; or what is not well, if something is not."""
    enter(ledger, "a.csv", rows_read=10, rows_accepted=9, rows_duplicate=1)
    enter(ledger, "b.csv", outcome="empty", batch_date=date(2026, 8, 2))
    enter(ledger, "old.csv", rows_read=7, finished_at=datetime(2026, 8, 1))
    moment = NOW

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return moment

    monkeypatch.setattr("salesmart_assets.alerts.tell.datetime", Clock)
    settings = Settings.load(home=tmp_path / "home", alert_webhook_url=web.address, alert_daily_at="12:30")
    titles = []
    for minutes in (0, 29, 30, 31, 24 * 60):
        moment = NOW + timedelta(minutes=minutes)
        with Alerts(settings) as alerts:
            alerts.look(ledger)
            alerts.deliver()
        titles.append(web.titles()[-1] if web.got else "")
    assert titles == ["", "", "All went well, 2026-08-10", "All went well, 2026-08-10", "All went well, 2026-08-10"]
    assert web.got[0]["causes"][0]["what"] == (
        "In the last 24 hours: files: 1 empty, 1 loaded; batches: 2; rows: 10 read, 9 accepted, 0 rejected, 1 duplicate."
    )
    enter(ledger, "c.csv", outcome="rejected", reason="file.header: none", finished_at=datetime(2026, 8, 11, 12))
    moment = NOW + timedelta(days=1, minutes=31)
    with Alerts(settings) as alerts:
        alerts.look(ledger)
        alerts.deliver()
    assert web.titles()[1:] == ["File c.csv was rejected whole", "Not all went well, 2026-08-11"]
    assert web.got[-1]["causes"][0]["what"].endswith("Told before, and still so:\n- File c.csv was rejected whole")


def test_a_place_that_cannot_be_looked_at(ledger: Ledger, tmp_path: Path, web: WebServer) -> None:
    """One of several places that cannot be looked at is told once, until it can be; where none can, that is the one cause."""
    tills = Location("sales", "tills", "drop/")
    settings = Settings.load(home=tmp_path / "home", alert_webhook_url=web.address)

    def look(fault: str, everything: str = "") -> list[str]:
        ledger.locations.note({tills: fault} if fault else {}, [] if fault else [tills])
        with Alerts(settings) as alerts:
            alerts.looked(Unreachable(everything) if everything else None)
            alerts.look(ledger)
            alerts.deliver()
        return web.titles()

    away = "s3://tills/drop/ cannot be looked at"
    assert look("", "S3 is away.") == ["The landing zone or the ledger cannot be looked at"]
    assert look("The store is away.", "S3 is away.")[1:] == []
    assert look("The bucket is refused.")[1:] == [away]
    assert look("The bucket is refused.")[1:] == [away]
    assert look("")[1:] == [away]
    assert look("The bucket is refused.")[1:] == [away, away]


def test_deadlines_are_of_the_sources() -> None:
    """The settings know the sources that there are contracts for."""
    from salesmart_assets.contracts import SOURCES

    assert SOURCE_NAMES == SOURCES
