"""`salesmart report`, as a sales manager or an engineer uses it."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from salesmart_assets import cli
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation

pytestmark = pytest.mark.xdist_group("reports")

FIRST = f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n2,121,oil,2026-07-31,1,10.00,1,10.00\n"
SECOND = f"{HEADER}\n3,121,tea,2026-08-01,1,2.50,400,1000.00\n"
BLIND = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one batch, and a second file that nobody has loaded."""
    salesmart = Installation(tmp_path_factory.mktemp("reports") / "home")
    salesmart("land", salesmart.write("a.csv", FIRST), "--source", "sales", "--date", "2026-08-01")
    salesmart("run")
    salesmart("land", salesmart.write("b.csv", SECOND), "--source", "sales", "--date", "2026-08-01")
    return salesmart.home


@pytest.fixture
def loaded(prepared: Path, tmp_path: Path) -> Installation:
    """A copy of that home, for one test."""
    shutil.copytree(prepared, tmp_path / "home")
    return Installation(tmp_path / "home")


def test_report_loads_nothing(loaded: Installation) -> None:
    """`report` makes a page and a workbook anew from the tables as they are, and loads nothing."""
    reports = loaded.home.absolute() / "lake" / "reports"
    made_by_run = {path: path.read_bytes() for path in reports.rglob("*.*")}
    assert {path.name for path in made_by_run} == {"2026-08-01.html", "2026-07.html", "2026-07.xlsx", "2026-08.html", "2026-08.xlsx"}
    for path in made_by_run:
        path.unlink()
    assert loaded("report", "--date", "2026-08-01").stdout == f"{reports}/daily/2026-08-01.html\n"
    done = loaded("report", "--month", "2026-07")
    assert done.stdout == f"{reports}/monthly/2026-07.html\n"
    assert f"{reports}/monthly/2026-07.xlsx" in done.stderr
    loaded("report", "--month", "2026-08")
    assert set(reports.rglob("*.*")) == set(made_by_run)
    assert all(path.read_bytes() == before for path, before in made_by_run.items() if path.suffix == ".xlsx")
    assert "1,000.00" not in (reports / "monthly" / "2026-08.html").read_text("utf-8")
    assert len(loaded.json("status", "--json")) == 1
    assert [row["key"] for row in loaded.json("landing", "ls", "landing/", "--json")] == ["landing/sales/dt=2026-08-01/b.csv"]


def test_report_of_a_day_or_month_without_sales(loaded: Installation) -> None:
    """A date or a month without sales is one sentence that names those with sales, and exit code 2; nothing is written."""
    assert loaded("report", "--month", "2026-05", code=2).stderr == (
        "salesmart: There are no sales in 2026-05. Months with sales: 2026-07, 2026-08.\n"
    )
    assert "Batches with sales: 2026-08-01." in loaded("report", "--date", "2026-08-02", code=2).stderr
    assert "came with the batch of 2026-08-01: ask for its report." in loaded("report", "--date", "2026-07-31", code=2).stderr
    assert not (loaded.home / "lake" / "reports" / "daily" / "2026-08-02.html").exists()


def test_report_into_a_file(loaded: Installation, tmp_path: Path) -> None:
    """--out writes the report elsewhere: a month's page with the workbook beside it, or the workbook alone."""
    (tmp_path / "out").mkdir()
    page, book = tmp_path / "out" / "my august.html", tmp_path / "out" / "only.xlsx"
    assert loaded("report", "--month", "2026-08", "--out", str(page)).stdout == f"{page}\n"
    assert loaded("report", "--month", "2026-08", "--out", str(book)).stdout == f"{book}\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"my august.html", "my august.xlsx", "only.xlsx"}
    assert 'href="my%20august.xlsx"' in page.read_text("utf-8")
    assert page.with_suffix(".xlsx").read_bytes() == book.read_bytes()
    loaded("report", "--date", "2026-08-01", "--out", str(tmp_path / "out" / "day"))
    assert "Daily report 2026-08-01" in (tmp_path / "out" / "day").read_text("utf-8")


def test_report_in_the_browser(loaded: Installation, tmp_path: Path) -> None:
    """--open shows the page in the browser; where there is none, it says so, and the address is printed."""
    shown = tmp_path / "shown.txt"
    browser = tmp_path / "browser"
    browser.write_text(f"#!{sys.executable}\nimport pathlib, sys\npathlib.Path({str(shown)!r}).write_text(sys.argv[1])\n")
    browser.chmod(0o755)
    page = loaded("report", "--month", "2026-08", "--open", **{**BLIND, "BROWSER": f"{browser} %s"}).stdout.strip()
    deadline = time.monotonic() + 20
    while not shown.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert unquote(urlsplit(shown.read_text()).path) == page
    done = loaded("report", "--date", "2026-08-01", "--open", **BLIND)
    assert done.stdout.endswith("daily/2026-08-01.html\n")
    assert "There is no browser here" in done.stderr


def test_report_on_s3_is_not_opened(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An address on S3 is nothing for a browser: --open says what to do instead."""
    monkeypatch.setenv("BROWSER", "false")
    cli._open("s3://bucket/lake/reports/daily/2026-08-01.html")
    assert "--out FILE" in capsys.readouterr().err
