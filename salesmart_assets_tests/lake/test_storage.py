"""A lake on S3 with the credentials that the standard AWS chain finds, against a store that checks who asks."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import moto.settings
import pyarrow as pa
import pytest
from moto.core.responses import ActionAuthenticatorMixin
from moto.server import ThreadedMotoServer

from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts import build_tables, load_contracts
from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets.lake import Lake
from salesmart_assets.lake.storage import S3
from salesmart_assets.lake.writer import PartitionWriter
from salesmart_assets.settings import Settings
from salesmart_assets_tests.end_to_end.conftest import Installation

NAME = "daily_customer_sales"


@dataclass(frozen=True)
class Guarded:
    """A store with a bucket, which lets in the keys and the role that it gave out, and nobody else; all go by its `name`."""

    address: str
    name: str
    iam: Any

    @property
    def role(self) -> str:
        """The role that its keys may assume."""
        return f"arn:aws:iam::123456789012:role/{self.name}"

    def new_key(self) -> dict[str, str]:
        """A key pair that is let in."""
        key: dict[str, str] = self.iam.create_access_key(UserName=self.name)["AccessKey"]
        return key

    def refuse(self, key: dict[str, str]) -> None:
        """Let the key pair in no more."""
        self.iam.delete_access_key(UserName=self.name, AccessKeyId=key["AccessKeyId"])


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """The store; in the environment nothing leads to credentials."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address, name = f"http://{host}:{port}", f"guarded-{uuid.uuid4().hex[:12]}"
    root = {"endpoint_url": address, "region_name": "us-east-1", "aws_access_key_id": "root-key", "aws_secret_access_key": "s" * 8}
    iam, s3 = boto3.client("iam", **root), boto3.client("s3", **root)
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "sts:*", "iam:*"], "Resource": "*"}]}
    trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}}
    for user in (name, f"{name}-root"):
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=json.dumps(allow))
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(allow))
    s3.create_bucket(Bucket=name)
    key = iam.create_access_key(UserName=f"{name}-root")["AccessKey"]
    root |= {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    for variable in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_REGION", "CA_BUNDLE"):
        monkeypatch.delenv(f"AWS_{variable}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)
    yield Guarded(address, name, boto3.client("iam", **root))
    server.stop()


def settings(home: Path, store: Guarded) -> Settings:
    return Settings.load(home=home, s3_endpoint_url=store.address, landing=f"s3://{store.name}/landing", lake=f"s3://{store.name}/lake")


def add(lake: Lake, customer: int) -> None:
    """Commit a row."""
    rows = {"customer_id": [customer], "sales_date": [date(2026, 11, 1)], "total_sales": [Decimal("1.00")], "orders": [1]}
    table = lake.tables[NAME]
    with PartitionWriter(lake, table, f"part-{customer}") as into:
        into.write(pa.table({name: rows[name] for name in table.names}).cast(table.arrow))
    base = lake.snapshot(NAME)
    lake.committer(NAME).commit(base, into.files, [], slice_column=None, slices=(), run_id="test", lease=None)


def test_a_profile_that_assumes_a_role(guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile of the AWS configuration, and the role that it names, open landing zone and lake, for Sail as well."""
    key = guarded.new_key()
    config = tmp_path / "config"
    config.write_text(
        f"[profile keys]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
        f"[profile retail]\nrole_arn = {guarded.role}\nsource_profile = keys\nregion = us-east-1\n"
    )
    for name, value in {
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": "retail",
        # The role is asked for there, too.
        "AWS_ENDPOINT_URL": guarded.address,
    }.items():
        monkeypatch.setenv(name, value)
    opened = settings(tmp_path / "home", guarded)
    with Platform(opened) as platform:
        platform.zone.check()
        add(platform.lake, 1)
        assert platform.lake.snapshot(NAME).read()["customer_id"].to_pylist() == [1]
        assert platform.lake.storage.options()["AWS_SESSION_TOKEN"]  # type: ignore[index]
    # In a process of its own: Sail keeps the credentials that it found first.
    named = {"S3_ENDPOINT_URL": guarded.address, "LANDING": str(opened.landing), "LAKE": opened.lake_uri}
    salesmart = Installation(opened.home, {f"SALESMART_{name}": value for name, value in named.items()})
    done = salesmart("query", f"select customer_id from {NAME}", "--format", "csv")
    assert done.stdout.split() == ["customer_id", "1"]


def test_credentials_that_expire(guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of a container's role are renewed in time, also for a table that is open: the lake goes on with the new ones."""
    current = guarded.new_key()

    class Agent(BaseHTTPRequestHandler):
        """What a container asks for the credentials of its role: they expire within minutes."""

        def do_GET(self) -> None:
            expires = (datetime.now(timezone.utc) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
            keys = {"AccessKeyId": current["AccessKeyId"], "SecretAccessKey": current["SecretAccessKey"], "Token": ""}
            body = json.dumps({**keys, "Expiration": expires}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    agent = ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    Thread(target=agent.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{agent.server_port}/")
    lake = Lake.open(settings(tmp_path, guarded), build_tables(load_contracts()))
    lake._create(lake.tables[NAME])
    add(lake, 1)
    assert lake.snapshot(NAME).rows == 1  # by a handle that stays open
    old, current = current, guarded.new_key()
    guarded.refuse(old)
    add(lake, 2)
    assert sorted(lake.snapshot(NAME).read()["customer_id"].to_pylist()) == [1, 2]
    agent.shutdown()
    agent.server_close()


def test_no_credentials_at_all(guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the chain finds no credentials, the error says so and what to set."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Unreachable, match=r"no usable credentials for the lake at s3://guarded-.* \(none was found\)"):
        Lake.open(settings(tmp_path, guarded), build_tables(load_contracts())).create_tables()
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Unreachable, match=r"\(ProfileNotFound\)"):
        S3(settings(tmp_path, guarded)).options()


def test_a_folder_that_the_lake_cannot_lie_in_is_told(tmp_path: Path) -> None:
    """A % in the lake's path, which libraries take for the beginning of an escape, is told before anything is made there."""
    tables = build_tables(load_contracts())
    with pytest.raises(UsageError, match=r"The lake cannot lie in .*50%off/lake, for the % in it"):
        Lake.open(Settings(home=tmp_path / "50%off"), tables)
    assert list(tmp_path.iterdir()) == []
    Lake.open(Settings(home=tmp_path / "50%off", lake=str(tmp_path / "lake")), tables)
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
