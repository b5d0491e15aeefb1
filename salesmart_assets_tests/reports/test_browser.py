"""The reports in a real browser: on a desk and in a hand, by day and by night, with much, with little and with nothing in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from salesmart_assets.reports.daily import daily_report
from salesmart_assets.reports.monthly import monthly_report
from salesmart_assets_tests.reports.conftest import (
    BATCH,
    CONTRACTS,
    FILES,
    MADE_AT,
    MONTH,
    customer,
    file_line,
    lake,
    product,
    sale,
    seller,
)
from salesmart_assets_tests.screenshots import QUIET, browser_program

Rows = dict[str, list[dict[str, Any]]]
LONG = "Maximiliane-Theodora Freifrau von Hohenstaufen-Schwarzenberg"
ENDLESS = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
LEAST = {"text_px": 10, "contrast": 4.5}
"""Text in a plot is at least so high; 4.5 is the contrast that WCAG 2.1 asks of text (level AA)."""

FAULTS = (Path(__file__).parent / "faults.js").read_text("utf-8")


def crowded() -> Rows:
    """Sixty stores of a chain that counts in millions, names without end, and long lists of everything."""
    names = [LONG, ENDLESS, "Ann Li", None]
    days = [MONTH + timedelta(days=number) for number in range(30)]
    stores = range(1001, 1061)
    return {
        "stg_sales": [{"sales_date": day, "batch_date": BATCH} for day in (*days[:20], BATCH)],
        "fact_sales": [
            sale(store, 10**12 + store, f"r{store}", "29123456.78", sales_date=BATCH, customer_key=-1, product_key=-1, product_name=ENDLESS)
            for store in stores
        ],
        "daily_seller_sales": [
            {
                "sales_date": day,
                "store_id": store,
                "sales_person_id": store,
                "total_sales": Decimal(1_234_567 * (1 + (store + day.day) % 9)),
                "number_of_sales": 9,
                "units": 9,
            }
            for store in stores
            for day in days[: 25 - store % 3]
        ],
        "sales_team_mart": [seller(s, s, names[s % 4], f"{s}98765.43", 1, f"{s}987.65", number_of_sales=12_345) for s in stores],
        "customer_mart": [
            customer(
                10**9 + n,
                names[n % 4],
                "1234567.89",
                99,
                ("loyal", "regular", "occasional")[n % 3],
                n % 3 * 5,
                change_on_month_before=Decimal(-n),
            )
            for n in range(40)
        ],
        "manager_mart": [
            {
                "sales_month": MONTH,
                "manager_id": n,
                "full_name": names[n % 4],
                "direct_sales": Decimal(n) * 10**6,
                "team_sales": Decimal(n) * 10**7,
                "number_of_sales": 10**6,
                "team_size": 120,
            }
            for n in range(40)
        ],
        "dim_product": [
            product(
                n, names[n % 3], previous_price=Decimal(10), price=Decimal(10 + n), valid_from=BATCH, stock_on_hand=9, expiry_date=MONTH
            )
            for n in range(60)
        ],
        "rejected_rows": [
            {"source": "sales_team", "source_row": n, "codes": f"min:{'a_long_column_name_' * 4}{n}", "file_id": 1, "batch_date": BATCH}
            for n in range(20)
        ],
    }


def pages(rows: Rows) -> dict[str, str]:
    """Both reports of these rows."""
    files = [*FILES, file_line("sales_team", f"landing/sales_team/{'a_long_name_' * 12}.csv", "rejected", reason="x" * 200)] if rows else []
    given: Any = {"contracts": CONTRACTS, "currency": "Rp", "made_at": MADE_AT}
    return {
        "daily": daily_report(lake(rows), files, BATCH, expiry_days=30, **given).html,
        "monthly": monthly_report(lake(rows), files, MONTH, workbook="2026-11.xlsx", **given).html,
    }


CONTENTS: dict[str, Callable[[Rows], Rows]] = {
    "some": lambda rows: rows,
    "crowded": lambda _: crowded(),
    "one store": lambda rows: {name: [row for row in found if row.get("store_id", 122) == 122] for name, found in rows.items()},
    "no sales in the batch": lambda rows: {name: found for name, found in rows.items() if name not in ("stg_sales", "fact_sales")},
    "nothing": lambda _: {},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser_program(), args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab with a history of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("content", CONTENTS)
def test_reports_in_a_browser(tab: Page, rows: Rows, tmp_path: Path, content: str) -> None:
    """Both reports ask the network for nothing, fit a telephone and a desk, and are legible in light and in dark."""
    asked: list[str] = []
    said: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(error.message))
    for kind, html in pages(CONTENTS[content](rows)).items():
        page = tmp_path / f"{kind}.html"
        page.write_text(html, "utf-8")
        tab.goto(page.as_uri())
        for width in (390, 768, 1280):
            for scheme in ("light", "dark"):
                tab.set_viewport_size({"width": width, "height": 900})
                tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found = tab.evaluate(FAULTS, LEAST)
                assert found["faults"] == [], f"{kind}, {width} px, {scheme}"
                assert (found["ground"] > 0.8) if scheme == "light" else (found["ground"] < 0.05)
                assert (found["plots"] > 0) == (content != "nothing")
    assert asked == [(tmp_path / f"{kind}.html").as_uri() for kind in ("daily", "monthly")]
    assert said == []


FAULTY = {
    ".scroll { min-width: 900px }": "px wide in a window of 390",
    ".numbers dd { font-size: 5rem !important }": "stands on",
    ".soft { color: #bbb }": "has a contrast of 1.9",
    ".plot svg { width: 90px }": "in a plot is only",
    ".plot text { font-size: 50px !important }": "in a plot overlap",
    ".plot figure, .plot .narrow { margin-left: -60px }": "in a plot leaves its section",
}
"""Styles that spoil a page, and what is said of it."""


def test_a_fault_is_found(tab: Page, rows: Rows, tmp_path: Path) -> None:
    """What the browser is asked would find a wide table, a broken amount, pale, tiny and colliding texts, and a picture from elsewhere."""
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.set_viewport_size({"width": 390, "height": 900})
    html, page = pages(rows)["monthly"], tmp_path / "broken.html"
    for style, told in FAULTY.items():
        page.write_text(html.replace("</style>", f"{style}</style>"), "utf-8")
        tab.goto(page.as_uri())
        assert told in " | ".join(tab.evaluate(FAULTS, LEAST)["faults"])
    picture = "http://127.0.0.1:9/a.png"
    page.write_text(
        html.replace("default-src 'none'", "default-src *").replace("</main>", f'<img src="{picture}" alt="" /></main>'), "utf-8"
    )
    tab.goto(page.as_uri())
    assert asked == [page.as_uri()] * 7 + [picture]
