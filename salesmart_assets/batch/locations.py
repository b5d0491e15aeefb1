"""Where to look for a source's files: the landing zone of the settings, and what people added to it or disabled.

They are read anew by every look and every step, so that a new bucket needs no restart. No two that are active may overlap,
and none may hold what the platform itself writes: an object would be counted twice, or never done. Belongs here: which
locations are used, and what is said of those that can't be. Does not belong here: listing them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts import SOURCES
from salesmart_assets.contracts.tables import SOURCE_OF
from salesmart_assets.errors import UsageError
from salesmart_assets.landing.objects import archive_prefix
from salesmart_assets.ledger import File, Location
from salesmart_assets.ledger.files import Unfinished
from salesmart_assets.ledger.locations import Fault

_ADDRESS = re.compile(r"s3://([^/]+)(?:/(.*))?", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")
_LONGEST_PREFIX = 512


@dataclass(frozen=True)
class Locations:
    """All locations as they are now. `refused` says of active ones why they can't be used; the others of them are `used`."""

    every: tuple[Location, ...]
    refused: Mapping[Location, str]

    @cached_property
    def used(self) -> tuple[Location, ...]:
        """Those that are looked at: no object lies in two of them."""
        return tuple(location for location in self.every if location.active and location not in self.refused)

    def of(self, source: str) -> list[Location]:
        """Those of a source that are looked at."""
        return [location for location in self.used if location.source == source]

    def holding(self, file: File | Unfinished) -> Location | None:
        """The location in which a file landed, one that is used before others; None where it is no longer known."""
        there = [place for place in self.every if place.source == file.source and place.covers(file.bucket, file.key)]
        return next((place for place in there if place in self.used), there[0] if there else None)

    def hint(self, file: File) -> str | None:
        """What a file is where its content leaves that open."""
        place = self.holding(file)
        return place.format_hint if place is not None else None

    def awaits(self, file: File | Unfinished) -> bool:
        """Whether a file is left alone for now: it was never read, and where it lies is disabled."""
        if file.content_hash is not None or len(self.used) == len(self.every):
            return False
        place = self.holding(file)
        return place is not None and place not in self.used


def locations_of(platform: Platform) -> Locations:
    """The locations as the settings and the ledger have them now."""
    said: dict[tuple[str, str, str], Location] = {}
    for location in platform.ledger.locations.listed():
        said.setdefault(location.place, location)
    every = [said.pop(default.place, default) for default in _defaults(platform)]
    every += said.values()
    refused: dict[Location, str] = {}
    used: list[Location] = []
    for location in every:
        if not location.active:
            continue
        if reason := _why_not(platform, location, used):
            refused[location] = f"{location.address} ({location.source}) is not read: {reason}"
        else:
            used.append(location)
    return Locations(tuple(every), refused)


def _defaults(platform: Platform) -> Iterator[Location]:
    settings = platform.settings
    for source in SOURCES:
        yield Location(source, settings.landing_bucket, f"{settings.landing_prefix}{source}/")


def _why_not(platform: Platform, location: Location, used: Sequence[Location]) -> str:
    """Why a location can't be used beside those in use, in a sentence; empty if it can."""
    by_settings = location.bucket == platform.settings.landing_bucket  # which may be an older store's, with rules of its own
    if location.source not in SOURCES:
        return f"there is no source {location.source}. Sources are {', '.join(SOURCES)}."
    if not by_settings and not _BUCKET.fullmatch(location.bucket):
        return (
            f"{location.bucket} is no name of a bucket. Such names have 3 to 63 signs: lower-case letters, digits, dots and hyphens, "
            "with a letter or digit at both ends."
        )
    if len(location.prefix) > _LONGEST_PREFIX:
        return f"its prefix is longer than {_LONGEST_PREFIX} signs."
    for other in used:
        if location.overlaps(other.bucket, other.prefix):
            return (
                f"it overlaps {other.address}, where {other.source} lands, and an object must not lie in two locations. Name another "
                "place, or disable that one first."
            )
    for bucket, prefix, what in _kept_by_the_platform(platform, location.bucket):
        if location.overlaps(bucket, prefix):
            return f"it overlaps s3://{bucket}/{prefix}, where {what}. Name a place outside, such as s3://{bucket}/{location.source}/."
    return ""


def _kept_by_the_platform(platform: Platform, bucket: str) -> Iterator[tuple[str, str, str]]:
    kinds: tuple[Literal["processed", "error"], ...] = ("processed", "error")
    for kind in kinds:
        yield bucket, archive_prefix(platform.settings.landing_prefix, kind), "finished objects are moved to"
    if platform.settings.lake_uri.startswith("s3://"):
        lake, _, root = platform.settings.lake_uri.removeprefix("s3://").partition("/")
        for name in (*(table.name for table in platform.tables), "reports"):
            yield lake, f"{root}/{name}/".lstrip("/"), "the lake is"


def parse_address(address: str) -> tuple[str, str]:
    """Bucket and prefix of an address such as s3://bucket/prefix; the prefix ends with a slash or is empty.

    Raises `UsageError` for any other text.

    >>> parse_address("s3://tills/north")
    ('tills', 'north/')
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UsageError(f"{address} is no location: write it as s3://BUCKET/PREFIX.")
    prefix = (found[2] or "").strip("/")
    return found[1], f"{prefix}/" if prefix else ""


def add(platform: Platform, source: str, address: str, format_hint: str | None) -> Location:
    """Have objects of a source looked for at an address from now on; one that is there gets the format hint, and is active again.

    Raises `UsageError`, with nothing changed, where that can't be, and `Unreachable` if the bucket does not answer; on the
    program's own endpoint a bucket that is missing is made.
    """
    location = Location(source, *parse_address(address), format_hint)
    known = locations_of(platform)
    _refuse(platform, location, known)
    if platform.zone.local:
        platform.zone.make_bucket(location.bucket)
    platform.zone.check(location.bucket, location.prefix)
    platform.ledger.locations.save(location)
    return location


def switch(platform: Platform, source: str, address: str, *, active: bool) -> Location:
    """Disable a location, or take it up again; returns it as it is now. Raises `UsageError`, with nothing changed, where that can't be."""
    place = (source, *parse_address(address))
    known = locations_of(platform)
    found = next((location for location in known.every if location.place == place), None)
    if found is None:
        raise UsageError(f"{source} has no location {address}: `salesmart sources list` lists those that it has. Nothing was changed.")
    changed = replace(found, active=active)
    if active:
        _refuse(platform, changed, known)
    platform.ledger.locations.save(changed)
    return changed


def _refuse(platform: Platform, location: Location, known: Locations) -> None:
    others = [other for other in known.used if other.place != location.place]
    if reason := _why_not(platform, location, others):
        raise UsageError(f"{location.address} can't be a location of {location.source}: {reason} Nothing was changed.")


def landing_place(platform: Platform, source: str, address: str | None = None) -> Location:
    """Where a file of a source is put: the location at an address, or that of the settings, or the first that is used.

    Raises `UsageError` if there is none, or if the address is none that is used.
    """
    usable = locations_of(platform).of(source)
    if address is not None:
        place = (source, *parse_address(address))
        usable = [location for location in usable if location.place == place]
    if not usable:
        where = f"{address} is no active location of {source}" if address else f"{source} has no active location"
        raise UsageError(f"{where}: `salesmart sources list` lists what there is. Nothing was landed.")
    return usable[0]


def note(platform: Platform, known: Locations, faults: Mapping[Location, str], looked_at: Collection[Location]) -> None:
    """Keep in the ledger which of the locations that were looked at can't be, and why.

    While a place is at fault, nobody knows who is in a snapshot. When it is sound again, the dimension is looked over.
    """
    sound = [location for location in looked_at if location not in faults]
    healed = platform.ledger.locations.note({**faults, **known.refused}, sound)
    sources = {location.source for location in healed}
    stale = {name: ["all"] for name, source in SOURCE_OF.items() if source in sources and platform.contracts[source].delivery == "snapshot"}
    if stale:
        platform.ledger.touch(stale, None)


def faults(platform: Platform) -> dict[Location, Fault]:
    """The active locations that could not be looked at when that was last tried."""
    noted = platform.ledger.locations.faults()
    return {place: noted[place.place] for place in locations_of(platform).every if place.active and place.place in noted}
