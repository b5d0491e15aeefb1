"""Secrets are used and never told."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from salesmart_assets.local.endpoint import LocalEndpoint, local_credentials
from salesmart_assets.security.sealing import encrypt
from salesmart_assets.settings import Settings
from salesmart_assets_tests.conftest import MariaDb
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation
from salesmart_assets_tests.end_to_end.leaks import command_lines, found_in, leaks

WORDS = {name: f"{name}{secrets.token_hex(8)}" for name in ("password", "storekey", "coupon", "passphrase", "wrong")}
SALES = f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n2,121,oil,2026-08-01,1,10.00,1,99.00\n"


@pytest.fixture
def store() -> Iterator[str]:
    """An S3 store with a bucket `secrets-test`; its address."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="k" * 8, aws_secret_access_key="s" * 8)
    client.create_bucket(Bucket="secrets-test")
    yield address
    server.stop()


@pytest.fixture
def database(mariadb: MariaDb) -> Iterator[str]:
    """A database whose user has the marked password; its URL."""
    mariadb.execute(
        f"CREATE USER ann@'%' IDENTIFIED BY '{WORDS['password']}'", "GRANT ALL ON secrets_test.* TO ann@'%'", "CREATE DATABASE secrets_test"
    )
    yield mariadb.url("secrets_test", "ann", WORDS["password"])
    mariadb.execute("DROP DATABASE secrets_test", "DROP USER ann@'%'")


def test_no_secret_is_told(store: str, database: str, tmp_path: Path) -> None:
    """No secret, encrypted or in the clear, is in what commands print, in logs, in files of the home, or in Dagster's storage."""
    given = {
        "SALESMART_S3_SECRET_ACCESS_KEY": WORDS["storekey"],
        "SALESMART_DATABASE_URL": database,
        "SALESMART_COUPON_SECRET": WORDS["coupon"],
    }
    salesmart = Installation(
        tmp_path / "home",
        {
            "SALESMART_S3_ENDPOINT_URL": store,
            "SALESMART_S3_ACCESS_KEY_ID": "k" * 8,
            "SALESMART_LANDING": "s3://secrets-test/landing",
            "SALESMART_LEDGER_URL": f"sqlite:///{tmp_path}/home/ledger.db",
            "SALESMART_SECRETS_FILE": str(tmp_path / "project" / "salesmart.secrets"),
            "SALESMART_SECRETS_PASSPHRASE": WORDS["passphrase"],
        },
    )
    (tmp_path / "project").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SALESMART_SECRETS_FILE", "SALESMART_SECRETS_PASSPHRASE"):
            patch.setenv(name, salesmart.environment[name])
        for name, value in given.items():
            encrypt(Settings.given(may_lack_file=True), name, value)
    told = []

    def tell(*arguments: str, code: int, **environment: str) -> None:
        done = salesmart(*arguments, code=code, **environment)
        told.append(f"{arguments} {done.stdout} {done.stderr}")

    tell("land", salesmart.write("a.csv", SALES), "--source", "sales", "--date", "2026-08-01", code=0)
    # The run fails in Dagster, at the step that publishes, and its log says why.
    tell("run", code=1, SALESMART_DATABASE_URL=database.replace(WORDS["password"], WORDS["wrong"]))
    assert "refuses user ann" in told[-1]
    tell("run", code=0, **given)
    assert [f["status"] for f in salesmart.json("status", "--json")] == ["I"]
    tell("doctor", code=0, SALESMART_LAKE="s3://secrets-test/lake")
    tell(
        "doctor", code=2, SALESMART_S3_ENDPOINT_URL="http://127.0.0.1:9", SALESMART_DATABASE_URL=f"nonsense://ann:{WORDS['wrong']}@db/marts"
    )
    tell("secrets", "check", code=0, **given)
    tell("status", code=2, SALESMART_LEDGER_URL=f"{database.rpartition(':')[0]}:9/nowhere")
    assert found_in("\n".join(told).encode(), WORDS.values()) == set()
    assert leaks(tmp_path, WORDS.values()) == {}
    # Whoever looks finds what is there: the reason of the failed run, in Dagster's storage.
    assert any(name.startswith("home/dagster/") for name in leaks(tmp_path, ["refuses user ann"]))


def test_no_secret_is_among_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the local endpoint runs, no process shows its keys, or a secret of the settings, on its command line."""
    monkeypatch.setenv("SALESMART_HOME", str(tmp_path))
    monkeypatch.setenv("SALESMART_COUPON_SECRET", WORDS["coupon"])
    settings = Settings.load()
    with LocalEndpoint.start(settings) as endpoint:
        lines = command_lines()
        assert "serve s3" in lines
        assert found_in(lines.encode(), [endpoint.secret_access_key, WORDS["coupon"]]) == set()
        assert endpoint.secret_access_key not in repr(endpoint) + repr(local_credentials(settings))
        started = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if f"{tmp_path}/s3".encode() in path.read_bytes()]
        assert started
        assert not any(WORDS["coupon"].encode() in (process / "environ").read_bytes() for process in started)
    assert set(leaks(tmp_path, [endpoint.secret_access_key])) == {"s3-credentials.json"}
