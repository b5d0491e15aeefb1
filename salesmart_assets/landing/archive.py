"""Moving a finished object out of the landing zone: exactly what was read, and nothing that landed since.

Copy, look at the copy, then delete by what the store can hold to: the version or the ETag. On the program's own endpoint the
file is renamed. Every step may be repeated after a crash: a copy that is there is not made twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from salesmart_assets.landing.bucket import NULL_VERSION, Bucket, own_version
from salesmart_assets.landing.faults import ObjectChanged, ObjectGone, StoreFault, code_of, translated
from salesmart_assets.landing.folder import ObjectFile
from salesmart_assets.landing.objects import LandedObject, in_utc

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

# S3 copies at most 5 GiB in one request, and slowly; one request keeps the ETag of a simple object.
COPY_AT_ONCE_BYTES = 1 << 30
_IDENTITY = "salesmart-identity"
_SHORT = 12
_KEPT_HEADERS = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType")
_MARKED_MISSING = {"404", "NoSuchKey", "NoSuchVersion", "NotFound", "405", "MethodNotAllowed"}


class Moved(NamedTuple):
    """Where an object is now, and what it is there: by these it is read when a batch is rebuilt."""

    key: str
    etag: str
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Archive:
    """Moves objects of one bucket. `conditional`: the store holds deletions to the ETag.

    `folder`: the one whose files the program's own endpoint serves as this bucket; None for every other store.
    """

    bucket: Bucket
    conditional: bool
    folder: Path | None

    @property
    def _client(self) -> S3Client:
        return self.bucket.client

    def move(self, landed: LandedObject, target: str, reason: dict[str, Any] | None) -> Moved:
        """Move the object to `target`, or beside it where another object has that key; returns where it is now.

        `reason` is written to KEY.reason.json. Raises `ObjectGone` or `ObjectChanged` if what was read can no longer be had.
        """
        moved = self._copy(landed, target)
        if reason is not None:
            body = json.dumps(reason, indent=2, ensure_ascii=False, default=str).encode()
            with translated("Writing", self.bucket.name, f"{moved.key}.reason.json"):
                self._client.put_object(Bucket=self.bucket.name, Key=f"{moved.key}.reason.json", Body=body, ContentType="application/json")
        if self._exact_version(landed) is not None:
            # Deleted alone, a version gives way to the one before it, which would land once more. So those move along first.
            for older in self.bucket.older_versions(landed):
                self._copy(older, _beside(target, older.identity[:_SHORT]))
                self._delete(older)
        self._delete(landed)
        return moved

    def _exact_version(self, landed: LandedObject) -> str | None:
        if landed.version_id is not None:
            return landed.version_id
        # Where versions are on, nothing writes to an object from before they were: "null" is exact.
        return NULL_VERSION if self.bucket.versioning == "on" else None

    def _copy(self, landed: LandedObject, target: str) -> Moved:
        # Looked at before its content is asked for, which is then of this file or of a later one.
        file = ObjectFile.of(self.folder, landed.key) if self.folder is not None else None
        origin = self._head(landed.key, self._exact_version(landed))
        free = None
        for key in _candidates(target, landed):
            found = self._head(key)
            if found is not None and _is_copy(found, landed):
                return _moved(key, found)
            free = free or (key if found is None else None)
            # While the origin is there, the first free key will do. Once it is gone, the copy must be somewhere.
            if free is not None and origin is not None:
                break
        if origin is None:
            raise ObjectGone(f"{landed.address} can't be archived: it is no longer there.")
        if free is None or not self._unchanged(origin, landed):
            raise ObjectChanged(f"{landed.address} can't be archived: it was overwritten after it was read. What is there now stays.")
        if self.folder is not None and file is not None and file.rename(self.folder, free):
            return Moved(free, landed.etag, None)
        self._copy_to(free, landed, origin)
        copied = self._head(free)
        # A store may ignore the condition on the copy. The ETag of a copy tells, where it is a plain hash of the content; else
        # the origin does, which must still be what it was.
        sound = copied is not None and copied["ContentLength"] == landed.size
        if sound and copied is not None and copied["ETag"].strip('"') != landed.etag:
            now = None if self._comparable(copied, landed) else self._head(landed.key, self._exact_version(landed))
            sound = now is not None and self._unchanged(now, landed)
        if not sound:
            with translated("Deleting", self.bucket.name, free):
                self._client.delete_object(Bucket=self.bucket.name, Key=free)
            raise ObjectChanged(f"{landed.address} can't be archived: it was overwritten while it was copied. What is there now stays.")
        assert copied is not None
        return _moved(free, copied)

    def _copy_to(self, key: str, landed: LandedObject, origin: HeadObjectOutputTypeDef) -> None:
        source: dict[str, str] = {"Bucket": landed.bucket, "Key": landed.key}
        version = self._exact_version(landed)
        if version is not None:
            source["VersionId"] = version
        extra: dict[str, Any] = {name: origin[name] for name in _KEPT_HEADERS if name in origin}  # type: ignore[literal-required]
        extra["MetadataDirective"] = "REPLACE"
        extra["Metadata"] = {**origin.get("Metadata", {}), _IDENTITY: landed.identity}
        extra["CopySourceIfMatch"] = f'"{landed.etag}"'
        with translated("Copying", landed.bucket, landed.key):
            if self.folder is not None or landed.size <= COPY_AT_ONCE_BYTES:
                answer: Any = self._client.copy_object(Bucket=self.bucket.name, Key=key, CopySource=source, **extra)  # type: ignore[arg-type]
                if "CopyObjectResult" not in answer:
                    raise StoreFault(f"Copying {landed.address} to {key} broke off. It is tried again by the next run.")
            else:
                config = TransferConfig(multipart_threshold=COPY_AT_ONCE_BYTES, multipart_chunksize=max(64 << 20, landed.size // 9_000))
                self._client.copy(source, self.bucket.name, key, ExtraArgs=extra, Config=config)  # type: ignore[arg-type]

    def _comparable(self, copied: HeadObjectOutputTypeDef, landed: LandedObject) -> bool:
        if self.folder is not None:
            return True
        hashed = "-" not in landed.etag and "-" not in copied["ETag"]
        return hashed and copied.get("ServerSideEncryption") in (None, "AES256") and not copied.get("SSECustomerAlgorithm")

    def _unchanged(self, found: HeadObjectOutputTypeDef, landed: LandedObject) -> bool:
        if found["ETag"].strip('"') != landed.etag or found["ContentLength"] != landed.size:
            return False
        return in_utc(self._last_modified(landed.key) or found["LastModified"]) == in_utc(landed.last_modified)

    def _last_modified(self, key: str) -> datetime | None:
        """When the object was written, on the program's own endpoint, whose head tells it without the parts of a second."""
        if self.folder is None:
            return None
        there = ObjectFile.of(self.folder, key) or self.bucket.current(key)
        return there.last_modified if there is not None else None

    def _delete(self, landed: LandedObject) -> None:
        version = self._exact_version(landed)
        with translated("Deleting", landed.bucket, landed.key):
            if version is not None:
                self._client.delete_object(Bucket=landed.bucket, Key=landed.key, VersionId=version)
            elif self.conditional:
                try:
                    self._client.delete_object(Bucket=landed.bucket, Key=landed.key, IfMatch=f'"{landed.etag}"')
                except ClientError as error:
                    # Something new landed, or somebody deleted it: either way what was read is in the archive and nothing is lost.
                    if code_of(error) not in _MARKED_MISSING | {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
                        raise
            else:
                now = self._head(landed.key)
                if now is not None and self._unchanged(now, landed):
                    self._client.delete_object(Bucket=landed.bucket, Key=landed.key)

    def _head(self, key: str, version: str | None = None) -> HeadObjectOutputTypeDef | None:
        with translated("Looking at", self.bucket.name, key):
            try:
                if version is None:
                    return self._client.head_object(Bucket=self.bucket.name, Key=key)
                return self._client.head_object(Bucket=self.bucket.name, Key=key, VersionId=version)
            except ClientError as error:
                if code_of(error) in _MARKED_MISSING:
                    return None
                raise


def _moved(key: str, found: HeadObjectOutputTypeDef) -> Moved:
    return Moved(key, found["ETag"].strip('"'), own_version(found.get("VersionId")))


def _candidates(target: str, landed: LandedObject) -> Iterator[str]:
    yield target
    yield _beside(target, landed.identity[:_SHORT])
    yield _beside(target, landed.identity)


def _beside(key: str, suffix: str) -> str:
    """The key with a suffix before its endings.

    >>> _beside("processed/sales/dt=2024-01-01/till 4.csv.gz", "3f2a")
    'processed/sales/dt=2024-01-01/till 4.3f2a.csv.gz'
    """
    path = PurePosixPath(key)
    endings = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return f"{key[: len(key) - len(endings)]}.{suffix}{endings}"


def _is_copy(found: HeadObjectOutputTypeDef, landed: LandedObject) -> bool:
    same_content = found["ETag"].strip('"') == landed.etag and found["ContentLength"] == landed.size
    return same_content or found.get("Metadata", {}).get(_IDENTITY) == landed.identity
