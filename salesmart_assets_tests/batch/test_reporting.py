"""Reports are made from the tables as they are, and stored where people look for them."""

from __future__ import annotations

import uuid
from datetime import date
from pathlib import Path

import pytest

from salesmart_assets.batch import reporting
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.lake.lake import Lake
from salesmart_assets_tests.batches import HEADER, Batches, load

DAY, MONTH = date(2026, 8, 1), date(2026, 8, 1)


def run(day: date = DAY, *, rebuild: bool = True) -> Run:
    return Run(day, uuid.uuid4().hex, rebuild)


def loaded(batches: Batches, platform: Platform, line: str = "1,121,bread,2026-08-01,1,2.50,2,5.00", day: str = "2026-08-01") -> None:
    batches.land(platform, f"{HEADER}\n{line}\n", "sales", day, f"{uuid.uuid4().hex}.csv")
    load(platform, date.fromisoformat(day))


def files(platform: Platform) -> dict[str, bytes]:
    root = Path(platform.settings.reports_uri)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_reports_made_again_are_the_same_files(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report made again from the same data is the same file, byte for byte, page and workbook; from other data, another one."""
    loaded(batches, platform)
    reporting.write_daily(platform, run())
    reporting.write_monthly(platform, run())
    first = files(platform)
    assert list(first) == ["daily/2026-08-01.html", "monthly/2026-08.html", "monthly/2026-08.xlsx"]
    for path in Path(platform.settings.reports_uri).rglob("*.html"):
        # As if they had been made a year ago.
        text = path.read_text("utf-8")
        path.write_text(text.replace("made 2", "made 1", 1), "utf-8")
    earlier = files(platform)
    assert earlier != first
    reporting.write_daily(platform, run())
    reporting.write_monthly(platform, run())
    assert files(platform) == earlier
    loaded(batches, platform, "1,121,bread,2026-08-01,2,2.50,4,10.00")
    reporting.write_daily(platform, run())
    reporting.write_monthly(platform, run())
    later = files(platform)
    assert list(later) == list(first)
    assert all(later[name] != earlier[name] for name in first)


def test_a_month_s_workbook_is_named_and_linked(batches: Batches, platform: Platform) -> None:
    """The monthly report names the addresses of its page and its workbook, and the page links to the workbook beside it."""
    loaded(batches, platform)
    made: Report = reporting.write_monthly(platform, run(rebuild=False))
    root = platform.settings.reports_uri
    assert made.facts["pages"] == [f"{root}/monthly/2026-08.html"]
    assert made.facts["workbooks"] == [f"{root}/monthly/2026-08.xlsx"]
    assert '<a href="2026-08.xlsx">' in files(platform)["monthly/2026-08.html"].decode()


def test_no_table_moves_while_a_report_is_made(batches: Batches, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report is made and stored under the writer's lease: what it adds up belongs together, and no older page replaces a newer."""
    loaded(batches, platform)
    held = []
    monkeypatch.setattr(Lake, "write_file", lambda self, path, content: held.append(platform.ledger.writer._held is not None) or path)
    reporting.write_daily(platform, run())
    reporting.write_monthly(platform, run())
    assert held == [True, True, True]
