"""Dagster resources for S3, the database and Spark. They read the settings when a run starts, never at import."""

from salesmart_assets.resources.database import MartsDatabase
from salesmart_assets.resources.platform import PlatformResource
from salesmart_assets.resources.s3 import LandingS3
from salesmart_assets.resources.spark import SparkEngine

__all__ = ["LandingS3", "MartsDatabase", "PlatformResource", "SparkEngine"]
