"""Who an object is, and which batch date it belongs to."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from salesmart_assets.landing.objects import InvalidBatchDate, LandedObject, batch_date_of

FIRST, TODAY = date(2010, 1, 1), date(2026, 11, 23)
OBJECT = LandedObject("sales", "shop", "landing/sales/a.csv", None, "e1", 3, datetime(2026, 11, 2, 23, 30, tzinfo=timezone.utc))
OBJECTS = st.builds(
    LandedObject,
    source=st.just("sales"),
    bucket=st.text(max_size=4),
    key=st.text(max_size=6),
    version_id=st.none() | st.text(max_size=4),
    etag=st.text(max_size=4),
    size=st.integers(0, 99),
    last_modified=st.datetimes(timezones=st.just(timezone.utc)),
)


def _parts(o: LandedObject) -> tuple[object, ...]:
    if o.version_id is not None:
        return (o.bucket, o.key, o.version_id)
    return (o.bucket, o.key, None, o.etag, o.size, o.last_modified.replace(microsecond=0))


@given(OBJECTS, OBJECTS)
def test_identity_tells_objects_apart(one: LandedObject, other: LandedObject) -> None:
    """Two objects have the same identity only if bucket, key and version (or ETag, size and time) are all the same."""
    assert (one.identity == other.identity) == (_parts(one) == _parts(other))


@given(st.text(max_size=6), st.text(max_size=6))
def test_identity_keeps_parts_apart(bucket: str, key: str) -> None:
    """No shift of characters from the bucket into the key gives another object's identity."""
    assume(bucket)
    assert replace(OBJECT, bucket=bucket, key=key).identity != replace(OBJECT, bucket=bucket[:-1], key=bucket[-1] + key).identity


def test_identity_with_a_version_is_the_version() -> None:
    """With a version id, nothing but bucket, key and version counts, and a version is never taken for an ETag."""
    versioned = replace(OBJECT, version_id="v1")
    assert versioned.identity == replace(versioned, etag="other", size=9).identity
    assert versioned.identity != OBJECT.identity != replace(OBJECT, version_id="").identity


def test_identity_is_the_same_in_every_time_zone_and_below_the_second() -> None:
    """Listings that tell milliseconds, ledgers that store plain UTC and other zones give the same identity."""
    zoned = replace(OBJECT, last_modified=OBJECT.last_modified.astimezone(timezone(timedelta(hours=5, minutes=30))))
    plain = replace(OBJECT, last_modified=OBJECT.last_modified.replace(tzinfo=None, microsecond=123_000))
    assert OBJECT.identity == zoned.identity == plain.identity


def test_identity_does_not_change_between_releases() -> None:
    """A ledger written today is understood by every later release."""
    assert OBJECT.identity == "153226278516da4eb1b43a286dd985943d1fbb8c81f65f8cacf7f6787d2566c5"  # pragma: allowlist secret


@given(st.dates(FIRST, TODAY))
def test_dated_folder_is_the_batch_date(day: date) -> None:
    """A file under dt=YYYY-MM-DD belongs to that day, whenever it landed."""
    assert batch_date_of(replace(OBJECT, key=f"landing/sales/dt={day}/till/a.csv"), FIRST, TODAY) == day


def test_without_a_date_the_day_of_landing_counts() -> None:
    """A file without dt= belongs to the UTC date of its LastModified."""
    assert batch_date_of(OBJECT, FIRST, TODAY) == date(2026, 11, 2)
    elsewhere = OBJECT.last_modified.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert batch_date_of(replace(OBJECT, last_modified=elsewhere), FIRST, TODAY) == date(2026, 11, 2)
    assert batch_date_of(replace(OBJECT, key="landing/sales/dt=2020-01-01.csv"), FIRST, TODAY) == date(2026, 11, 2)


def test_clock_ahead_of_ours_is_today() -> None:
    """A store whose clock is ahead at midnight does not get its files rejected."""
    assert batch_date_of(replace(OBJECT, last_modified=datetime(2026, 11, 24, tzinfo=timezone.utc)), FIRST, TODAY) == TODAY


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("dt=2024-02-30", "is no date"),
        ("dt=20240101", "is no date"),
        ("dt=2024-1-1", "is no date"),
        ("dt=2024-01-01 ", "is no date"),
        ("dt=\u0662\u0660\u0662\u0664-\u0660\u0661-\u0660\u0661", "is no date"),
        ("dt=", "is no date"),
        ("dt=2009-12-31", "before the first batch date"),
        ("dt=2026-11-24", "in the future"),
        ("dt=9999-12-31", "in the future"),
        ("dt=2024-01-01/dt=2024-01-02", "several dates"),
    ],
)
def test_bad_date_has_a_reason(folder: str, said: str) -> None:
    """A dt= that is no date, or out of range, gives a reason that names it, and never an exception or a partition."""
    found = batch_date_of(replace(OBJECT, key=f"landing/sales/{folder}/a.csv"), FIRST, TODAY)
    assert isinstance(found, InvalidBatchDate)
    assert said in found.reason
    assert folder.split("/", 1)[0] in found.reason


def test_old_file_without_a_date_has_a_reason() -> None:
    """An undated file from before the first batch date is rejected with a reason."""
    found = batch_date_of(replace(OBJECT, last_modified=datetime(1999, 1, 1, tzinfo=timezone.utc)), FIRST, TODAY)
    assert isinstance(found, InvalidBatchDate)
    assert "1999-01-01" in found.reason


@given(st.text(max_size=30))
def test_any_key_has_a_date_or_a_reason(key: str) -> None:
    """Whatever a key says, the answer is a day in range or a reason."""
    found = batch_date_of(replace(OBJECT, key=f"landing/sales/dt={key}/a.csv"), FIRST, TODAY)
    assert isinstance(found, InvalidBatchDate) or FIRST <= found <= TODAY
