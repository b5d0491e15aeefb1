"""docs/contracts.md says what the code does, and its example does what it says."""

from __future__ import annotations

import re
import shlex

import pytest

from salesmart_assets_tests.contracts.document import DOCUMENT, EXAMPLE, ROOT, by_month, example, with_parts

TEXT = DOCUMENT.read_text("utf-8")


def commands() -> list[list[str]]:
    """The commands of the example, as they are shown."""
    (block,) = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for line in block.splitlines()]


def test_tables_are_made_from_the_code() -> None:
    """Every key of the contract language is documented, with its default and its meaning, as the code has it."""
    assert with_parts(TEXT) == TEXT, "run: python -m salesmart_assets_tests.contracts.document"
    for part in re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", TEXT, re.MULTILINE):
        assert part[2], f"{part[0]} has no meaning"


def test_the_example_is_accounted_for() -> None:
    """A public retail layout is read through a contract alone: each row of the example is a typed row, or has its reason."""
    found = example()
    assert (found.summary.rows_read, found.summary.rows_accepted, found.summary.rows_rejected) == (32, 24, 8)
    assert found.codes == {
        7: "null:stock_code",
        14: "scale:quantity",
        15: "type:price",
        17: "row.cancellation_without_c",
        18: "format:sales_date",
        21: "scale:price",
        22: "pattern:transaction_id",
        31: "row.ragged",
    }
    rows = {row["source_row"]: row for row in found.rows}
    returned, guest = rows[11], rows[12]
    assert (returned["transaction_id"], returned["quantity"], str(returned["total_cost"])) == ("C640005", -4, "-15.00")
    assert (guest["customer_id"], guest["product_name"], guest["additional_columns"]) == (0, "T1009", '{"Country":"United Kingdom"}')
    assert rows[23]["product_name"] == 'Card, "thank you'
    assert {(row["store_id"], row["sales_person_id"]) for row in found.rows} == {(900, 900)}
    assert sum(row["total_cost"] for row in found.rows) == sum(total for total, _, _ in by_month().values())


def test_the_example_may_be_split_at_any_place() -> None:
    """The example's rows do not depend on each other: line by line they come to the same."""
    header, *lines = (EXAMPLE / "online-retail.csv").read_text("utf-8").splitlines()
    assert len(lines) == example().summary.rows_read
    assert header.count(";") == 7


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)\s]+)\)", TEXT))
def test_links_lead_somewhere(link: str) -> None:
    """Files that the page links to exist."""
    assert (ROOT / "docs" / link).exists()
