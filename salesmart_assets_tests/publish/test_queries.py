"""Every query of docs/queries.md gives what the page shows, on SQLite and on MariaDB."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest
import sqlalchemy as sa

from salesmart_assets.batch import publication
from salesmart_assets.batch.run import Run
from salesmart_assets.publish.database import open_database
from salesmart_assets_tests.batches import Batches, load_pending
from salesmart_assets_tests.conftest import MariaDb

DOCS = Path(__file__).parent.parent.parent / "docs"
SAMPLE = DOCS / "examples" / "queries"
QUERIES = re.findall(r"^```sql\n(.*?)^```\n\n```text\n(.*?)^```$", (DOCS / "queries.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
PER_INSTALLATION = ("coupon_code", "published_at")
"""Columns that differ from one installation to another; the page shows them as `…`."""

pytestmark = pytest.mark.xdist_group("queries")


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDb) -> Iterator[Mapping[str, sa.Engine]]:
    """The sample, loaded as anybody would load it, and published from one lake to two databases."""
    home = tmp_path_factory.mktemp("queries") / "home"
    name = f"salesmart_{uuid.uuid4().hex[:12]}"
    urls = {"sqlite": f"sqlite:///{home / 'marts.db'}", "mariadb": mariadb.url(name)}
    ledger = f"sqlite:///{home / 'ledger.db'}"
    days = []
    with Batches(home, {"ledger_url": ledger, "database_url": urls["sqlite"]}).platform() as platform:
        for path in sorted(SAMPLE.glob("*.csv")):
            source, _, day = path.stem.rpartition("_")
            platform.zone.put(path, source, platform.today().fromisoformat(day), path.name)
        days = load_pending(platform)
    with Batches(home, {"ledger_url": ledger, "database_url": urls["mariadb"]}).platform() as platform:
        publication.publish(platform, Run(days[-1], uuid.uuid4().hex))
    engines = {kind: open_database(url) for kind, url in urls.items()}
    yield engines
    for engine in engines.values():
        engine.dispose()
    mariadb.execute(f"DROP DATABASE {name}")


def printed(engine: sa.Engine, query: str) -> list[list[str]]:
    """The result as the page shows it: a line of column names, then the rows."""
    with engine.connect() as connection:
        result = connection.execute(sa.text(query))
        names = list(result.keys())
        rows = [["…" if n in PER_INSTALLATION else cell(v) for n, v in zip(names, row, strict=True)] for row in result]
    return [names, *rows]


def cell(value: object) -> str:
    # SQLite adds amounts up as floats, and keeps whole ones as integers; both are amounts in cents all the same.
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def same(shown: str, found: str) -> bool:
    try:
        return Decimal(shown) == Decimal(found)
    except InvalidOperation:
        return shown == found


def laid_out(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows)


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
@pytest.mark.parametrize(("query", "shown"), QUERIES, ids=[f"{number}" for number in range(1, len(QUERIES) + 1)])
def test_each_query_gives_what_the_page_shows(databases: Mapping[str, sa.Engine], kind: str, query: str, shown: str) -> None:
    """Each example query for analysts gives, on SQLite and on MariaDB, the rows that the page shows."""
    found = printed(databases[kind], query)
    told = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    agrees = [len(row) for row in told] == [len(row) for row in found] and all(
        same(a, b) for one, other in zip(told, found, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert agrees, f"{query}\nThe page should show:\n{laid_out(found)}"


def test_no_query_of_the_page_is_untested() -> None:
    """Each block of SQL on the page is followed by its result."""
    assert (DOCS / "queries.md").read_text("utf-8").count("```sql") == len(QUERIES) > 0
