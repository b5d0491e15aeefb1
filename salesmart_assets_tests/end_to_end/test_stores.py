"""The same platform on other stores and engines, by settings alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from salesmart_assets_tests import small_spark
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation

ROWS = ["1,121,bread,2026-07-31,1,2.50,2,5.00", "2,121,oil,2026-08-01,2,10.00,1,10.00", "1,122,bread,2026-08-01,3,2.50,4,10.00"]
SELLERS = [
    "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date",
    "1,Ann,Hill,2,false,121,Road 1,10001,2020-01-01",
    "2,Bob,Lake,,true,121,Road 2,10002,2019-01-01",
]


@pytest.fixture
def store() -> Iterator[str]:
    """An S3 store that is not the program's own, with two buckets; its address."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="k" * 8, aws_secret_access_key="s" * 8)
    client.create_bucket(Bucket="inbox")
    client.create_bucket(Bucket="lake")
    yield address
    server.stop()


def loaded(salesmart: Installation) -> dict[str, list[dict[str, object]]]:
    """The tables after the batch with sales, and then that with their sellers, were loaded."""
    salesmart("land", salesmart.write("a.csv", "\n".join([HEADER, *ROWS]) + "\n"), "--source", "sales", "--date", "2026-08-01")
    salesmart("land", salesmart.write("s.csv", "\n".join(SELLERS) + "\n"), "--source", "sales_team", "--date", "2026-08-02")
    salesmart("run")
    return without_addresses(salesmart.tables())


def without_addresses(tables: dict[str, list[dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    return {name: [{k: v for k, v in row.items() if k != "source_file"} for row in rows] for name, rows in tables.items()}


def test_landing_zone_and_lake_on_s3(store: str, tmp_path: Path) -> None:
    """With the landing zone and the lake on an S3 store, the tables are those of the local default."""
    settings = {
        "SALESMART_S3_ENDPOINT_URL": store,
        "SALESMART_S3_ACCESS_KEY_ID": "k" * 8,
        "SALESMART_S3_SECRET_ACCESS_KEY": "s" * 8,
        "SALESMART_LANDING": "s3://inbox/drop/here",
        "SALESMART_LAKE": "s3://lake/retail",
    }
    assert loaded(Installation(tmp_path / "s3" / "home", settings)) == loaded(Installation(tmp_path / "local" / "home"))


@pytest.mark.xdist_group("jvm")
def test_apache_spark_gives_the_same_tables(tmp_path: Path) -> None:
    """One setting changes the engine: Apache Spark gives the same tables as Sail, row for row."""
    spark = Installation(tmp_path / "spark" / "home", {"SALESMART_SPARK": "local[2]", **small_spark.configured(tmp_path)})
    assert loaded(spark) == loaded(Installation(tmp_path / "sail" / "home"))
