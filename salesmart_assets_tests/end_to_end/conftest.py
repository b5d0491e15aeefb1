"""A salesmart of one's own: a home in a temporary folder, used through the command line as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS
from salesmart_assets.publish.read import read_table
from salesmart_assets.settings import Settings

HEADER = "customer_id,store_id,product_name,sales_date,sales_person_id,price,quantity,total_cost"


@dataclass
class Installation:
    """A home, and the command line over it."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SALESMART_", "DAGSTER_"))}
        self.environment = {**kept, "SALESMART_HOME": str(self.home), "NO_COLOR": "1", **self.environment}

    def __call__(self, *arguments: str, code: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `salesmart …`; fails the test if the exit code is another one (None: any)."""
        command = [sys.executable, "-m", "salesmart_assets.cli", *arguments]
        done = subprocess.run(command, env={**self.environment, **environment}, capture_output=True, text=True, check=False, timeout=300)
        assert code is None or done.returncode == code, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr or code is None, done.stderr
        return done

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """The rows of a command that prints JSON."""
        rows: list[dict[str, Any]] = json.loads(self(*arguments).stdout)
        return rows

    def write(self, name: str, text: str) -> str:
        """Write a file to land."""
        path = self.home.parent / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return str(path)

    @contextmanager
    def platform(self) -> Iterator[Platform]:
        """The installation from inside, to look at its tables."""
        names = {k: v for k, v in self.environment.items() if k.startswith("SALESMART_") and k != "SALESMART_HOME"}
        settings = Settings.load(home=self.home, **{k.removeprefix("SALESMART_").lower(): v for k, v in names.items()})
        with Platform(settings) as opened:
            yield opened

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every table of the warehouse, the marts and the database, in a fixed order; without what differs from run to run."""
        found: dict[str, list[dict[str, Any]]] = {}
        with self.platform() as platform:
            for table in platform.tables:
                rows = platform.lake.snapshot(table.name).read().to_pylist()
                kept = [{k: v for k, v in row.items() if k not in ("file_id", "coupon_code")} for row in rows]
                found[table.name] = sorted(kept, key=lambda row: str(list(row.values())))
            for name in (*DIMENSIONS, *MARTS):
                rows = read_table(platform.marts, platform.tables[name]).to_pylist()
                kept = [{k: v for k, v in row.items() if k != "coupon_code"} for row in rows]
                found[f"database/{name}"] = sorted(kept, key=lambda row: str(list(row.values())))
        return found


@pytest.fixture
def salesmart(tmp_path: Path) -> Installation:
    """An installation on SQLite."""
    return Installation(tmp_path / "home")


@pytest.fixture
def salesmart_on(tmp_path: Path, database_url: str) -> Installation:
    """An installation on each database."""
    return Installation(tmp_path / "home", {"SALESMART_DATABASE_URL": database_url})
