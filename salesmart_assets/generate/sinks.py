"""Where generated files go: a folder or a bucket. A file appears whole or not at all."""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from salesmart_assets.errors import Unreachable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_log = logging.getLogger(__name__)
_PART_BYTES = 16 * 2**20
# S3 allows 10,000 parts: they grow, so that a file may be as large as an object can be and small files cost little memory.
_PARTS_PER_SIZE = 2_000


def relative_key(source: str, batch_date: date, name: str) -> str:
    """Where a file goes below a landing zone: SOURCE/dt=YYYY-MM-DD/NAME."""
    return f"{source}/dt={batch_date.isoformat()}/{name}"


class Sink(Protocol):
    """A place for generated files."""

    def open(self, source: str, batch_date: date, name: str) -> AbstractContextManager[BinaryIO]:
        """A stream to write one file. The file appears when the block ends well; after an error nothing is left of it."""


@dataclass(frozen=True, slots=True)
class FolderSink:
    """Files below a folder: FOLDER/SOURCE/dt=YYYY-MM-DD/NAME."""

    folder: Path

    @contextmanager
    def open(self, source: str, batch_date: date, name: str) -> Iterator[BinaryIO]:
        """A stream to write one file; it is renamed into its place when it is whole."""
        target = self.folder / relative_key(source, batch_date, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the sources, not in one: nobody who lists a source sees half a file.
        unfinished = self.folder / f".{name}.{uuid.uuid4().hex}"
        try:
            with unfinished.open("xb") as stream:
                yield stream
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class S3Sink:
    """Objects of a bucket: PREFIX/SOURCE/dt=YYYY-MM-DD/NAME.

    A small file is one PUT. A larger one is a multipart upload that holds one part in memory, and is aborted on any error.
    Raises `Unreachable` when S3 does not answer or refuses.
    """

    client: S3Client
    bucket: str
    prefix: str = ""

    @contextmanager
    def open(self, source: str, batch_date: date, name: str) -> Iterator[BinaryIO]:
        """A stream to write one object."""
        prefix = self.prefix.strip("/")
        key = f"{prefix}/{relative_key(source, batch_date, name)}" if prefix else relative_key(source, batch_date, name)
        stream = _Upload(self.client, self.bucket, key)
        try:
            yield cast(BinaryIO, stream)
            stream.finish()
        except (BotoCoreError, ClientError) as error:
            stream.abort()
            raise Unreachable(
                f"s3://{self.bucket}/{key} could not be written: {str(error).rstrip('.')}. Check the bucket, the endpoint and the keys."
            ) from error
        except BaseException:
            stream.abort()
            raise


class _Upload(io.RawIOBase):
    """A writable stream that sends its parts to S3 as they fill."""

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        super().__init__()
        self._client, self._bucket, self._key = client, bucket, key
        self._waiting = bytearray()
        self._upload: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(cast(bytes, data)).cast("B")
        self._waiting += view
        while len(self._waiting) > (size := _PART_BYTES << (len(self._parts) // _PARTS_PER_SIZE)):
            self._send(bytes(memoryview(self._waiting)[:size]))
            del self._waiting[:size]
        return len(view)

    def _send(self, part: bytes) -> None:
        if self._upload is None:
            self._upload = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)["UploadId"]
        number = len(self._parts) + 1
        answer = self._client.upload_part(Bucket=self._bucket, Key=self._key, UploadId=self._upload, PartNumber=number, Body=part)
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})

    def finish(self) -> None:
        """Make the object appear."""
        if self._upload is None:
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=bytes(self._waiting))
            return
        self._send(bytes(self._waiting))
        self._client.complete_multipart_upload(
            Bucket=self._bucket, Key=self._key, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
        )
        self._upload = None

    def abort(self) -> None:
        """Drop what was sent; without a multipart upload nothing was."""
        if self._upload is None:
            return
        upload, self._upload = self._upload, None
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=upload)
        except (BotoCoreError, ClientError) as error:
            # The error that led here is the one to raise; an upload that was never completed is no object.
            _log.warning("s3://%s/%s: the unfinished upload could not be aborted (%s); remove it by hand.", self._bucket, self._key, error)
