"""What a bucket can do, asked of the bucket itself, and its listing: the parts of S3 that differ between stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from botocore.exceptions import ClientError

from salesmart_assets.errors import Unreachable
from salesmart_assets.landing.faults import code_of, translated
from salesmart_assets.landing.objects import LandedObject, in_utc

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef, ObjectVersionTypeDef

_NOT_IMPLEMENTED = {"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "501", "405"}
_VERSIONING: dict[str, Literal["on", "suspended"]] = {"Enabled": "on", "Suspended": "suspended"}
_HADOOP_FOLDER = "_$folder$"
# What S3 calls the version of an object that was written without versions.
NULL_VERSION = "null"


@dataclass(frozen=True)
class Bucket:
    """One bucket of a store. What it can do is asked once."""

    client: S3Client
    name: str
    _tried: dict[str, bool] = field(default_factory=dict, compare=False)

    @cached_property
    def versioning(self) -> Literal["on", "suspended", "off"]:
        """Whether every write gets a version of its own.

        Raises `Unreachable` if the bucket may not be asked: a guess would give one object two identities.
        """
        try:
            with translated("Asking for the versioning of", self.name):
                try:
                    status = self.client.get_bucket_versioning(Bucket=self.name).get("Status")
                except ClientError as error:
                    if code_of(error) in _NOT_IMPLEMENTED:
                        return "off"
                    raise
        except Unreachable as error:
            if code_of(error.__cause__ or error) == "NoSuchBucket":
                raise
            raise type(error)(f"{error} It takes the rights s3:GetBucketVersioning, s3:ListBucket and s3:ListBucketVersions.") from error
        return _VERSIONING.get(status or "", "off")

    def conditional_delete(self, area: str) -> bool:
        """Whether the store refuses to delete an object whose ETag is not the one named: tried once, on a throw-away object in `area`.

        False also where the trial itself is refused.
        """
        if area not in self._tried:
            self._tried[area] = self._try_conditional_delete(area)
        return self._tried[area]

    def _try_conditional_delete(self, area: str) -> bool:
        key = f"{area}.probe-{uuid4().hex}"
        try:
            self.client.put_object(Bucket=self.name, Key=key, Body=b"probe")
        except ClientError:
            return False
        enforced = False
        try:
            self.client.delete_object(Bucket=self.name, Key=key, IfMatch='"00000000000000000000000000000000"')
        except ClientError as error:
            enforced = code_of(error) in {"PreconditionFailed", "412"}
            with translated("Deleting", self.name, key):
                self.client.delete_object(Bucket=self.name, Key=key)
        return enforced

    def listed(self, prefix: str, source: str) -> Iterator[LandedObject]:
        """The current objects under a prefix, page by page, without folder markers. Zero-byte files are objects."""
        return (landed for landed in self._listed(prefix, source, None) if not landed.key.endswith(("/", _HADOOP_FOLDER)))

    def listed_of(self, prefix: str, source: str, folder: str) -> Iterator[LandedObject]:
        """The current objects under a prefix, without those below dt= folders that have another name than `folder`."""
        inside: list[str] = []
        for landed in self._listed(prefix, source, inside):
            if not landed.key.endswith(("/", _HADOOP_FOLDER)):
                yield landed
        for path in inside:
            name = path[len(prefix) : -1]
            if name == folder:
                yield from self.listed(path, source)
            elif not name.startswith("dt="):
                yield from self.listed_of(path, source, folder)

    def directly_under(self, prefix: str, most: int) -> list[str]:
        """The folders and the first `most` objects directly under a prefix, by their keys; folders end with a slash."""
        inside: list[str] = []
        objects = (landed.key for landed in self._listed(prefix, "", inside) if not landed.key.endswith(("/", _HADOOP_FOLDER)))
        there = list(islice(objects, most))
        return [*inside, *there]

    def current(self, key: str) -> LandedObject | None:
        """The current object at a key, as a listing shows it."""
        return next((landed for landed in self.listed(key, "") if landed.key == key), None)

    def older_versions(self, landed: LandedObject) -> list[LandedObject]:
        """The versions that would be current again if this version, being the current one, were deleted; else none."""
        versions: list[ObjectVersionTypeDef] = []
        deleted = []
        with translated("Listing the versions of", self.name, under=landed.key):
            for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=landed.key):
                versions += [v for v in page.get("Versions", []) if v["Key"] == landed.key]
                deleted += [m["LastModified"] for m in page.get("DeleteMarkers", []) if m["Key"] == landed.key]
        ids = [v["VersionId"] for v in versions]
        exact = landed.version_id or NULL_VERSION
        if exact not in ids or not versions[ids.index(exact)]["IsLatest"]:
            return []
        older = versions[ids.index(exact) + 1 :]
        # What lies under a deletion stays hidden. Times are in seconds: where they tie, the version counts as not hidden.
        return [_version(v, self.name, landed.source) for v in older if not any(m > v["LastModified"] for m in deleted)]

    def _listed(self, prefix: str, source: str, inside: list[str] | None) -> Iterator[LandedObject]:
        """Objects under a prefix; if `inside` is given, only those directly there, and the folders there are added to it."""
        only: dict[str, Any] = {} if inside is None else {"Delimiter": "/"}
        versions = self.versioning != "off"
        pager: Any = self.client.get_paginator("list_object_versions" if versions else "list_objects_v2")
        pages = iter(pager.paginate(Bucket=self.name, Prefix=prefix, **only))
        while True:
            # Only the request itself: what the caller does between two objects is no business of the store's.
            with translated("Listing", self.name, under=prefix):
                page = next(pages, None)
            if page is None:
                return
            if inside is not None:
                inside += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
            if versions:
                yield from (_version(item, self.name, source) for item in page.get("Versions", []) if item["IsLatest"])
            else:
                yield from (_object(item, self.name, source) for item in page.get("Contents", []))


def own_version(version_id: str | None) -> str | None:
    """A version id that names one write; None where the store has none or calls it "null", which later writes may reuse."""
    return None if version_id in (None, "", NULL_VERSION) else version_id


def _object(item: ObjectTypeDef, bucket: str, source: str) -> LandedObject:
    return LandedObject(source, bucket, item["Key"], None, item["ETag"].strip('"'), item["Size"], in_utc(item["LastModified"]))


def _version(item: ObjectVersionTypeDef, bucket: str, source: str) -> LandedObject:
    version = own_version(item["VersionId"])
    return LandedObject(source, bucket, item["Key"], version, item["ETag"].strip('"'), item["Size"], in_utc(item["LastModified"]))
