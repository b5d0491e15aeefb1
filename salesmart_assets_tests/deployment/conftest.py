"""A real S3 store that holds users to their rights: SeaweedFS, from a wheel."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from salesmart_assets_tests.conftest import dying_with_parent, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
# Buckets of the policy, by its placeholders.
BUCKETS = {"LANDING_BUCKET": "inbox", "LAKE_BUCKET": "lakes"}
_START_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Store:
    """A running store. `secret` is the key of all its users: root, `salesmart` of the compose file, and `policed` by the IAM policy."""

    url: str
    secret: str = field(repr=False)

    def client(self, user: str) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=user,
            aws_secret_access_key=self.secret,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def settings(self, user: str) -> dict[str, str]:
        """The settings by which this user speaks to the store."""
        return {
            "SALESMART_S3_ENDPOINT_URL": self.url,
            "SALESMART_S3_ACCESS_KEY_ID": user,
            "SALESMART_S3_SECRET_ACCESS_KEY": self.secret,
        }


def identities(secret: str) -> dict[str, Any]:
    """The store's users: one that may do everything, that of the compose file, and one with the IAM policy."""
    policy = (DEPLOY / "iam-policy.json").read_text("utf-8")
    for placeholder, bucket in BUCKETS.items():
        policy = policy.replace(placeholder, bucket)
    (composed,) = json.loads(COMPOSE["configs"]["keys"]["content"].replace("${S3_SECRET_KEY:?}", secret))["identities"]
    return {
        "identities": [
            {"name": "root", "credentials": [{"accessKey": "root", "secretKey": secret}], "actions": ["Admin"]},
            composed,
            {"name": "policed", "credentials": [{"accessKey": "policed", "secretKey": secret}], "policyNames": ["salesmart"]},
        ],
        "policies": [{"name": "salesmart", "content": policy}],
    }


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The store with its users and buckets, gone with the test process."""
    home = tmp_path_factory.mktemp("store")
    secret = secrets.token_hex(16)
    (home / "s3.json").write_text(json.dumps(identities(secret)), "utf-8")
    names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [
        str(Path(sysconfig.get_path("scripts")) / "weed"),
        *("server", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=0", "-master.volumeSizeLimitMB=64"),
        # These two have fixed ports, which another test process's store may have.
        *("-s3", f"-s3.config={home / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    log = home / "store.log"
    with log.open("wb") as output:
        process = subprocess.Popen(dying_with_parent(command), stdout=output, stderr=output, cwd=home)
    try:
        running = Store(f"http://127.0.0.1:{ports['s3.port']}", secret)
        _make_buckets(running, [*BUCKETS.values(), "retail"], process, log)
        yield running
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _make_buckets(store: Store, buckets: Sequence[str], process: subprocess.Popen[bytes], log: Path) -> None:
    """Make the buckets, and wait until they can be written to: the store answers before it can."""
    deadline = time.monotonic() + _START_SECONDS
    client = store.client("root")
    waiting = list(buckets)
    while waiting:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            client.create_bucket(Bucket=waiting[0])
            client.put_object(Bucket=waiting[0], Key="elsewhere/of-others", Body=b"theirs")
            del waiting[0]
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou":
                client.delete_bucket(Bucket=waiting[0])
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
            time.sleep(0.2)
