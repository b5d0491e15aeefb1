"""The local S3 endpoint: it starts by itself, never outlives its starter, and several serve one home."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from salesmart_assets.errors import Unreachable
from salesmart_assets.local import LocalEndpoint, local_credentials
from salesmart_assets.settings import Settings
from salesmart_assets_tests.landing.conftest import client_of, own_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_STARTER = r"""
import os, sys, time
from pathlib import Path
from salesmart_assets.local import LocalEndpoint
from salesmart_assets.settings import Settings
endpoint = LocalEndpoint.start(Settings(home=Path(sys.argv[1])))
if sys.argv[2] == "fork" and os.fork() == 0:
    os.write(1, b'%d\n' % os.getpid())
    time.sleep(60)
    os._exit(0)
os.write(1, endpoint.url.encode() + b'\n')
if sys.argv[2] != "exit":
    time.sleep(60)
os._exit(3)
"""


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def _gone(url: str, seconds: float = 8) -> bool:
    deadline = time.monotonic() + seconds
    while _answers(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _client(endpoint: LocalEndpoint) -> closing[S3Client]:
    return closing(own_client(endpoint))


@pytest.mark.parametrize("end", ["kill", "fork", "exit"])
def test_endpoint_dies_with_its_starter(tmp_path: Path, end: str) -> None:
    """When the starting process is killed, even by SIGKILL, exits without a word, or leaves a fork behind, no endpoint is left."""
    starter = subprocess.Popen([sys.executable, "-c", _STARTER, str(tmp_path), end], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    said = [starter.stdout.readline().strip() for _ in range(2 if end == "fork" else 1)]
    url = next(line for line in said if line.startswith("http"))
    forked = next((int(line) for line in said if line.isdigit()), None)
    try:
        if end != "exit":
            assert _answers(url)
            starter.send_signal(signal.SIGKILL)
        starter.wait(10)
        assert _gone(url)
    finally:
        if forked is not None:
            os.kill(forked, signal.SIGKILL)
        starter.stdout.close()


def test_stop_ends_it_and_objects_stay(tmp_path: Path) -> None:
    """What was landed survives every restart of the endpoint; a clean stop leaves neither process nor log behind."""
    settings = Settings(home=tmp_path)
    with LocalEndpoint.start(settings) as endpoint, _client(endpoint) as client:
        client.put_object(Bucket="salesmart", Key="landing/sales/a.csv", Body=b"1")
    assert _gone(endpoint.url)
    endpoint.stop()
    assert list((tmp_path / "logs").iterdir()) == []
    with LocalEndpoint.start(settings) as again, _client(again) as client:
        assert client.get_object(Bucket="salesmart", Key="landing/sales/a.csv")["Body"].read() == b"1"


def test_two_endpoints_of_a_home_see_each_other_at_once(tmp_path: Path) -> None:
    """What is written, overwritten or deleted through one endpoint is seen through another of the same home by the next request."""
    settings = Settings(home=tmp_path)
    with LocalEndpoint.start(settings) as one, LocalEndpoint.start(settings) as two, _client(one) as client, _client(two) as other:
        for number in range(24):
            a, b = (client, other) if number % 4 < 2 else (other, client)
            key = f"landing/sales/dt=2024-01-{number % 3 + 1:02d}/f{number % 20}.csv"
            for body in (f"{number:04d}".encode(), f"{number:04x}+".encode()[:4], b"", b"longer" * number):
                a.put_object(Bucket="salesmart", Key=key, Body=body)
                listed = {o["Key"]: o for o in b.list_objects_v2(Bucket="salesmart", Prefix="landing/sales/")["Contents"]}
                assert listed[key]["Size"] == len(body)
                answer = b.get_object(Bucket="salesmart", Key=key)
                assert answer["Body"].read() == body
                assert answer["ETag"].strip('"') == listed[key]["ETag"].strip('"')
            if number % 2:
                b.delete_object(Bucket="salesmart", Key=key)
                with pytest.raises(ClientError):
                    a.head_object(Bucket="salesmart", Key=key)
                assert key not in [o["Key"] for o in a.list_objects_v2(Bucket="salesmart").get("Contents", [])]


def test_nothing_is_lost_when_folders_come_and_go(tmp_path: Path) -> None:
    """A producer may land files in a day's folder while another process empties it: every file that was acknowledged is there."""
    settings = Settings(home=tmp_path)
    with LocalEndpoint.start(settings) as one, LocalEndpoint.start(settings) as two, _client(one) as a, _client(two) as b:
        for number in range(30):
            a.put_object(Bucket="salesmart", Key=f"landing/sales/dt=2024-01-01/old{number}.csv", Body=b"x")
            with ThreadPoolExecutor(2) as pool:
                gone = pool.submit(b.delete_object, Bucket="salesmart", Key=f"landing/sales/dt=2024-01-01/old{number}.csv")
                put = pool.submit(a.put_object, Bucket="salesmart", Key=f"landing/sales/dt=2024-01-01/new{number}.csv", Body=b"y")
                gone.result()
                put.result()
            left = [o["Key"] for o in b.list_objects_v2(Bucket="salesmart").get("Contents", [])]
            assert left == [f"landing/sales/dt=2024-01-01/new{number}.csv"]
            b.delete_object(Bucket="salesmart", Key=left[0])


def test_two_homes_run_side_by_side(tmp_path: Path) -> None:
    """Two homes have an endpoint each, with keys and objects of their own; one's keys do not open the other."""
    with LocalEndpoint.start(Settings(home=tmp_path / "a")) as one, LocalEndpoint.start(Settings(home=tmp_path / "b")) as two:
        with _client(one) as client:
            client.put_object(Bucket="salesmart", Key="k", Body=b"1")
        with _client(two) as client:
            assert "Contents" not in client.list_objects_v2(Bucket="salesmart")
        with closing(client_of(two.url, one.access_key_id, one.secret_access_key)) as stranger, pytest.raises(ClientError):
            stranger.list_objects_v2(Bucket="salesmart")


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    """All processes of a home agree on one key pair, which only its owner can read and no process list shows."""
    settings = Settings(home=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: local_credentials(settings), range(16)))
    assert len(made) == 1
    assert stat.S_IMODE((tmp_path / "s3-credentials.json").stat().st_mode) == 0o600
    with LocalEndpoint.start(settings) as endpoint:
        shown = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        assert str(settings.root / "s3") in shown
        assert endpoint.secret_access_key not in shown


def test_attached_endpoint_is_not_stopped(tmp_path: Path) -> None:
    """A process that uses the endpoint of another leaves it running."""
    with LocalEndpoint.start(Settings(home=tmp_path)) as endpoint:
        with LocalEndpoint.attach(Settings(home=tmp_path, s3_local_url=endpoint.url)) as attached, _client(attached) as client:
            assert "Contents" not in client.list_objects_v2(Bucket="salesmart")
        assert _answers(endpoint.url)


def test_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    """A port that is in use stops the start with a sentence that says so and what to set; nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Unreachable, match=r"address already in use.* Set SALESMART_S3_PORT to a free port"):
            LocalEndpoint.start(Settings(home=tmp_path), port=taken.getsockname()[1])


def test_spoilt_keys_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    """A keys file that cannot be read is named, with what to do."""
    (tmp_path / "s3-credentials.json").write_text("{}")
    with pytest.raises(Unreachable, match=r"s3-credentials\.json .* Delete that file"):
        LocalEndpoint.start(Settings(home=tmp_path))
