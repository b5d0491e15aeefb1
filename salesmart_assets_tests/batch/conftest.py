"""Installations whose batches run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from salesmart_assets.batch.platform import Platform
from salesmart_assets_tests.batches import Batches


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    """An installation on SQLite."""
    return Batches(tmp_path / "home")


@pytest.fixture
def platform(batches: Batches) -> Iterator[Platform]:
    """That installation, opened."""
    with batches.platform() as opened:
        yield opened
