"""What every test of publication needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    """Close what engines keep in their pools: a test may open as many as it likes."""
    opened: list[Any] = []

    def remember(connection: Any, _record: object) -> None:
        opened.append(connection)

    sa.event.listen(sa.Pool, "connect", remember)
    yield
    sa.event.remove(sa.Pool, "connect", remember)
    for connection in opened:
        with contextlib.suppress(pymysql.err.Error):
            connection.close()
