"""Landing: which objects are there, which of them are new, and to which batch each belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice

from salesmart_assets.batch.locations import Locations, locations_of, note
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Run
from salesmart_assets.contracts import SOURCES
from salesmart_assets.errors import Permanent, SalesmartError, SourceFileGone
from salesmart_assets.faultpoints import reach
from salesmart_assets.landing.zone import BucketFault, InvalidBatchDate, LandedObject, batch_date_of
from salesmart_assets.ledger import File, Location, Registration, Unfinished
from salesmart_assets.logs import carried

_LISTED = 20
_NAMED = 5
_PAGE = 1_000
_AT_ONCE = 2
"""Locations listed at the same time: while one waits for the store, the other's answer is read."""
_HASHES = 1 << 256


@dataclass(slots=True)
class Waiting:
    """What waits for one batch date.

    `mark` changes with every object, try and slice that is added or done; it does not depend on their order. `tries` and
    `tried_at` (UTC) are those of the registered files that were tried most and last; 0 and None if none was.
    """

    new_objects: int = 0
    unfinished: int = 0
    tries: int = 0
    tried_at: datetime | None = None
    _sum: int = 0

    @property
    def mark(self) -> str:
        """32 hex digits that stand for all that waits."""
        return hashlib.sha256(f"{self._sum:x}/{self.new_objects}/{self.unfinished}".encode()).hexdigest()[:32]

    def see(self, identity: str) -> None:
        """Add a new object, by its identity."""
        self.new_objects += 1
        self._add(int(identity, 16))

    def see_file(self, file: Unfinished) -> None:
        """Add a file that the ledger knows and that is not done."""
        self.unfinished += 1
        self._add(_hash(f"{file.identity}/{file.attempts}/{file.stage}"))
        if file.stage == "registered" and file.attempts and file.live:
            self.tries = max(self.tries, file.attempts)
            self.tried_at = file.updated_at if self.tried_at is None else max(self.tried_at, file.updated_at)

    def see_slice(self, token: str) -> None:
        """Add a slice that is stale."""
        self.unfinished += 1
        self._add(_hash(token))

    def merge(self, other: Waiting) -> None:
        """Add the new objects of another."""
        self.new_objects += other.new_objects
        self._add(other._sum)

    def _add(self, number: int) -> None:
        self._sum = (self._sum + number) % _HASHES


@dataclass(frozen=True, slots=True)
class Pending:
    """Work that waits, by batch date, oldest first; and the objects that were set aside while looking.

    `ahead`: batch dates with something pending that are after today, since a clock was set back or the store's is ahead. Their
    day comes. `strays`: addresses under the landing prefix that are in no source's folder, which nobody reads. `faults`: what is
    wrong with each location that could not be looked at.
    """

    batches: dict[date, Waiting]
    new_objects: int
    set_aside: tuple[File, ...]
    ahead: tuple[date, ...] = ()
    strays: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def told_of_strays(self) -> str:
        """A sentence about the strays; empty if there are none."""
        if not self.strays:
            return ""
        named = ", ".join(self.strays[:_NAMED]) + (f" and {len(self.strays) - _NAMED} more" if len(self.strays) > _NAMED else "")
        return f"In no source's folder, so nobody reads them: {named}. The folders are {', '.join(SOURCES)}: move what belongs there."


@dataclass(slots=True)
class _Seen:
    """What a look at one location saw, as far as it came before its fault."""

    waiting: dict[date, Waiting] = field(default_factory=dict)
    invalid: list[tuple[LandedObject, str]] = field(default_factory=list)
    fault: SalesmartError | None = None


def look(platform: Platform) -> Pending:
    """Listing minus ledger, plus what the ledger knows to be unfinished. Objects without a valid batch date are rejected here.

    Nothing is kept of an object but its part in a hash, so memory does not grow with their number. A location that can't be
    looked at keeps none of the others; if none of them can, its fault is raised.
    """
    today = platform.today()
    locations = locations_of(platform)
    waiting: dict[date, Waiting] = {}
    invalid: list[tuple[LandedObject, str]] = []
    faults: dict[Location, SalesmartError] = {}
    for location, seen in _look_at(platform, locations.used, today):
        invalid += seen.invalid
        for day, found in seen.waiting.items():
            waiting.setdefault(day, Waiting()).merge(found)
        if seen.fault is not None:
            faults[location] = seen.fault
    told = {location: str(error) for location, error in faults.items()}
    note(platform, locations, told, locations.used)
    if faults and len(faults) == len(locations.used):
        raise next(iter(faults.values()))
    set_aside = _set_aside(platform, invalid)
    for file in platform.ledger.unfinished():
        if file.batch_date is not None and not locations.awaits(file):
            waiting.setdefault(file.batch_date, Waiting()).see_file(file)
    for stale in platform.ledger.pending():
        waiting.setdefault(stale.batch_date or today, Waiting()).see_slice(stale.token)
    new = sum(found.new_objects for found in waiting.values())
    ahead = sorted(day for day in waiting if day > today)
    return Pending(
        {day: waiting[day] for day in sorted(waiting) if day <= today},
        new,
        tuple(set_aside),
        tuple(ahead),
        _strays(platform, locations, faults),
        (*told.values(), *locations.refused.values()),
    )


def _look_at(platform: Platform, places: Sequence[Location], today: date) -> Iterator[tuple[Location, _Seen]]:
    """What is new in each location, several at a time."""
    zone, ledger = platform.zone, platform.ledger  # opened here, not in several threads at once

    def look_at(location: Location) -> _Seen:
        seen = _Seen()
        objects = zone.objects(location.source, bucket=location.bucket, prefix=location.prefix)
        try:
            while page := {o.identity: o for o in islice(objects, _PAGE)}:
                for identity in page.keys() - ledger.known(page):
                    day = batch_date_of(page[identity], platform.settings.first_batch_date, today)
                    if isinstance(day, InvalidBatchDate):
                        seen.invalid.append((page[identity], f"file.batch_date: {day.reason}"))
                    else:
                        seen.waiting.setdefault(day, Waiting()).see(identity)
        except SalesmartError as error:
            seen.fault = error
        return seen

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look", initializer=carried()) as pool:
        yield from zip(places, pool.map(look_at, places), strict=True)


def _strays(platform: Platform, locations: Locations, faults: Collection[Location]) -> tuple[str, ...]:
    """What nobody reads under the landing prefix of the settings, where anything there is read at all."""
    zone = platform.zone
    own = [location for location in locations.every if location.overlaps(zone.bucket, zone.prefix)]
    if not any(location in locations.used and location not in faults for location in own):
        return ()
    return tuple(zone.strays([location.prefix for location in own]))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def _check_rebuild(platform: Platform, run: Run, locations: Locations) -> None:
    """Raise `SourceFileGone` if a file of the batch is no longer where the ledger says it is, before anything is changed."""
    gone = []
    for file in _live_files(platform, locations, run.batch_date):
        found = platform.zone.head(file.current_key, file.current_version_id, bucket=file.bucket)
        if found is None or found.etag != file.current_etag:
            gone.append(f"s3://{file.bucket}/{file.current_key}")
    if gone:
        named = ", ".join(gone[:_LISTED]) + (f" and {len(gone) - _LISTED} more" if len(gone) > _LISTED else "")
        raise SourceFileGone(
            f"Batch {run.batch_date} can't be rebuilt: {named} is gone or was changed. The tables are as they were. "
            "Put the object back, or land the file again: the new one supersedes it."
        )


def _live_files(platform: Platform, locations: Locations, batch_date: date, source: str | None = None) -> list[File]:
    """The files of a batch that a rebuild reads: those not superseded, and not waiting in a location that is disabled."""
    files = platform.ledger.files(source=source, batch_date=batch_date, live_only=True)
    return [file for file in files if not locations.awaits(file)]


def register(platform: Platform, source: str, run: Run) -> list[File]:
    """Enter the source's objects of the batch in the ledger; returns the files that this run is to read.

    A location that can't be looked at is noted, and the others are. If all that a source has can't be for now, or the store
    does not answer to these keys, the fault is raised.
    """
    locations = locations_of(platform)
    if not run.rebuild and platform.settings.on_unfinished == "block":
        _refuse_unfinished(platform, run, locations)
    _enter_landed(platform, source, run, locations)
    if run.rebuild:
        _check_rebuild(platform, run, locations)
        platform.ledger.reopen([f.file_id for f in _live_files(platform, locations, run.batch_date, source)], run.run_id)
    files = platform.ledger.files(source=source, batch_date=run.batch_date, status="A", stages=("registered",))
    mine = [f for f in files if not locations.awaits(f)]
    platform.ledger.attempt([f.file_id for f in mine], run.run_id)
    reach("landing.registered", source)
    return [f for f in mine if f.superseded_by is None]


def _enter_landed(platform: Platform, source: str, run: Run, locations: Locations) -> None:
    mine = locations.of(source)
    faults: dict[Location, SalesmartError] = {}
    for location in mine:
        landed = platform.zone.objects_of(source, run.batch_date, bucket=location.bucket, prefix=location.prefix)
        try:
            found = [_registration(o, run.batch_date) for o in landed if _batch_date(platform, o) == run.batch_date]
        except SalesmartError as error:
            platform.say(f"{source}: {error}")
            faults[location] = error
        else:
            platform.ledger.register(found, run.run_id)
    note(platform, locations, {location: str(error) for location, error in faults.items()}, mine)
    lasting = [error for error in faults.values() if not isinstance(error, BucketFault)]
    if lasting and len(faults) == len(mine):
        raise lasting[0]


def _refuse_unfinished(platform: Platform, run: Run, locations: Locations) -> None:
    files = platform.ledger.files(batch_date=run.batch_date, status="A")
    left = [f for f in files if f.run_id not in (None, run.run_id) and not locations.awaits(f)]
    if left:
        named = ", ".join(f.address for f in left[:_LISTED])
        raise Permanent(
            f"An earlier run left {len(left)} files unfinished: {named}. SALESMART_ON_UNFINISHED is `block`: look at them, then "
            "run with SALESMART_ON_UNFINISHED=repair, which finishes them."
        )


def _batch_date(platform: Platform, item: LandedObject) -> date | InvalidBatchDate:
    return batch_date_of(item, platform.settings.first_batch_date, platform.today())


def _registration(item: LandedObject, day: date | None) -> Registration:
    return Registration(
        identity=item.identity,
        source=item.source,
        bucket=item.bucket,
        key=item.key,
        version_id=item.version_id,
        etag=item.etag,
        size=item.size,
        last_modified=item.last_modified,
        batch_date=day,
        dated_key=any(part.startswith("dt=") for part in item.key.split("/")[:-1]),
    )


def _set_aside(platform: Platform, invalid: list[tuple[LandedObject, str]]) -> list[File]:
    if not invalid:
        return []
    seen = [_registration(item, None) for item, _ in invalid]
    return platform.ledger.register(seen, None, {item.identity: reason for item, reason in invalid})
