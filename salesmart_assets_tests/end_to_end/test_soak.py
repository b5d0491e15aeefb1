"""A short soak; `make soak` takes half an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from salesmart_assets_tests.soak import soak


@pytest.mark.xdist_group("recovery")
def test_short_soak_on_mariadb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files with faults land and processes are killed at random, and in the end everything adds up to the row."""
    assert soak(tmp_path, seconds=8, seed=11) == 0, capsys.readouterr().out
