"""The landing zone over boto3: list, put, read exactly what was listed, and move away what is done.

Belongs here: the zone and its connection. Does not belong here: what the files hold, and which of them are new.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from salesmart_assets.errors import Permanent, Retryable, Unreachable, UsageError
from salesmart_assets.landing.archive import Archive, Moved
from salesmart_assets.landing.bucket import Bucket, own_version
from salesmart_assets.landing.faults import BucketFault, ObjectChanged, ObjectDenied, ObjectGone, StoreFault, code_of, translated
from salesmart_assets.landing.listing import read_listings_quickly
from salesmart_assets.landing.objects import InvalidBatchDate, LandedObject, archive_prefix, batch_date_of, in_utc
from salesmart_assets.landing.retries import pause, tell, tell_of_retries
from salesmart_assets.local.endpoint import local_credentials

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

    from salesmart_assets.local.endpoint import LocalEndpoint
    from salesmart_assets.settings import Settings

__all__ = [
    "BucketFault",
    "InvalidBatchDate",
    "LandedObject",
    "LandingZone",
    "ObjectChanged",
    "ObjectDenied",
    "ObjectGone",
    "StoreFault",
    "batch_date_of",
    "connect",
]

_BLOCK_BYTES = 1 << 20
_MULTIPART_BYTES = 32 << 20
_MD5_DIGITS = 32
_MOST_PARTS = 9_000
_MOST_STRAYS = 100
_READ_PAUSES = (0.2, 0.8, 3.2)  # seconds before each further attempt
_THERE_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
_MISSING = {"404", "NoSuchKey", "NoSuchVersion", "NotFound", "405", "MethodNotAllowed"}


class LandingZone:
    """Where producers drop objects: PREFIX/SOURCE/dt=YYYY-MM-DD/FILE in a bucket, with processed/ and error/ beside PREFIX.

    `prefix` has a trailing slash or is empty. `folder` is the one that the program's own endpoint serves; None for other stores.
    Its methods take another bucket of the same store by name: a source may have more places, and its own processed/ and error/ in
    each bucket.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str, *, folder: Path | None) -> None:
        """Use the client, whose listings are made cheap and whose retries are told; nothing is asked of the store yet."""
        read_listings_quickly(client)
        tell_of_retries(client)
        self.client = client
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.folder = folder
        self._buckets: dict[str, Bucket] = {}
        if self.prefix in (self.area("processed"), self.area("error")):
            raise UsageError(f"SALESMART_LANDING can't end in {PurePosixPath(self.prefix).name}/: finished objects are moved there.")

    @property
    def local(self) -> bool:
        """Whether the store is the program's own endpoint."""
        return self.folder is not None

    def area(self, kind: Literal["processed", "error"]) -> str:
        """Key prefix of finished objects, beside the landing prefix: landing/ has processed/ and error/."""
        return archive_prefix(self.prefix, kind)

    def _bucket(self, name: str | None) -> Bucket:
        return self._buckets.setdefault(name or self.bucket, Bucket(self.client, name or self.bucket))

    def reach(self) -> None:
        """Raise `Unreachable` if the store does not answer, or not to these keys. A bucket that is missing is told where it is listed."""
        with suppress(BucketFault):
            self.check()

    def check(self, bucket: str | None = None, prefix: str | None = None) -> None:
        """Ask the store for a listing. Raises `Unreachable` with one sentence: what, where, and what to do.

        It is a `BucketFault` if just this bucket, or its part under the prefix, can't be had.
        """
        where = self.client.meta.endpoint_url
        name, under = bucket or self.bucket, self.prefix if prefix is None else prefix
        try:
            with translated("Listing", name, under=under):
                self.client.list_objects_v2(Bucket=name, Prefix=under, MaxKeys=1)
        except Retryable:
            raise Unreachable(
                f"The S3 endpoint {where} does not answer for bucket {name}. Start it, or correct SALESMART_S3_ENDPOINT_URL."
            ) from None
        except ObjectGone:
            raise BucketFault(f"There is no bucket {name} at {where}. Create it, or name one that is there.") from None
        except Unreachable:
            raise
        except Permanent as error:
            raise Unreachable(f"{error} Endpoint: {where}.") from error

    def objects(self, source: str, *, bucket: str | None = None, prefix: str | None = None) -> Iterator[LandedObject]:
        """The current objects of a source, page by page, in the order of their keys; elsewhere if a bucket and prefix are named.

        Raises `Unreachable` or `StoreFault`.
        """
        under = f"{self.prefix}{source}/" if prefix is None else prefix
        return self._bucket(bucket).listed(under, source)

    def objects_of(self, source: str, batch_date: date, *, bucket: str | None = None, prefix: str | None = None) -> Iterator[LandedObject]:
        """The current objects of a source that can belong to a batch date: all but those under the dt= folder of another.

        An object in no dt= folder is among them whatever its date is; dt= folders may lie in other folders. Takes places and
        raises as `objects`.
        """
        under = f"{self.prefix}{source}/" if prefix is None else prefix
        return self._bucket(bucket).listed_of(under, source, f"dt={batch_date.isoformat()}")

    def strays(self, read: Collection[str]) -> list[str]:
        """Addresses of folders and objects directly under the landing prefix that nobody reads; `read` are the prefixes that are.

        None in a bucket that is a landing zone as a whole, where there may be other things. Raises as `objects`.
        """
        if not self.prefix:
            return []
        found = self._bucket(None).directly_under(self.prefix, _MOST_STRAYS)
        return [f"s3://{self.bucket}/{key}" for key in found if not any(p.startswith(key) or key.startswith(p) for p in read)]

    def list_any(self, prefix: str, *, bucket: str | None = None) -> Iterator[LandedObject]:
        """The current objects under any prefix of a bucket; their source is empty outside the landing zone and the archive."""
        for landed in self._bucket(bucket).listed(prefix, ""):
            yield self._with_source(landed)

    def _with_source(self, landed: LandedObject) -> LandedObject:
        for area in (self.area("processed"), self.area("error"), self.prefix):
            if landed.key.startswith(area) and "/" in landed.key[len(area) :]:
                return replace(landed, source=landed.key[len(area) :].split("/", 1)[0])
        return landed

    def put(
        self, path: Path, source: str, batch_date: date, name: str | None = None, *, bucket: str | None = None, prefix: str | None = None
    ) -> str:
        """Land a file under its batch date, replacing an object of the same name; returns the key. Large files go in parts.

        Takes places as `objects`.
        """
        bucket, under = bucket or self.bucket, f"{self.prefix}{source}/" if prefix is None else prefix
        key = f"{under}dt={batch_date.isoformat()}/{name or path.name}"
        if not path.is_file():
            raise UsageError(f"{path} is no file: nothing was landed.")
        size = path.stat().st_size
        config = TransferConfig(
            multipart_threshold=_MULTIPART_BYTES,
            multipart_chunksize=max(_MULTIPART_BYTES // 2, size // _MOST_PARTS),
            use_threads=not self.local,  # the local endpoint writes parts in order and holds in memory those that come early
        )
        with path.open("rb") as file, translated("Writing", bucket, under=key):
            self.client.upload_fileobj(file, bucket, key, Config=config)
        return key

    def download(self, landed: LandedObject, into: BinaryIO) -> str:
        """Write the object's bytes to `into`, which can seek; returns their hex SHA-256. See `download_file`."""
        return self.download_file(landed.key, landed.etag, landed.size, landed.version_id, into, bucket=landed.bucket)

    def download_file(self, key: str, etag: str, size: int, version_id: str | None, into: BinaryIO, *, bucket: str | None = None) -> str:
        """Write exactly the object that has this ETag, size in bytes and version to `into`; returns the hex SHA-256 of the content.

        Lost connections and short bodies are tried again from the start. Raises `ObjectChanged`, `ObjectGone`, `ObjectDenied`,
        `StoreFault`, `Unreachable`.
        """
        bucket = bucket or self.bucket
        start = into.tell()
        for seconds in _READ_PAUSES:
            try:
                return self._read_exactly(bucket, key, etag, size, version_id, into)
            except StoreFault as error:
                waited = pause(seconds)
                tell(str(error), waited)
                time.sleep(waited)
                into.seek(start)
                into.truncate()
        return self._read_exactly(bucket, key, etag, size, version_id, into)

    def _read_exactly(self, bucket: str, key: str, etag: str, size: int, version_id: str | None, into: BinaryIO) -> str:
        changed = f"s3://{bucket}/{key} was overwritten after it was listed. The new object is picked up by itself."
        wanted: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        sha, count = hashlib.sha256(), 0
        # What the local endpoint's ETag is made of; in homes of earlier releases it is MD5.
        hashed = hashlib.md5(usedforsecurity=False) if self.local and len(etag) == _MD5_DIGITS else sha
        with translated("Reading", bucket, key):
            answer = self.client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"', **wanted)
            with answer["Body"] as body:
                # Not every store holds to If-Match: what it says it sends is compared.
                if answer["ETag"].strip('"') != etag:
                    raise ObjectChanged(changed)
                if answer["ContentLength"] != size:
                    # Another object, or a body cut short by something on the way, which then says the length of what is left.
                    there = self.head(key, version_id, bucket=bucket)
                    if there is None or there.etag != etag or there.size != size:
                        raise ObjectChanged(changed)
                    short = f"came with {answer['ContentLength']} of {size} bytes. It is tried again by the next run."
                    raise StoreFault(f"s3://{bucket}/{key} {short}")
                while block := body.read(_BLOCK_BYTES):
                    sha.update(block)
                    if hashed is not sha:
                        hashed.update(block)
                    into.write(block)
                    count += len(block)
        if count != size:
            raise StoreFault(f"s3://{bucket}/{key} broke off after {count} of {size} bytes. It is tried again by the next run.")
        # The local endpoint hashes the file before it sends it; a file changed in its folder in between is seen here.
        if self.local and hashed.hexdigest() != etag:
            raise ObjectChanged(changed)
        return sha.hexdigest()

    def head(self, key: str, version_id: str | None = None, *, bucket: str | None = None) -> LandedObject | None:
        """The object at a key, with the same identity as in a listing; None if there is none."""
        bucket = bucket or self.bucket
        if self.local:  # its head tells another time than its listing
            listed = self._bucket(bucket).current(key)
            return listed and self._with_source(listed)
        wanted: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        with translated("Looking at", bucket, key):
            try:
                found = self.client.head_object(Bucket=bucket, Key=key, **wanted)
            except ClientError as error:
                if code_of(error) in _MISSING:
                    return None
                raise
        version = own_version(found.get("VersionId"))
        landed = LandedObject("", bucket, key, version, found["ETag"].strip('"'), found["ContentLength"], in_utc(found["LastModified"]))
        return self._with_source(landed)

    def read(self, key: str, *, bucket: str | None = None) -> StreamingBody:
        """The bytes of an object, as a stream to read and close. Raises `ObjectGone` if it is not there."""
        bucket = bucket or self.bucket
        with translated("Reading", bucket, key):
            return self.client.get_object(Bucket=bucket, Key=key)["Body"]

    def copy_to(self, key: str, into: BinaryIO, *, bucket: str | None = None) -> None:
        """Write the bytes of the object at a key to `into`, all of them or an error. Raises `ObjectGone`, `StoreFault` and the like."""
        bucket = bucket or self.bucket
        count = 0
        with translated("Reading", bucket, key):
            answer = self.client.get_object(Bucket=bucket, Key=key)
            with answer["Body"] as body:
                while block := body.read(_BLOCK_BYTES):
                    into.write(block)
                    count += len(block)
        if count != answer["ContentLength"]:
            raise StoreFault(f"Reading s3://{bucket}/{key} broke off after {count} of {answer['ContentLength']} bytes. Try again.")
        into.flush()

    def delete(self, key: str, *, bucket: str | None = None) -> None:
        """Delete the object at a key, whatever it is now."""
        with translated("Deleting", bucket or self.bucket, key):
            self.client.delete_object(Bucket=bucket or self.bucket, Key=key)

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket; one of one's own that is there stays as it is."""
        with translated("Making", bucket):
            try:
                self.client.create_bucket(Bucket=bucket)
            except ClientError as error:
                if code_of(error) not in _THERE_ALREADY:
                    raise

    def can_archive_safely(self, bucket: str | None = None) -> bool:
        """Whether moving an object can't take away what landed meanwhile: versions, conditional deletion, or the own endpoint."""
        there = self._bucket(bucket)
        return self.local or there.versioning == "on" or there.conditional_delete(self.area("processed"))

    def archive(self, landed: LandedObject, source: str, kind: Literal["processed", "error"], reason: dict[str, Any] | None) -> Moved:
        """Move exactly this object to processed/SOURCE/… or error/SOURCE/…; returns where it is. May be repeated after a crash.

        A re-delivered name is kept apart by a part of its identity. `reason` goes to KEY.reason.json. What landed at the old key
        meanwhile stays there. Raises `ObjectGone` or `ObjectChanged` if what was read can no longer be had.
        """
        bucket = self._bucket(landed.bucket)
        conditional = not self.local and bucket.versioning != "on" and bucket.conditional_delete(self.area("processed"))
        folder = self.folder / bucket.name if self.folder is not None else None
        return Archive(bucket, conditional, folder).move(landed, self._archive_key(landed, source, kind), reason)

    def _archive_key(self, landed: LandedObject, source: str, kind: Literal["processed", "error"]) -> str:
        under = f"{self.prefix}{source}/"
        parts = landed.key.removeprefix(under).split("/")
        if not landed.key.startswith(under):
            dated = [i for i, part in enumerate(parts[:-1]) if part.startswith("dt=")]
            parts = parts[dated[0] :] if dated else parts[-1:]
        if not any(part.startswith("dt=") for part in parts[:-1]):
            parts.insert(0, f"dt={in_utc(landed.last_modified).date().isoformat()}")
        return f"{self.area(kind)}{source}/{'/'.join(parts)}"


def connect(settings: Settings, endpoint: LocalEndpoint | None, *, timeout_seconds: float = 60, attempts: int = 5) -> LandingZone:
    """The landing zone of the settings: on the given local endpoint, or on the store they name. Nothing is asked of it yet.

    A request may stay without an answer for `timeout_seconds`, and is made at most `attempts` times, with growing pauses.
    Without keys in the settings the standard AWS chain finds them. Raises `Unreachable` if the settings can't make a client.
    """
    url, access_key, secret_key = settings.s3_endpoint_url, settings.s3_access_key_id, settings.s3_secret_access_key
    secret = secret_key.get_secret_value() if secret_key is not None else None
    if settings.uses_local_s3:
        keys = local_credentials(settings)
        url = endpoint.url if endpoint is not None else settings.s3_local_url or f"http://127.0.0.1:{settings.s3_port}"
        access_key, secret = keys.access_key_id, keys.secret_access_key
    elif url == "aws":
        url = None
    config = Config(
        connect_timeout=min(5, timeout_seconds),
        read_timeout=600 if settings.uses_local_s3 else timeout_seconds,  # the local endpoint answers a copy when all of it is written
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=16,
        s3={"addressing_style": "path" if url else "auto"},
        # Stores other than Amazon's know the older rules only.
        request_checksum_calculation="when_required" if url else "when_supported",
        response_checksum_validation="when_required" if url else "when_supported",
    )
    try:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=url,
            region_name=settings.s3_region,
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret or None,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise Unreachable(f"No S3 client can be made for {settings.landing}: {error}. Check the SALESMART_S3_… settings.") from error
    return LandingZone(client, settings.landing_bucket, settings.landing_prefix, folder=settings.s3_folder)
