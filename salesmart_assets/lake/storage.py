"""The store that the lake is on, as delta-rs, Polars and Arrow are told of it: a local folder, or S3.

Each of those libraries knows another part of the standard AWS credential chain (profiles, roles, single sign-on …), so that
boto3 finds the credentials for all of them, as it does for the landing zone. Those of a role expire: they are asked for anew at
each use, and boto3 renews them a quarter of an hour before their time.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.fs as pafs

from salesmart_assets.errors import Unreachable
from salesmart_assets.settings import Settings

if TYPE_CHECKING:
    from botocore.credentials import Credentials


class Storage(Protocol):
    """A store, and how it is reached at this moment."""

    def options(self) -> dict[str, str] | None:
        """Options for delta-rs and Polars; None where there are none to give. They hold the secret key: never log them."""

    def filesystem(self) -> pafs.FileSystem:
        """The store as Arrow sees it."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A local folder, which needs no options."""

    def options(self) -> dict[str, str] | None:
        return None

    def filesystem(self) -> pafs.FileSystem:
        return pafs.LocalFileSystem()


class S3:
    """Amazon S3, or another store that speaks like it: at an endpoint, with keys of the settings or of the standard AWS chain."""

    def __init__(self, settings: Settings) -> None:
        self._place = settings.lake_uri
        self._common = s3_environment(settings)
        self._chain: Credentials | None = None
        self._lock = Lock()
        self._opened: tuple[dict[str, str], pafs.FileSystem] | None = None

    def options(self) -> dict[str, str]:
        """Options under their AWS names. Raises `Unreachable` where there are no credentials."""
        return self._common if "AWS_ACCESS_KEY_ID" in self._common else {**self._common, **self._found()}

    def filesystem(self) -> pafs.FileSystem:
        options = self.options()
        with self._lock:
            if self._opened is None or self._opened[0] != options:
                self._opened = (options, _arrow(options))
            return self._opened[1]

    def _found(self) -> dict[str, str]:
        """The credentials that the chain gives now."""
        from boto3.session import Session
        from botocore.exceptions import BotoCoreError

        try:
            with self._lock:
                self._chain = self._chain or Session().get_credentials()
            keys = self._chain.get_frozen_credentials() if self._chain is not None else None
            if keys is not None and keys.access_key and keys.secret_key:
                token = {"AWS_SESSION_TOKEN": keys.token} if keys.token else {}
                return {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key, **token}
            why = "none was found"
        except BotoCoreError as error:
            why = type(error).__name__
        raise Unreachable(
            f"There are no usable credentials for the lake at {self._place} ({why}). Set SALESMART_S3_ACCESS_KEY_ID and "
            "SALESMART_S3_SECRET_ACCESS_KEY, or provide them by the standard AWS credential chain."
        )


def s3_environment(settings: Settings) -> dict[str, str]:
    """The S3 settings under their AWS names, as delta-rs, Polars and Sail take them. Holds the secret key: never log it."""
    found = {"AWS_REGION": settings.s3_region}
    endpoint = settings.s3_endpoint_url
    if endpoint and not settings.uses_local_s3 and endpoint != "aws":
        found |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower()}
    if settings.s3_access_key_id and settings.s3_secret_access_key:
        found["AWS_ACCESS_KEY_ID"] = settings.s3_access_key_id
        found["AWS_SECRET_ACCESS_KEY"] = settings.s3_secret_access_key.get_secret_value()
    return found


def hadoop_settings(settings: Settings) -> dict[str, str]:
    """The S3 settings as Apache Spark takes them, for its S3A file system. Hold the secret key: never log them."""
    options = s3_environment(settings)
    found = {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.endpoint.region": settings.s3_region,
    }
    if endpoint := options.get("AWS_ENDPOINT_URL"):
        found |= {"spark.hadoop.fs.s3a.endpoint": endpoint, "spark.hadoop.fs.s3a.path.style.access": "true"}
    if "AWS_ACCESS_KEY_ID" in options:
        found["spark.hadoop.fs.s3a.access.key"] = options["AWS_ACCESS_KEY_ID"]
        found["spark.hadoop.fs.s3a.secret.key"] = options["AWS_SECRET_ACCESS_KEY"]
    return found


def _arrow(options: dict[str, str]) -> pafs.FileSystem:
    arguments: dict[str, Any] = {"region": options["AWS_REGION"], "session_token": options.get("AWS_SESSION_TOKEN")}
    if endpoint := options.get("AWS_ENDPOINT_URL"):
        scheme, _, host = endpoint.partition("://")
        arguments |= {"endpoint_override": host, "scheme": scheme}
    return pafs.S3FileSystem(access_key=options["AWS_ACCESS_KEY_ID"], secret_key=options["AWS_SECRET_ACCESS_KEY"], **arguments)
