"""What holds for every page: whole in itself, well-formed, safe, and equal for equal data."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesmart_assets.reports import plots
from salesmart_assets.reports.daily import Report, daily_report
from salesmart_assets.reports.monthly import monthly_report
from salesmart_assets.reports.page import change, markdown, masked, moment, money, number
from salesmart_assets_tests.reports.conftest import (
    BATCH,
    CONTRACTS,
    FILES,
    MADE_AT,
    MONTH,
    file_line,
    lake,
    parse,
    product,
    section,
    seller,
    text_of,
)

Rows = dict[str, list[dict[str, Any]]]
Make = Callable[[Rows], Report]


def _daily(rows: Rows) -> Report:
    return daily_report(lake(rows), FILES, BATCH, contracts=CONTRACTS, expiry_days=10, currency="€", made_at=MADE_AT)


def _monthly(rows: Rows) -> Report:
    return monthly_report(lake(rows), FILES, MONTH, contracts=CONTRACTS, currency="€", made_at=MADE_AT)


@pytest.fixture(params=[_daily, _monthly], ids=["daily", "monthly"])
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


def test_self_contained(make: Make, rows: Rows) -> None:
    """A page needs no network and no script: no address is in it, and its security policy forbids every load."""
    html = make(rows).html
    assert not re.search(r"https?:|//|@import|url\(|<script|<link|<img|<iframe|\son\w+=", html)
    assert "default-src 'none'; style-src 'unsafe-inline'" in html


def test_plots_follow_the_page(make: Make, rows: Rows) -> None:
    """Plots are inline SVG for two widths, take all colours and the font from the page, keep text as text, and say what they show."""
    drawn = list(parse(make(rows).html).iter("svg"))
    assert len(drawn) >= 4
    assert len(drawn) % 2 == 0
    for svg in drawn:
        source = ElementTree.tostring(svg, encoding="unicode")
        assert "#" not in source
        assert "font-family" not in source
        assert " id=" not in source
        assert "currentColor" in source or "var(--soft)" in source
        assert svg.get("aria-label")
        assert svg.get("role") == "img"
        assert svg.get("viewBox")
        assert any(True for _ in svg.iter("text"))


def test_same_data_same_page(make: Make, rows: Rows) -> None:
    """Equal data give equal pages, byte by byte."""
    assert make(rows) == make(rows)


def test_names_are_escaped(make: Make, rows: Rows) -> None:
    """A name that looks like HTML stays a name."""
    attack = "<script>alert('1')</script>&amp;"
    rows["dim_product"] = [product(1, attack, previous_price=Decimal("9.00"), valid_from=BATCH, stock_on_hand=0)]
    rows["sales_team_mart"].append(seller(125, 1, attack, "5.00", 1, "0.05"))
    rows["manager_mart"][0]["full_name"] = attack
    made = make(rows)
    assert "<script" not in made.html
    assert "<script" not in made.preview
    assert text_of(section(made.html, "Leaders")).count(attack) == 1
    assert attack in text_of(parse(made.html))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.text(min_size=1, max_size=30), currency=st.text(max_size=4))
def test_any_text(name: str, currency: str) -> None:
    """Whatever text is in the data, the page is well-formed and can be stored."""
    storable = name.encode("utf-8", "replace").decode("utf-8")
    rows: Rows = {
        "dim_product": [product(1, storable, previous_price=Decimal("9.00"), valid_from=BATCH)],
        "rejected_rows": [{"source": "sales", "source_row": 1, "codes": storable, "file_id": 1, "batch_date": BATCH}],
    }
    files = [file_line("sales", storable, "rejected", reason=name)]
    made = daily_report(lake(rows), files, BATCH, contracts=CONTRACTS, expiry_days=1, currency=currency, made_at=MADE_AT)
    assert len(list(parse(made.html).iter("section"))) == 9
    assert made.html.encode("utf-8").decode("utf-8") == made.html


@given(name=st.text(max_size=40))
def test_preview_cells(name: str) -> None:
    """A text in a Markdown table can neither end its cell nor begin a tag."""
    cell = markdown(name)
    assert "\n" not in cell
    assert "<" not in cell
    assert not re.search(r"(?<!\\)(\\\\)*\|", cell)


@given(amount=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**26), max_value=10**26, places=2))
def test_money_keeps_its_value(amount: Decimal) -> None:
    """No digit of an amount is lost on the page."""
    shown = money(amount, "€")
    assert Decimal(shown.replace(",", "").replace("€", "").replace("\N{MINUS SIGN}", "-")) == amount
    assert re.fullmatch(r"\N{MINUS SIGN}?€\d{1,3}(,\d{3})*\.\d\d", shown)


def test_formats() -> None:
    """Numbers, changes and times are written one way."""
    assert money(Decimal("1234567.005"), "CHF") == "CHF\N{NO-BREAK SPACE}1,234,567.01"
    assert number(-1234) == "\N{MINUS SIGN}1,234"
    assert change(Decimal(50), Decimal(100)) == "\N{MINUS SIGN}50.0\N{NO-BREAK SPACE}%"
    assert change(Decimal(50), Decimal(0)) is None
    assert moment(datetime(2026, 11, 23, 1, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))) == "2026-11-22 19:30 UTC"
    assert moment(MADE_AT.replace(tzinfo=None, hour=1, minute=0)) == "2026-11-23 01:00 UTC"


@given(name=st.text(max_size=60))
def test_masking_shows_initials_only(name: str) -> None:
    """Of each word of a name one sign remains at most."""
    shown = masked(name)
    assert shown is None or (len(shown.split()) <= len(name.split()) and all(word.endswith(".") for word in shown.split()))


@given(value=st.floats(min_value=-1e12, max_value=1e12))
def test_compact_is_short_and_near(value: float) -> None:
    """A plot's number is short, and within one percent of the value."""
    shown = plots.compact(value)
    assert len(shown.lstrip("-")) <= 9
    size = {"k": 1e3, "M": 1e6, "G": 1e9}.get(shown[-1], 1.0)
    assert float(shown.rstrip("kMG").replace(",", "")) * size == pytest.approx(value, rel=0.01)
