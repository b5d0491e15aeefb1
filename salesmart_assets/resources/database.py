"""The database of the marts for Dagster: MySQL, MariaDB or SQLite, through SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ConfigurableResource

from salesmart_assets.resources.configuration import load_settings

if TYPE_CHECKING:
    import sqlalchemy as sa


class MartsDatabase(ConfigurableResource[None]):
    """The database that `SALESMART_DATABASE_URL` names; it is created if that is allowed."""

    def engine(self) -> sa.Engine:
        """An SQLAlchemy engine for that database; who asks for it disposes of it."""
        from salesmart_assets.publish.database import open_database

        return open_database(load_settings().marts_url)
