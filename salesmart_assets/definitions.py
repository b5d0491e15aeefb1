"""The platform on one page: the asset graph, its checks, the jobs, the sensors, the schedules and the resources.

Importing this starts no engine, makes no connection, and reads nothing but the package and the contracts.
"""

from __future__ import annotations

from dagster import Definitions, in_process_executor

from salesmart_assets.assets import ALL_ASSETS
from salesmart_assets.automation import JOBS, SCHEDULES, SENSORS
from salesmart_assets.checks import ALL_CHECKS
from salesmart_assets.resources import LandingS3, MartsDatabase, PlatformResource, SparkEngine

s3 = LandingS3()
database = MartsDatabase()
spark = SparkEngine()

defs = Definitions(
    assets=ALL_ASSETS,
    asset_checks=ALL_CHECKS,
    jobs=JOBS,
    sensors=SENSORS,
    schedules=SCHEDULES,
    resources={"s3": s3, "database": database, "spark": spark, "platform": PlatformResource(s3=s3, database=database, spark=spark)},
    executor=in_process_executor,
)
