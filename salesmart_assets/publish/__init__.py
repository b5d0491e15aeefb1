"""From the lake to the database: bulk load, compare, then one transaction that makes everything visible."""

from salesmart_assets.publish.bulk import bulk_load_method
from salesmart_assets.publish.database import describe, open_database
from salesmart_assets.publish.publisher import Publication, Publisher, SliceLoad
from salesmart_assets.publish.read import read_table

__all__ = ["Publication", "Publisher", "SliceLoad", "bulk_load_method", "describe", "open_database", "read_table"]
