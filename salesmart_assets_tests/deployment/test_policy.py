"""The IAM policy: enough for everything the platform does, on a store that enforces it, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from salesmart_assets.batch import replay, reporting
from salesmart_assets.batch.doctor import examine
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.rejections import rejected_rows
from salesmart_assets.settings import Settings
from salesmart_assets_tests.batches import HEADER, load_pending, tables
from salesmart_assets_tests.deployment.conftest import DEPLOY, Store

POLICY = json.loads((DEPLOY / "iam-policy.json").read_text("utf-8"))


def test_the_policy_is_enough(store: Store, tmp_path: Path) -> None:
    """With the rights of `deploy/iam-policy.json` alone, files are loaded, mended, reported and archived, with versions and without."""
    root = store.client("root")
    named = {name.removeprefix("SALESMART_").lower(): value for name, value in store.settings("policed").items()}
    settings = Settings.load(home=tmp_path / "home", landing="s3://inbox/landing", lake="s3://lakes/lake", **named)
    assert [(part.name, part.says) for part in examine(settings) if not part.ok] == []
    with Platform(settings) as platform:

        def land(name: str, text: str) -> None:
            path = tmp_path / name
            path.write_text(text, "utf-8")
            platform.zone.put(path, "sales", platform.today())

        land("till.csv", f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n2,121,oil,2026-08-01,2,oops,1,10.00\n")
        land("unusable.csv", "some,other,columns\n1,2,3\n")
        load_pending(platform)
    root.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
    with Platform(settings) as platform:
        mended = tmp_path / "mended.csv"
        rejected = [row for row in rejected_rows(platform, "sales", None).to_dicts() if row["source_row"]]
        replay.write_out(platform, mended, rejected)
        mended.write_text(mended.read_text("utf-8-sig").replace("oops", "10.00"), "utf-8")
        assert replay.take_back(platform, mended).rows == 1
        for price in ("3.00", "4.00"):
            land("other.csv", f"{HEADER}\n3,122,bread,2026-08-01,3,{price},1,{price}\n")
        load_pending(platform)
        assert [str(row["total_sales"]) for row in tables(platform, ["daily_seller_sales"])["daily_seller_sales"]] == [
            "5.00",
            "10.00",
            "4.00",
        ]
        assert {file.status for file in platform.ledger.files()} == {"I"}
        assert reporting.store_daily(platform, platform.today()).page.startswith("s3://lakes/lake/reports/")
    keys = [item["Key"] for item in root.list_objects_v2(Bucket="inbox")["Contents"]]
    assert [key for key in keys if key.startswith("landing/") and key[-1] != "/"] == []
    assert sum(key.startswith("processed/sales/") for key in keys) >= 3
    assert sum(key.startswith("error/sales/") for key in keys) == 2


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("get_object", {"Bucket": "inbox", "Key": "elsewhere/of-others"}),
        ("put_object", {"Bucket": "inbox", "Key": "elsewhere/mine"}),
        ("delete_object", {"Bucket": "lakes", "Key": "elsewhere/of-others"}),
        ("get_object", {"Bucket": "retail", "Key": "elsewhere/of-others"}),
        ("list_objects_v2", {"Bucket": "inbox", "Prefix": "elsewhere/"}),
        ("list_objects_v2", {"Bucket": "lakes", "Prefix": "elsewhere/"}),
        ("list_objects_v2", {"Bucket": "retail"}),
        ("delete_bucket", {"Bucket": "lakes"}),
        ("create_bucket", {"Bucket": "mine"}),
        ("put_bucket_versioning", {"Bucket": "inbox", "VersioningConfiguration": {"Status": "Suspended"}}),
        ("put_bucket_policy", {"Bucket": "inbox", "Policy": "{}"}),
    ],
)
def test_the_policy_gives_nothing_else(store: Store, call: str, arguments: dict[str, object]) -> None:
    """Other keys, other buckets and the buckets' own settings are refused."""
    with pytest.raises(ClientError) as caught:
        getattr(store.client("policed"), call)(**arguments)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def test_no_right_is_given_by_a_wildcard() -> None:
    """Every action is named, and every object is under a prefix of the platform's."""
    for statement in POLICY["Statement"]:
        actions, resources = (value if isinstance(value, list) else [value] for value in (statement["Action"], statement["Resource"]))
        assert statement["Effect"] == "Allow"
        assert [action for action in actions if "*" in action] == []
        assert [
            name for name in resources if "*" in name and not name.endswith(("/landing/*", "/processed/*", "/error/*", "/lake/*"))
        ] == []
