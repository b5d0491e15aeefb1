"""The parts of docs/contracts.md that are made from the code; `python -m salesmart_assets_tests.contracts.document` writes them anew.

A part stands between `<!-- NAME -->` and `<!-- /NAME -->`. Belongs here: how each part is made.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from salesmart_assets.contracts import Contract, ContractColumn, RowRule, load_contracts
from salesmart_assets.contracts.needs import NEEDS
from salesmart_assets.ingest.codes import explain
from salesmart_assets.ingest.judge import check_contract
from salesmart_assets_tests.ingest.reading import Outcome, read

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "contracts.md"
EXAMPLE = ROOT / "docs" / "examples" / "online-retail"


def keys(model: type[BaseModel]) -> str:
    """Every key of a part of a contract: its default and its meaning."""
    rows = []
    for name, field in model.model_fields.items():
        value = field.default
        shown = "must be given" if value is PydanticUndefined else _as_yaml(value)
        rows.append((f"`{name}`", shown, field.description or ""))
    return _table(("key", "default", "meaning"), rows)


def _as_yaml(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(value)}]`"
    return f"`{value}`"


def needs() -> str:
    """The columns that the warehouse reads of each source."""
    rows = []
    for source, columns in NEEDS.items():
        for name, need in columns.items():
            kinds = " or ".join("decimal with at most 16 digits before the sign and 2 after it" if k == "money" else k for k in need.kinds)
            must = "in every row" if need.filled else "a column" if need.always else "may be left out"
            rows.append((f"`{source}`", f"`{name}`", kinds, must))
    return _table(("source", "column", "type", "must be there"), rows)


def example() -> Outcome:
    """The example's file, read by the example's contract."""
    contract = load_contracts(EXAMPLE / "contracts", check_contract)["sales"]
    return read(EXAMPLE / "online-retail.csv", "online-retail.csv", contract)


def rejections() -> str:
    """The example's rejected rows."""
    contract = load_contracts(EXAMPLE / "contracts")["sales"]
    return _table(
        ("row", "code", "what is wrong", "the row"),
        [
            (str(row), f"`{codes}`", " ".join(explain(code, contract) for code in codes.split(",")), f"`{raw}`")
            for row, codes, raw in example().rejections
        ],
    )


def by_month() -> dict[str, tuple[Decimal, int, Decimal]]:
    """Total, lines and incentive of each month of the example, added up by hand from the file's text."""
    bad = {row for row, _, _ in example().rejections}
    lines = (EXAMPLE / "online-retail.csv").read_text("utf-8").splitlines()[1:]
    found: dict[str, list[Decimal]] = defaultdict(list)
    for number, text in enumerate(lines, 1):
        if number not in bad:
            cells = text.split(";")
            month, _, year = cells[4].split(" ")[0].split("/")
            found[f"{year}-{int(month):02}-01"].append(int(cells[3]) * Decimal(cells[5].replace(",", ".")))
    return {
        m: (sum(v, Decimal(0)), len(v), (sum(v, Decimal(0)) / 100 + Decimal("0.0001")).quantize(Decimal("0.01"))) for m, v in found.items()
    }


def totals() -> str:
    """What the example's query shows."""
    return _table(
        ("sales_month", "total_sales", "number_of_sales", "incentive"),
        [(month, f"{total:.2f}", str(count), f"{incentive:.2f}") for month, (total, count, incentive) in by_month().items()],
    )


PARTS = {
    "contract": lambda: keys(Contract),
    "column": lambda: keys(ContractColumn),
    "rule": lambda: keys(RowRule),
    "needs": needs,
    "rejections": rejections,
    "totals": totals,
}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines)


def with_parts(text: str) -> str:
    """The text with each of its parts made anew."""
    for name, make in PARTS.items():
        found = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        assert len(found.findall(text)) == 1, name
        made = make()
        text = found.sub(lambda match, made=made: f"{match[1]}{made}\n{match[2]}", text)
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(with_parts(DOCUMENT.read_text("utf-8")), "utf-8")
