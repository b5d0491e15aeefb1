"""`salesmart publish`, as a person uses it after somebody has been at the database."""

from __future__ import annotations

import json
import re
from pathlib import Path

import sqlalchemy as sa

from salesmart_assets.cli import PUBLISH_COLUMNS
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation


def test_publish_says_what_it_put_right(salesmart: Installation) -> None:
    """`publish` names each slice that differed from the lake, and how many rows; exit code 1 says that not all is right yet."""
    path = salesmart.write("a.csv", f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n2,121,oil,2026-09-01,1,10.00,1,10.00\n")
    salesmart("land", path, "--source", "sales", "--date", "2026-09-01")
    salesmart("run")
    with salesmart.platform() as platform, platform.marts.begin() as connection:
        connection.execute(sa.text("UPDATE sales_team_mart SET incentive = 1000 WHERE sales_month = '2026-08-01'"))
        connection.execute(sa.text("DROP TABLE customer_mart"))
    done = salesmart("publish")
    assert "10 slices compared with the lake, 3 put right in sqlite" in done.stdout
    assert re.findall(r"^(\w+) +(2026-\d\d-01) ", done.stdout, re.MULTILINE) == [
        ("customer_mart", "2026-08-01"),
        ("customer_mart", "2026-09-01"),
        ("sales_team_mart", "2026-08-01"),
    ]
    with salesmart.platform() as platform, platform.marts.begin() as connection:
        connection.execute(sa.text("DELETE FROM sales_team_mart"))
        platform.ledger.touch({"customer_mart": {"2026-08-01"}}, None)
    done = salesmart("publish", "--json", code=1)
    rows = json.loads(done.stdout)
    assert tuple(rows[0]) == PUBLISH_COLUMNS
    assert [(row["mart"], row["slice"]) for row in rows if row["changed_rows"]] == [("sales_team_mart", "2026-09-01")]
    assert "Left out, because a batch is in the middle of them: 2026-08. `salesmart run` finishes and publishes them." in done.stderr


def test_a_damaged_file_of_the_lake_is_told(salesmart: Installation) -> None:
    """A file of the lake that is cut short, as by a disk that fails, is one sentence with what to do, and doing that mends it."""
    path = salesmart.write("a.csv", f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n")
    salesmart("land", path, "--source", "sales", "--date", "2026-08-01")
    salesmart("run")
    with salesmart.platform() as platform:
        for file in platform.lake.snapshot("sales_team_mart").files:
            place = Path(platform.lake.root) / "sales_team_mart" / file.path
            place.write_bytes(place.read_bytes()[:1000])
    for command in (("publish",), ("reconcile", "--ledger-only")):
        done = salesmart(*command, code=1)
        assert "A file of the lake is damaged (" in done.stderr
        assert "salesmart run --date" in done.stderr
    salesmart("run", "--date", "2026-08-01")
    salesmart("reconcile")
    salesmart("publish")
