"""The database of the marts for Dagster: MySQL, MariaDB or SQLite, through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from dagster import ConfigurableResource

from salesmart_assets.settings import Settings


class MartsDatabase(ConfigurableResource[sa.Engine]):
    """The database that `SALESMART_DATABASE_URL` names; it is created if that is allowed."""

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """An SQLAlchemy engine, disposed of at the end."""
        from salesmart_assets.publish.database import open_database

        engine = open_database(Settings.load().marts_url)
        try:
            yield engine
        finally:
            engine.dispose()
