"""Sources in several buckets, from the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from salesmart_assets.cli import SOURCE_COLUMNS, cli
from salesmart_assets.errors import UsageError
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation


def test_two_buckets_from_the_command_line(salesmart: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second bucket is added, landed in, missed and disabled by commands alone; while it is missed, `run` ends with 1."""
    monkeypatch.setenv("SALESMART_HOME", str(salesmart.home))

    def call(*arguments: str) -> str:
        return CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False).output

    def land(customer: int, *to: str) -> str:
        path = salesmart.write(f"{customer}.csv", f"{HEADER}\n{customer},121,bread,2026-08-01,1,2.50,2,5.00\n")
        return call("land", path, "--source", "sales", "--date", "2026-08-01", *to).splitlines()[0]

    call("sources", "add", "sales", "s3://tills/north", "--format", "csv")
    assert land(1, "--to", "s3://tills/north/") == "s3://tills/north/dt=2026-08-01/1.csv"
    land(2)
    listed = {row["bucket"]: row["key"] for row in json.loads(call("landing", "ls", "--json"))}
    assert listed == {"salesmart": "landing/sales/dt=2026-08-01/2.csv", "tills": "north/dt=2026-08-01/1.csv"}
    assert call("landing", "get", "s3://tills/north/dt=2026-08-01/1.csv").startswith(HEADER)
    (salesmart.home / "s3" / "tills").rename(salesmart.home / "away")
    done = salesmart("run", code=1)
    assert "s3://tills/north/ (sales)" in done.stderr
    assert "1 batch loaded" in done.stdout
    assert "s3://tills/north/ (sales)" in call("status")
    rows = json.loads(call("sources", "list", "--json"))
    assert tuple(rows[0]) == SOURCE_COLUMNS
    (tills,) = [row for row in rows if row["bucket"] == "tills"]
    assert (tills["format_hint"], tills["active"], "does not exist" in tills["fault"]) == ("csv", True, True)
    call("sources", "disable", "sales", "s3://tills/north")
    assert "tills" not in call("status")
    with pytest.raises(UsageError, match="no active location of sales"):
        land(3, "--to", "s3://tills/north")
