"""The documented example of a contract of one's own, through the command line as it is shown."""

from __future__ import annotations

from decimal import Decimal

from salesmart_assets_tests.contracts.document import ROOT, by_month
from salesmart_assets_tests.contracts.test_document import commands
from salesmart_assets_tests.end_to_end.conftest import Installation


def test_another_layout_through_a_contract_alone(salesmart: Installation) -> None:
    """A public retail layout reaches the marts through a contract alone, with the totals of a sum by hand."""
    (_, _, contracts), *shown = commands()
    salesmart.environment["SALESMART_CONTRACTS"] = str(ROOT / contracts.partition("=")[2])
    for program, command, *arguments in shown:
        assert program == "salesmart"
        done = salesmart(command, *(str(ROOT / a) if a.startswith("docs/") else a for a in arguments))
        if command == "query":
            assert done.stdout.strip()
    tables = salesmart.tables()
    for name in ("sales_team_mart", "database/sales_team_mart"):
        found = {str(r["sales_month"]): (r["total_sales"], r["number_of_sales"], r["incentive"]) for r in tables[name]}
        assert found == by_month(), name
    spent = {(str(r["sales_month"]), r["customer_id"]): r["total_sales"] for r in tables["database/customer_mart"]}
    assert spent[("2010-12-01", 0)] == Decimal("18.70")
    assert {row["stock_code"] for row in tables["fact_sales"]} >= {"T1001", "POST"}
    assert '{"Country":"EIRE"}' in {row["additional_columns"] for row in tables["fact_sales"]}
    (file,) = salesmart.json("status", "--json")
    assert (file["outcome"], file["rows_read"], file["rows_accepted"], file["rows_rejected"]) == ("loaded", 32, 24, 8)
