"""Landing: which objects are there, which of them are new, and to which batch each belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice

from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Run
from salesmart_assets.contracts import SOURCES
from salesmart_assets.errors import Permanent, SourceFileGone
from salesmart_assets.faultpoints import reach
from salesmart_assets.landing.zone import InvalidBatchDate, LandedObject, batch_date_of
from salesmart_assets.ledger import File, Registration, Unfinished

_LISTED = 20
_NAMED = 5
_PAGE = 1_000
_AT_ONCE = 2
"""Sources listed at the same time: while one waits for the store, the other's answer is read."""
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
    day comes. `strays`: addresses under the landing prefix that are in no source's folder, which nobody reads.
    """

    batches: dict[date, Waiting]
    new_objects: int
    set_aside: tuple[File, ...]
    ahead: tuple[date, ...] = ()
    strays: tuple[str, ...] = ()

    def told_of_strays(self) -> str:
        """A sentence about the strays; empty if there are none."""
        if not self.strays:
            return ""
        named = ", ".join(self.strays[:_NAMED]) + (f" and {len(self.strays) - _NAMED} more" if len(self.strays) > _NAMED else "")
        return f"In no source's folder, so nobody reads them: {named}. The folders are {', '.join(SOURCES)}: move what belongs there."


def look(platform: Platform, sources: Iterable[str] = SOURCES) -> Pending:
    """Listing minus ledger, plus what the ledger knows to be unfinished. Objects without a valid batch date are rejected here.

    Nothing is kept of an object but its part in a hash, so memory does not grow with their number.
    """
    today = platform.today()
    zone, ledger = platform.zone, platform.ledger  # opened here, not in several threads at once
    waiting: dict[date, Waiting] = {}
    invalid: list[tuple[LandedObject, str]] = []

    def look_at(source: str) -> tuple[dict[date, Waiting], list[tuple[LandedObject, str]]]:
        mine: dict[date, Waiting] = {}
        bad: list[tuple[LandedObject, str]] = []
        objects = zone.objects(source)
        while page := {o.identity: o for o in islice(objects, _PAGE)}:
            for identity in page.keys() - ledger.known(page):
                day = batch_date_of(page[identity], platform.settings.first_batch_date, today)
                if isinstance(day, InvalidBatchDate):
                    bad.append((page[identity], f"file.batch_date: {day.reason}"))
                else:
                    mine.setdefault(day, Waiting()).see(identity)
        return mine, bad

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look") as pool:
        for mine, bad in pool.map(look_at, sources):
            invalid += bad
            for day, found in mine.items():
                waiting.setdefault(day, Waiting()).merge(found)
    set_aside = _set_aside(platform, invalid)
    for file in ledger.unfinished():
        if file.batch_date is not None:
            waiting.setdefault(file.batch_date, Waiting()).see_file(file)
    for stale in ledger.pending():
        waiting.setdefault(stale.batch_date or today, Waiting()).see_slice(stale.token)
    new = sum(found.new_objects for found in waiting.values())
    ahead = sorted(day for day in waiting if day > today)
    strays = tuple(zone.strays(SOURCES))
    return Pending({day: waiting[day] for day in sorted(waiting) if day <= today}, new, tuple(set_aside), tuple(ahead), strays)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def check_rebuild(platform: Platform, run: Run) -> None:
    """Raise `SourceFileGone` if a file of the batch is no longer where the ledger says it is, before anything is changed."""
    gone = []
    for file in platform.ledger.files(batch_date=run.batch_date, live_only=True):
        found = platform.zone.head(file.current_key, file.current_version_id)
        if found is None or found.etag != file.current_etag:
            gone.append(f"s3://{file.bucket}/{file.current_key}")
    if gone:
        named = ", ".join(gone[:_LISTED]) + (f" and {len(gone) - _LISTED} more" if len(gone) > _LISTED else "")
        raise SourceFileGone(
            f"Batch {run.batch_date} can't be rebuilt: {named} is gone or was changed. The tables are as they were. "
            "Put the object back, or land the file again: the new one supersedes it."
        )


def register(platform: Platform, source: str, run: Run) -> list[File]:
    """Enter the source's objects of the batch in the ledger; returns the files that this run is to read."""
    if not run.rebuild and platform.settings.on_unfinished == "block":
        _refuse_unfinished(platform, run)
    landed = platform.zone.objects_of(source, run.batch_date)
    mine = [_registration(o, run.batch_date) for o in landed if _batch_date(platform, o) == run.batch_date]
    platform.ledger.register(mine, run.run_id)
    if run.rebuild:
        check_rebuild(platform, run)
        live = platform.ledger.files(source=source, batch_date=run.batch_date, live_only=True)
        platform.ledger.reopen([f.file_id for f in live], run.run_id)
    files = platform.ledger.files(source=source, batch_date=run.batch_date, status="A", stages=("registered",))
    platform.ledger.attempt([f.file_id for f in files], run.run_id)
    reach("landing.registered", source)
    return [f for f in files if f.superseded_by is None]


def _refuse_unfinished(platform: Platform, run: Run) -> None:
    left = [f for f in platform.ledger.files(batch_date=run.batch_date, status="A") if f.run_id not in (None, run.run_id)]
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
