"""The Delta tables: reading them at a pinned version, and the one place that commits to them."""

from salesmart_assets.lake.committer import Commit, Committer
from salesmart_assets.lake.files import NewFile
from salesmart_assets.lake.lake import Lake
from salesmart_assets.lake.snapshot import DataFile, Snapshot

__all__ = ["Commit", "Committer", "DataFile", "Lake", "NewFile", "Snapshot"]
