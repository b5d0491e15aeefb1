"""The stores that the landing zone is tested on: the program's own endpoint, and moto's server with and without versions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.s3.models import s3_backends

from salesmart_assets.landing.objects import LandedObject
from salesmart_assets.landing.zone import LandingZone
from salesmart_assets.local import LocalEndpoint
from salesmart_assets.settings import Settings
from salesmart_assets_tests.landing.wire import BadWire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STORES = ("local", "conditional", "versioned")


def client_of(url: str, access_key: str = "test-key-id", secret_key: str = "test-secret-key") -> S3Client:
    """A client of a test's store: it gives up soon."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 2}),
    )


def own_client(endpoint: LocalEndpoint) -> S3Client:
    """A client of a local endpoint."""
    return client_of(endpoint.url, endpoint.access_key_id, endpoint.secret_access_key)


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket on a store, with the landing zone in it and a producer's own client."""

    kind: str
    zone: LandingZone
    producer: S3Client
    folder: Path | None

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.zone.bucket

    def land(self, key: str, body: bytes) -> LandedObject:
        """Write an object as a producer does; the object as the listing shows it."""
        self.producer.put_object(Bucket=self.bucket, Key=key, Body=body)
        return next(o for o in self.zone.list_any(key) if o.key == key)

    def put_quickly(self, key: str) -> None:
        """Place an empty object without a request, for tests that need thousands."""
        if self.folder is None:
            s3_backends["123456789012"]["aws"].put_object(self.bucket, key, b"")
        else:
            (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).touch()

    def body(self, key: str) -> bytes:
        """What is at a key now."""
        return self.producer.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        """All keys."""
        return [o.key for o in self.zone.list_any(prefix)]


@pytest.fixture(scope="session")
def local_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a local endpoint."""
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def local_endpoint(local_home: Settings) -> Iterator[LocalEndpoint]:
    """The program's own endpoint."""
    with LocalEndpoint.start(local_home) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A server that knows versions and conditional deletion."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest) -> Iterator[Callable[[str], tuple[S3Client, S3Client]]]:
    """The zone's client and a producer's for "local" or "moto": made once, since that takes long."""
    made: dict[str, tuple[S3Client, S3Client]] = {}

    def of(kind: str) -> tuple[S3Client, S3Client]:
        if kind not in made:
            if kind == "local":
                endpoint: LocalEndpoint = request.getfixturevalue("local_endpoint")
                made[kind] = (own_client(endpoint), own_client(endpoint))
            else:
                url = request.getfixturevalue("moto_url")
                made[kind] = (client_of(url), client_of(url))
        return made[kind]

    yield of
    for pair in made.values():
        for client in pair:
            client.close()


def _store(request: pytest.FixtureRequest, kind: str) -> Store:
    name = f"shop-{uuid.uuid4().hex[:10]}"
    settings: Settings = request.getfixturevalue("local_home")
    client, producer = request.getfixturevalue("clients")("local" if kind == "local" else "moto")
    producer.create_bucket(Bucket=name)
    if kind == "versioned":
        producer.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    zone = LandingZone(client, name, "landing/", folder=settings.own_s3_folder if kind == "local" else None)
    zone.can_archive_safely()  # asked once: what tests do at the zone's requests does not meet the trial
    return Store(kind, zone, producer, settings.root / "s3" / name if kind == "local" else None)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Store:
    """One test, three stores."""
    return _store(request, request.param)


@pytest.fixture
def local_store(request: pytest.FixtureRequest) -> Store:
    """The program's own endpoint."""
    return _store(request, "local")


@pytest.fixture
def versioned_store(request: pytest.FixtureRequest) -> Store:
    """A bucket with versions."""
    return _store(request, "versioned")


@pytest.fixture
def conditional_store(request: pytest.FixtureRequest) -> Store:
    """A bucket without versions on a store that holds deletions to the ETag."""
    return _store(request, "conditional")


@pytest.fixture
def bad_wire(moto_url: str) -> Iterator[BadWire]:
    """Between a client and moto's server."""
    with BadWire.to(moto_url) as wire:
        yield wire
