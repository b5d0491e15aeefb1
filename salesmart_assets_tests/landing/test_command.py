"""Landing and fetching from the command line."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner

from salesmart_assets.cli import cli
from salesmart_assets.errors import UsageError
from salesmart_assets.landing.faults import StoreFault
from salesmart_assets.landing.zone import LandingZone


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to land, and a home of its own."""
    for name in [n for n in os.environ if n.startswith("SALESMART_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SALESMART_HOME", str(tmp_path / "home"))
    path = tmp_path / "a.csv"
    path.write_text("one\n")
    return path


def run(*arguments: str | Path) -> str:
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False).output


def test_land_refuses_a_date_that_is_none_of_a_batch(file: Path) -> None:
    """A date in the future or before the first batch date is refused in one sentence, and nothing lands."""
    tomorrow = datetime.now(timezone.utc).date() + timedelta(1)
    for day in (tomorrow, "2009-12-31"):
        with pytest.raises(UsageError, match=r"2010-01-01 to today, in UTC\. Nothing was landed"):
            run("land", file, "--source", "sales", "--date", str(day))
    assert "Nothing is there" in run("landing", "ls")


def test_get_leaves_no_half_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is fetched is there as a whole or, when that broke off, as it was before."""
    key = run("land", file, "--source", "sales").splitlines()[0]
    out = tmp_path / "out" / "b.csv"
    out.parent.mkdir()
    out.write_text("old")
    whole = LandingZone.copy_to

    def broken(zone: LandingZone, key: str, into: object, *, bucket: str) -> None:
        into.write(b"half")  # type: ignore[attr-defined]
        raise StoreFault("broke off")

    monkeypatch.setattr(LandingZone, "copy_to", broken)
    with pytest.raises(StoreFault):
        run("landing", "get", key, "--out", out)
    assert [p.name for p in out.parent.iterdir()] == ["b.csv"]
    assert out.read_text() == "old"
    monkeypatch.setattr(LandingZone, "copy_to", whole)
    run("landing", "get", key, "--out", out)
    assert [p.name for p in out.parent.iterdir()] == ["b.csv"]
    assert out.read_text() == "one\n"
