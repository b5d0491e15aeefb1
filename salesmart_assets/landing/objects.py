"""An object of the landing zone as a value: who it is, and which batch date it belongs to."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Literal

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def archive_prefix(landing_prefix: str, kind: Literal["processed", "error"]) -> str:
    """Key prefix of finished objects, beside the landing prefix, in each bucket.

    >>> archive_prefix("team/landing/", "processed")
    'team/processed/'
    """
    return f"{landing_prefix[: landing_prefix.rstrip('/').rfind('/') + 1]}{kind}/"


def in_utc(moment: datetime) -> datetime:
    """A store's time as UTC, in whole seconds: listings of some stores tell milliseconds and their other answers do not."""
    if moment.tzinfo is timezone.utc and not moment.microsecond:
        return moment  # so it is in every listed object, whose time is looked at again and again
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class LandedObject:
    """One version of one object, as a listing shows it.

    `etag` is without quotes; `size` in bytes; `last_modified` in UTC; `version_id` is None in a bucket without versions.
    """

    source: str
    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    last_modified: datetime

    @property
    def identity(self) -> str:
        """Hex SHA-256 over bucket, key and version id; without versions over bucket, key, ETag, size and LastModified.

        >>> when = datetime(2024, 1, 1)
        >>> first = LandedObject("sales", "b", "landing/sales/a.csv", None, "e1", 3, when)
        >>> first.identity == LandedObject("sales", "b", "landing/sales/a.csv", None, "e2", 3, when).identity
        False
        """
        if self.version_id is not None:
            parts: list[str | int] = ["version", self.bucket, self.key, self.version_id]
        else:
            parts = ["content", self.bucket, self.key, self.etag, self.size, in_utc(self.last_modified).isoformat()]
        # JSON keeps the parts apart: no two lists have the same text.
        return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()

    @property
    def address(self) -> str:
        """Where it is: s3://bucket/key."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class InvalidBatchDate:
    """Why an object has no batch date, in one sentence that says what to do."""

    reason: str


def batch_date_of(landed: LandedObject, first: date, today: date) -> date | InvalidBatchDate:
    """The day that the object belongs to: the dt= folder of its key, else the UTC date of its LastModified.

    A dt= that is no date, is before `first`, or lies in the future gives an `InvalidBatchDate`. The future is after `today` and
    after the day on which the store says it was written: this machine's clock may have been set back. A store whose clock is
    ahead does not push an object without dt= out of range: it belongs to today.

    >>> obj = LandedObject("sales", "b", "landing/sales/dt=2024-02-30/a.csv", None, "e", 3, datetime(2024, 3, 1))
    >>> batch_date_of(obj, date(2010, 1, 1), date(2024, 3, 1)).reason
    'dt=2024-02-30 is no date. Land the file under dt=YYYY-MM-DD.'
    """
    marks = [part for part in landed.key.split("/")[:-1] if part.startswith("dt=")]
    if len(set(marks)) > 1:
        return InvalidBatchDate(f"The key names several dates ({', '.join(marks)}). Land the file under one dt=YYYY-MM-DD.")
    if marks:
        day, told = _day(marks[0][3:]), marks[0]
        if day is None:
            return InvalidBatchDate(f"{told} is no date. Land the file under dt=YYYY-MM-DD.")
    else:
        day = min(in_utc(landed.last_modified).date(), today)
        told = f"Its LastModified {day}"
    if day < first:
        return InvalidBatchDate(
            f"{told} is before the first batch date {first}. Land it under a later dt=, or set SALESMART_FIRST_BATCH_DATE."
        )
    if day > max(today, in_utc(landed.last_modified).date()):
        return InvalidBatchDate(f"{told} is in the future (today is {today}, UTC). Land the file under the day it belongs to.")
    return day


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None
