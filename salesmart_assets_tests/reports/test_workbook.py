"""The workbook of the month says what the marts hold, as numbers, dates and texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest

from salesmart_assets.reports import workbook
from salesmart_assets_tests.reports.conftest import MONTH, customer, lake, seller

_NS = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


@dataclass
class Sheet:
    """A sheet as the file has it: cells by place with their type, value and format."""

    root: ElementTree.Element
    texts: list[str]
    formats: list[tuple[str, bool]]

    def cells(self) -> dict[str, tuple[str, str, str, bool]]:
        """Of each cell that holds something: type (`n` or `s`), value, number format, whether it is marked as quoted."""
        found = {}
        for cell in self.root.iterfind(".//m:c", _NS):
            value = cell.findtext("m:v", None, _NS)
            if value is not None:
                kind = cell.get("t", "n")
                shown = self.texts[int(value)] if kind == "s" else value
                found[cell.get("r", "")] = (kind, shown, *self.formats[int(cell.get("s", "0"))])
        return found

    def rows(self) -> list[list[str]]:
        """The values row by row, empty cells left out."""
        found: dict[int, list[str]] = {}
        for place, (_, value, _, _) in self.cells().items():
            found.setdefault(int(re.sub(r"\D", "", place)), []).append(value)
        return list(found.values())


def sheets(content: bytes) -> dict[str, Sheet]:
    with ZipFile(BytesIO(content)) as file:
        book = ElementTree.fromstring(file.read("xl/workbook.xml"))
        texts = ["".join(item.itertext()) for item in ElementTree.fromstring(file.read("xl/sharedStrings.xml")).iterfind("m:si", _NS)]
        styles = ElementTree.fromstring(file.read("xl/styles.xml"))
        own = {item.get("numFmtId"): item.get("formatCode", "") for item in styles.iterfind(".//m:numFmt", _NS)}
        formats = [
            (own.get(item.get("numFmtId"), item.get("numFmtId") or ""), item.get("quotePrefix") == "1")
            for item in styles.iterfind("m:cellXfs/m:xf", _NS)
        ]
        names = [item.get("name", "") for item in book.iterfind(".//m:sheet", _NS)]
        return {
            name: Sheet(ElementTree.fromstring(file.read(f"xl/worksheets/sheet{number}.xml")), texts, formats)
            for number, name in enumerate(names, 1)
        }


def made(rows: Mapping[str, Sequence[Mapping[str, Any]]], month: date = MONTH, currency: str = "€") -> bytes:
    return workbook.monthly_workbook(lake(rows), month, currency=currency)


def test_sheets_and_their_rows(rows: dict[str, list[dict[str, Any]]]) -> None:
    """The month's workbook has a sheet for sellers, customers, managers and days, each with all rows of the month and no other."""
    found = sheets(made(rows))
    assert list(found) == ["Sales team", "Customers", "Managers", "Days"]
    team = found["Sales team"].rows()
    assert team[0] == [
        "Store", "Seller", "Full name", "Manager", "Manager's name", "Total sales", "Number of sales", "Rank in store", "Incentive",
    ]  # fmt: skip
    assert team[1:] == [
        ["121", "7", "Anna Smith", "8987.75", "3", "1", "89.88"],
        ["121", "8", "Bob Low", "1.00", "3", "2", "0.00"],
        ["122", "7", "Anna Smith", "20.00", "3", "1", "0.20"],
        ["122", "55", "20.00", "3", "1", "0.20"],
    ]
    assert [row[:2] for row in found["Customers"].rows()[1:]] == [["1", "C. J. P."], ["99", "1021.00"], ["2", "D. Q."]]
    assert found["Managers"].rows()[1:] == [["3", "Mia Berg", "8988.75", "9008.75", "9", "2"]]
    days = found["Days"].rows()
    assert len(days) == 31
    assert days[22][1:] == ["1234.75", "5", "8"]
    assert days[2][1:] == ["0.00", "0", "0"]
    assert made(rows, date(2026, 11, 30)) == made(rows)


def test_numbers_and_dates(rows: dict[str, list[dict[str, Any]]]) -> None:
    """In the workbook amounts are numbers with a money format, dates are dates, and shares are percentages."""
    rows["customer_mart"] = [
        customer(1, "Carla Petersen", "8977.75", 2, "loyal", 10, first_purchase=date(2026, 11, 2), average_basket=Decimal("4488.88"))
    ]
    found = sheets(made(rows))
    assert found["Sales team"].cells()["F2"] == ("n", "8987.75", '"€"#,##0.00', False)
    assert found["Sales team"].cells()["I2"][1:3] == ("89.88", '"€"#,##0.00')
    customers = found["Customers"].cells()
    assert customers["H2"] == ("n", "46328", "yyyy-mm-dd", False)
    assert customers["K2"][:2] == ("n", "0.1")
    assert found["Days"].cells()["A2"] == ("n", "46327", "yyyy-mm-dd", False)
    assert sheets(made(rows, currency="CHF"))["Days"].cells()["B2"][2] == '"CHF\N{NO-BREAK SPACE}"#,##0.00'
    assert sheets(made(rows, currency='"'))["Days"].cells()["B2"][2] == "#,##0.00"


def test_numbers_that_excel_cannot_hold(rows: dict[str, list[dict[str, Any]]]) -> None:
    """A number with more digits than Excel keeps is a text in the workbook, to the last digit."""
    rows["sales_team_mart"] = [seller(121, 4111111111111111, "Anna Smith", "98765432109876.54", 1, "9876543210987.65")]
    cells = sheets(made(rows))["Sales team"].cells()
    assert cells["B2"][:2] == ("s", "4111111111111111")
    assert cells["F2"][:2] == ("s", "98765432109876.54")
    assert cells["I2"][:2] == ("n", "9876543210987.65")


@pytest.mark.parametrize(
    "name",
    [
        '=HYPERLINK("http://x")',
        "+1+1",
        "-1-1",
        "@SUM(1)",
        "\t=1",
        "\n=1",
        "{=1}",
        "http://example.com",
        "mailto:a@example.com",
        "12",
        "_x0041_",
    ],
)
def test_texts_stay_texts(rows: dict[str, list[dict[str, Any]]], name: str) -> None:
    """A name that begins like a formula or a link is a text in the workbook, also after somebody edits its cell."""
    rows["sales_team_mart"] = [seller(121, 7, name, "1.00", 1, "0.01")]
    content = made(rows)
    sheet = sheets(content)["Sales team"]
    kind, value, _, quoted = sheet.cells()["C2"]
    assert (kind, value.replace("_x005F_", "_")) == ("s", name)
    assert quoted == (name[0] in "=+-@\t\n")
    assert sheet.root.find(".//m:f", _NS) is None
    assert sheet.root.find(".//m:hyperlink", _NS) is None


def test_broken_texts(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Control codes, markup and endless texts do not break the workbook."""
    names = ["a\x00b\x1bc", "<r><t>no & markup</t></r>", "long " * 9000]
    rows["sales_team_mart"] = [seller(121, number, name, "1.00", number, "0.00") for number, name in enumerate(names, 1)]
    cells = sheets(made(rows))["Sales team"].cells()
    assert cells["C2"][1] == "abc"
    assert cells["C3"][1].strip() == names[1]
    assert cells["C4"][1].startswith("long long")
    assert len(cells["C4"][1]) == 16_000
    assert cells["C4"][1].endswith("…")


def test_titles_stay_in_sight_and_filter(rows: dict[str, list[dict[str, Any]]]) -> None:
    """On each sheet the titles stay in sight, every column can be filtered, and is as wide as what it holds."""
    rows["sales_team_mart"].append(seller(121, 9, "Wilhelmina Featherstonehaugh-Montgomery", "1.00", 3, "0.00"))
    found = sheets(made(rows))
    for sheet in found.values():
        pane = sheet.root.find(".//m:pane", _NS)
        assert pane is not None
        assert (pane.get("ySplit"), pane.get("state")) == ("1", "frozen")
        assert sheet.root.find("m:autoFilter", _NS) is not None
    area = found["Sales team"].root.find("m:autoFilter", _NS)
    assert area is not None
    assert area.get("ref") == "A1:I6"
    wide = next(c for c in found["Sales team"].root.iterfind(".//m:col", _NS) if c.get("min") == "3")
    assert float(wide.get("width", "0")) > 39


def test_customers_are_masked_in_the_workbook(rows: dict[str, list[dict[str, Any]]]) -> None:
    """No customer's name, address, telephone number or coupon code is in the workbook."""
    with ZipFile(BytesIO(made(rows))) as file:
        everything = b"".join(file.read(name) for name in file.namelist()).decode()
    for secret in ("Carla", "Petersen", "Dora", "Quist", "Hidden Lane", "0100", "SECRET"):
        assert secret not in everything


def test_same_figures_same_bytes(rows: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The workbook of the same figures is the same file, byte for byte, whatever the order of rows, the hour and the time zone."""
    first = made(rows)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    backwards = {name: list(reversed(found)) for name, found in rows.items()}
    assert made(backwards) == first
    rows["sales_team_mart"][0]["total_sales"] = Decimal("8987.76")
    assert made(rows) != first


def test_more_rows_than_a_sheet_shows(rows: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sheet that would get too long ends with how many rows more there are, and where."""
    monkeypatch.setattr(workbook, "ROWS_SHOWN", 2)
    team = sheets(made(rows))["Sales team"].rows()
    assert len(team) == 4
    assert team[-1] == ["And 2 more in sales_team_mart."]


def test_a_month_without_sales() -> None:
    """The workbook of a month without sales has titles and days, and nothing else."""
    found = sheets(made({}))
    assert [len(sheet.rows()) for sheet in found.values()] == [1, 1, 1, 31]
