"""What the ledger says that people must be told: rejections, files given up, batches that are late, and how the day went."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta, timezone

from salesmart_assets.alerts.causes import Cause, of_delay, of_file, of_share
from salesmart_assets.ledger import File, Review
from salesmart_assets.settings import Settings

LATELY = timedelta(days=1)
"""Files that were finished longer ago are looked at only where they are told already: turning alerts on tells no old story."""
_DAYS_DUE = 3
"""Of how many days the deadline is looked at, the last one that passed included."""


def causes(review: Review, settings: Settings, now: datetime, open_keys: Collection[str]) -> list[Cause]:
    """All that is wrong now. What was told (`open_keys`) is looked at again however old it is, so that it ends when it is mended."""
    since = now - LATELY
    told = {kind: [key.partition("/")[2] for key in open_keys if key.startswith(f"{kind}/")] for kind in ("file", "share")}
    found = [of_file(file) for file in review.bad_files(since, told["file"])]
    batches = set(review.batches_with_rejections(since))
    batches |= {(source, date.fromisoformat(day)) for source, _, day in (text.partition("/") for text in told["share"])}
    for source, day in sorted(batches):
        read, left = review.rejected(source, day)
        if read and left / read > settings.alert_rejected_ratio:
            found.append(of_share(source, day, read, left))
    return found + _late(review, settings, now)


def _late(review: Review, settings: Settings, now: datetime) -> list[Cause]:
    found = []
    for source, hours in settings.alert_deadlines.items():
        last = (now - timedelta(hours=hours)).date()
        for day in (last - timedelta(days=back) for back in reversed(range(_DAYS_DUE))):
            # Before the first file of a source nothing was due; where none ever came, only the last day is missed.
            if review.came(source, day) or not (
                review.came_before(source, day) or (day == last and not review.came_before(source, date.max))
            ):
                continue
            found.append(of_delay(source, day, hours, _there(review.seen(source, day))))
    return found


def _there(files: list[File]) -> str:
    if not files:
        return "No file has come."
    first = next((f.reason for f in files if f.reason), None)
    return f"{len(files)} files have come, and none is loaded{f': {first}' if first else ''}."


def day_of(settings: Settings, now: datetime) -> date | None:
    """The day whose daily word is due now; None where none is wanted, or its time has not come."""
    at: time | None = settings.alert_daily_at
    utc = now.astimezone(timezone.utc)
    return utc.date() if at is not None and utc.time() >= at else None


def of_day(review: Review, now: datetime, day: date, still_open: Collection[str]) -> Cause:
    """The word of the day: that all went well, with the figures of the last 24 hours; or what is not well."""
    tally = review.tally(now - LATELY)
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(tally.files.items())) or "none"
    figures = (
        f"In the last 24 hours: files: {outcomes}; batches: {tally.batches:,}; rows: {tally.rows_read:,} read, "
        f"{tally.rows_accepted:,} accepted, {tally.rows_rejected:,} rejected, {tally.rows_duplicate:,} duplicate."
    )
    if not still_open:
        return Cause(f"daily/{day}", "daily", f"All went well, {day}", figures, "all batches", "Nothing.")
    listed = "\n".join(f"- {title}" for title in still_open)
    return Cause(
        f"daily/{day}",
        "daily",
        f"Not all went well, {day}",
        f"{figures}\nTold before, and still so:\n{listed}",
        "all batches",
        "What those messages say.",
    )
