"""Where producers drop objects: what people added or disabled, and which of these places could not be looked at.

A location is one source's folder in one bucket. The landing zone of the settings needs no entry here: a row of its places
only says that one is disabled, or what its files are. Belongs here: the tables. Does not belong here: which locations may
be used together (`batch.locations`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from salesmart_assets.ledger.schema import location_fault, source_location


@dataclass(frozen=True, slots=True)
class Location:
    """A source's folder: objects at s3://bucket/prefix…; `prefix` ends with a slash, or is empty for the bucket as a whole.

    `format_hint` says what its files are where their content leaves that open. `added_at` is in UTC, None by the settings.

    >>> till = Location("sales", "shop", "drop/tills/")
    >>> till.address, till.covers("shop", "drop/tills/a.csv"), till.covers("shop", "drop/tills-2/a.csv")
    ('s3://shop/drop/tills/', True, False)
    """

    source: str
    bucket: str
    prefix: str
    format_hint: str | None = None
    active: bool = True
    added_at: datetime | None = None

    @property
    def address(self) -> str:
        """As people write it."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells it from all others: source, bucket, prefix."""
        return self.source, self.bucket, self.prefix

    def covers(self, bucket: str, key: str) -> bool:
        """Whether an object lies in it."""
        return bucket == self.bucket and key.startswith(self.prefix)

    def overlaps(self, bucket: str, prefix: str) -> bool:
        """Whether an object can lie in it and under that prefix as well."""
        return bucket == self.bucket and (prefix.startswith(self.prefix) or self.prefix.startswith(prefix))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a location can't be looked at, in a sentence, and since when, in UTC."""

    reason: str
    since: datetime


class SourceLocations:
    """The locations in the ledger's database. Every method is one transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def listed(self) -> list[Location]:
        """What people added or disabled, in the order in which they did."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(source_location).order_by(source_location.c.location_id)).all()
        return [
            Location(
                row.source,
                row.bucket,
                # A row may have been written by hand.
                f"{row.prefix.strip('/')}/" if row.prefix.strip("/") else "",
                row.format_hint,
                bool(row.active),
                row.added_at.replace(tzinfo=timezone.utc),
            )
            for row in rows
        ]

    def save(self, location: Location) -> None:
        """Enter a location, or change its format hint and whether it is active; a disabled one has no fault."""
        said = {"format_hint": location.format_hint, "active": location.active}
        c = source_location.c
        with self._engine.begin() as connection:
            known = [
                row.location_id
                for row in connection.execute(
                    sa.select(c.location_id, c.prefix).where(c.source == location.source, c.bucket == location.bucket)
                )
                if row.prefix.strip("/") == location.prefix.strip("/")
            ]
            if known:
                connection.execute(sa.update(source_location).where(c.location_id.in_(known)).values(said))
            else:
                source, bucket, prefix = location.place
                entered = {"source": source, "bucket": bucket, "prefix": prefix, "added_at": _now()}
                connection.execute(sa.insert(source_location).values(**entered, **said))
            if not location.active:
                connection.execute(sa.delete(location_fault).where(location_fault.c.place_hash == _hash(location)))

    def faults(self) -> dict[tuple[str, str, str], Fault]:
        """What keeps locations from being looked at, by their places."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(location_fault)).all()
        return {(r.source, r.bucket, r.prefix): Fault(r.reason, r.since.replace(tzinfo=timezone.utc)) for r in rows}

    def note(self, faults: Mapping[Location, str], sound: Collection[Location]) -> set[Location]:
        """Note which locations could not be looked at, and why, and which could; returns those that can be again.

        A fault that is known keeps its beginning.
        """
        c = location_fault.c
        with self._engine.connect() as connection:
            known: dict[str, str] = {row.place_hash: row.reason for row in connection.execute(sa.select(c.place_hash, c.reason))}
        healed = {location for location in sound if _hash(location) in known}
        worse = {location: reason for location, reason in faults.items() if known.get(_hash(location)) != reason}
        if not healed and not worse:
            return healed
        with self._engine.begin() as connection:
            for location in healed:
                connection.execute(sa.delete(location_fault).where(c.place_hash == _hash(location)))
            for location, reason in worse.items():
                connection.execute(sa.update(location_fault).where(c.place_hash == _hash(location)).values(reason=reason))
        for location, reason in worse.items():
            if _hash(location) in known:
                continue
            source, bucket, prefix = location.place
            row: dict[str, Any] = {"source": source, "bucket": bucket, "prefix": prefix, "reason": reason, "since": _now()}
            # Where another process notes it at the same moment, one note is enough.
            with suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
                connection.execute(sa.insert(location_fault).values(place_hash=_hash(location), **row))
        return healed

    def forget_faults(self, known: Collection[tuple[str, str, str]]) -> int:
        """Forget what was wrong with places that are none of the `known`; returns of how many."""
        gone = [place for place in self.faults() if place not in known]
        with self._engine.begin() as connection:
            for place in gone:
                connection.execute(sa.delete(location_fault).where(location_fault.c.place_hash == _hash(Location(*place))))
        return len(gone)


def _hash(location: Location) -> str:
    return hashlib.sha256("\0".join(location.place).encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)
