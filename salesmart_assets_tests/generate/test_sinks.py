"""Files appear whole or not at all, in folders and in buckets."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from salesmart_assets.contracts import Contract
from salesmart_assets.errors import Unreachable
from salesmart_assets.generate import FolderSink, Plan, S3Sink, generate
from salesmart_assets.generate.receipts import BLOCK_ROWS, Till

DAY = date(2026, 3, 1)
PART = 16 * 2**20


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of an S3 server in this process, with the bucket `shop`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 1}),
    )
    client.create_bucket(Bucket="shop")
    yield client
    client.close()
    server.stop()


def keys(s3: Any, prefix: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="shop", Prefix=prefix).get("Contents", [])]


def test_bucket_and_folder_hold_the_same(tmp_path: Path, s3: Any, contracts: dict[str, Contract]) -> None:
    """A plan written to a bucket gives the same objects as in a folder, under PREFIX/SOURCE/dt=…/NAME."""
    plan = Plan(DAY, days=2, rows=300)
    list(generate(plan, FolderSink(tmp_path), contracts))
    list(generate(plan, S3Sink(s3, "shop", "landing/"), contracts))
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert f"sales/dt={DAY}/sales_{DAY}.csv" in files
    objects = {key: s3.get_object(Bucket="shop", Key=key)["Body"].read() for key in keys(s3, "landing/")}
    assert objects == {f"landing/{name}": content for name, content in files.items()}


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART + 77])
def test_any_size_arrives_whole(s3: Any, size: int) -> None:
    """Objects of no byte, of one part and of several parts arrive as they were written, whatever the size of the writes."""
    content = bytes(range(256)) * (size // 256 + 1)
    with S3Sink(s3, "shop", "sizes").open("sales", DAY, f"{size}.csv") as stream:
        for start in range(0, size, 5_000_011):
            stream.write(content[start : min(start + 5_000_011, size)])
    assert s3.get_object(Bucket="shop", Key=f"sizes/sales/dt={DAY}/{size}.csv")["Body"].read() == content[:size]


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_an_error_leaves_nothing_in_the_bucket(s3: Any, size: int) -> None:
    """When writing fails, no object appears and no upload stays open."""
    with pytest.raises(ZeroDivisionError), S3Sink(s3, "shop", "broken").open("sales", DAY, "a.csv") as stream:
        stream.write(b"x" * size)
        raise ZeroDivisionError
    assert keys(s3, "broken/") == []
    assert s3.list_multipart_uploads(Bucket="shop").get("Uploads", []) == []


def test_a_missing_bucket_is_named(s3: Any) -> None:
    """A bucket that can't be written to is an error that names the object and what to check."""
    with (
        pytest.raises(Unreachable, match=r"s3://nowhere/sales/dt=2026-03-01/a.csv .* Check the bucket"),
        S3Sink(s3, "nowhere").open("sales", DAY, "a.csv") as f,
    ):
        f.write(b"x")


def test_an_error_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    """A file appears in its place only when it is whole; after an error nothing of it is left."""
    sink = FolderSink(tmp_path)
    with pytest.raises(ZeroDivisionError), sink.open("sales", DAY, "a.csv") as stream:
        stream.write(b"half")
        assert not (tmp_path / "sales" / f"dt={DAY}" / "a.csv").exists()
        raise ZeroDivisionError
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_day_broken_off_leaves_no_half_file(
    tmp_path: Path, contracts: dict[str, Contract], monkeypatch: pytest.MonkeyPatch, kind: Any, packed: bool
) -> None:
    """When generating breaks off in the middle of a file, that file is not there, in any format, and those before it are."""
    rows = Till.rows

    def failing(till: Till, block: int, count: int) -> Any:
        if block:
            raise ZeroDivisionError
        return rows(till, block, count)

    monkeypatch.setattr(Till, "rows", failing)
    with pytest.raises(ZeroDivisionError):
        list(generate(Plan(DAY, rows=BLOCK_ROWS + 1, format=kind, gzip=packed), FolderSink(tmp_path), contracts))
    # A writer left open would complain when it is collected.
    gc.collect()
    found = sorted(path.name.split("_2026")[0] for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["customers", "products", "sales_team", "stores"]
