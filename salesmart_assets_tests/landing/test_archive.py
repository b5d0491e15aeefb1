"""Archiving: exactly what was read moves away, what landed meanwhile stays, and a crash anywhere can be repeated."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from salesmart_assets.landing.folder import ObjectFile
from salesmart_assets.landing.objects import LandedObject
from salesmart_assets.landing.zone import LandingZone, ObjectChanged, ObjectGone
from salesmart_assets_tests.landing.conftest import Store

FOLDER = "landing/sales/dt=2024-01-31"
KEY = f"{FOLDER}/till 4+%é.csv"
DONE = KEY.replace("landing/", "processed/")
CALLS = ("HeadObject", "CopyObject", "PutObject", "ListObjectVersions", "DeleteObject")


class Crash(Exception):
    """The process ends here."""


@contextmanager
def _at(store: Store, event: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something once, at an event of the zone's own client, such as after-call.s3.CopyObject."""
    left = [act]

    def once(**_: Any) -> None:
        if left:
            left.pop()()

    store.zone.client.meta.events.register(event, once)
    try:
        yield
    finally:
        store.zone.client.meta.events.unregister(event, once)


def _raise() -> None:
    raise Crash


def _archive(store: Store, landed: LandedObject) -> str:
    return store.zone.archive(landed, "sales", "processed", None).key


def test_finished_object_moves(store: Store) -> None:
    """A finished object moves to processed/SOURCE/… with its content and headers, and is gone from the landing zone."""
    store.producer.put_object(Bucket=store.bucket, Key=KEY, Body=b"1", ContentType="text/csv", Metadata={"till": "4"})
    landed = next(store.zone.objects("sales"))
    assert _archive(store, landed) == DONE
    assert store.keys() == [DONE]
    assert store.body(DONE) == b"1"
    found = store.producer.head_object(Bucket=store.bucket, Key=DONE)
    assert found["ContentType"].startswith("text/csv")
    if store.kind != "local":  # its endpoint keeps an object's own entries in memory only
        assert found["Metadata"]["till"] == "4"


def test_rejected_object_moves_with_its_reason(store: Store) -> None:
    """A rejected object moves to error/SOURCE/…, with KEY.reason.json beside it."""
    landed = store.land(KEY, b"")
    key = store.zone.archive(landed, "sales", "error", {"reason": "file.empty: né", "rows_read": 0}).key
    assert key == KEY.replace("landing/", "error/")
    assert json.loads(store.body(f"{key}.reason.json")) == {"reason": "file.empty: né", "rows_read": 0}
    assert store.keys("landing/") == []


@pytest.mark.parametrize(
    ("key", "archived"),
    [
        ("landing/sales/dt=2024-01-31/a/b.csv", "processed/sales/dt=2024-01-31/a/b.csv"),
        ("landing/sales/dt=nonsense/b.csv", "processed/sales/dt=nonsense/b.csv"),
        ("landing/sales/sub/b.csv", "processed/sales/dt=TODAY/sub/b.csv"),
        ("other/place/dt=2024-01-31/b.csv", "processed/sales/dt=2024-01-31/b.csv"),
        ("other/place/b.csv", "processed/sales/dt=TODAY/b.csv"),
    ],
)
def test_archive_keeps_the_place(store: Store, key: str, archived: str) -> None:
    """The archive is laid out by source and batch date, also for objects from other places or without dt=."""
    landed = store.land(key, b"1")
    assert _archive(store, landed) == archived.replace("TODAY", landed.last_modified.date().isoformat())
    assert len(store.keys()) == 1


def test_redelivered_names_are_kept_apart(store: Store) -> None:
    """Files delivered again and again under one name are all kept; the same content is kept once."""
    names = [_archive(store, store.land(KEY, body)) for body in (b"one", b"two", b"three", b"one")]
    assert [store.body(name) for name in names] == [b"one", b"two", b"three", b"one"]
    assert names[0] == DONE
    assert all(name.startswith(f"{DONE[:-4]}.") and name.endswith(".csv") for name in names[1:3])
    assert store.keys("landing/") == []
    assert len(set(names)) == 3


def test_archive_is_never_listed_as_landed(store: Store) -> None:
    """Nothing in processed/ or error/ is an object of a source again."""
    for number in range(3):
        _archive(store, store.land(f"{FOLDER}/{number}.csv", b"1"))
    assert [o for source in ("sales", "processed", "error", "") for o in store.zone.objects(source)] == []


@pytest.mark.parametrize("call", ["CopyObject", "DeleteObject"])
@pytest.mark.parametrize("new", [b"new", b"other"])
def test_what_lands_meanwhile_stays(store: Store, call: str, new: bytes) -> None:
    """What lands between the copy and the deletion stays in the landing zone and is the next to be picked up."""
    if store.kind == "local":
        call = "HeadObject"  # nothing is copied and deleted there
    landed = store.land(KEY, b"old")
    event = f"after-call.s3.{call}" if call == "CopyObject" else f"before-call.s3.{call}"
    with _at(store, event, lambda: store.producer.put_object(Bucket=store.bucket, Key=KEY, Body=new)):
        try:
            key = _archive(store, landed)
        except ObjectChanged:
            key = ""
    assert store.body(KEY) == new
    left = list(store.zone.objects("sales"))
    assert [o.key for o in left] == [KEY]
    assert left[0].identity != landed.identity
    if key:
        assert store.body(key) == b"old"
    else:
        assert store.kind == "local"


def test_overwritten_while_copied_keeps_no_false_copy(conditional_store: Store) -> None:
    """If the object is overwritten just before it is copied, the wrong copy does not stay, and the new object does."""
    store = conditional_store
    landed = store.land(KEY, b"old")
    overwrite = _at(store, "before-call.s3.CopyObject", lambda: store.producer.put_object(Bucket=store.bucket, Key=KEY, Body=b"new"))
    with overwrite, pytest.raises(ObjectChanged):
        _archive(store, landed)
    assert store.keys() == [KEY]
    assert store.body(KEY) == b"new"


@pytest.mark.parametrize(("again", "links"), [(False, True), (True, True), (False, False)])
def test_overwritten_while_renamed_stays(local_store: Store, monkeypatch: pytest.MonkeyPatch, again: bool, links: bool) -> None:
    """On the own endpoint, what lands at the very moment of the renaming is back in its place, or gone if it is overwritten, too."""

    def no_link(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    landed = local_store.land(KEY, b"old")
    rename = Path.replace
    if not links:
        monkeypatch.setattr("salesmart_assets.landing.folder.Path.hardlink_to", no_link)

    def put(body: bytes) -> None:
        local_store.producer.put_object(Bucket=local_store.bucket, Key=KEY, Body=body)

    def late(origin: Path, target: Path) -> None:
        monkeypatch.setattr("salesmart_assets.landing.folder.Path.replace", rename)
        put(b"new")
        rename(origin, target)
        if again:
            put(b"newer")

    monkeypatch.setattr("salesmart_assets.landing.folder.Path.replace", late)
    with pytest.raises(ObjectChanged):
        _archive(local_store, landed)
    assert local_store.keys() == [KEY]
    assert local_store.body(KEY) == (b"newer" if again else b"new")


def test_own_objects_are_renamed(local_store: Store) -> None:
    """On the own endpoint no byte is copied: the file is the same afterwards, and the folder that it alone was in is gone."""
    landed = local_store.land(KEY, b"content")
    assert local_store.folder is not None
    before = (local_store.folder / KEY).stat()
    with _at(local_store, "before-call.s3.CopyObject", _raise):
        key = _archive(local_store, landed)
    after = (local_store.folder / key).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in local_store.folder.iterdir()] == ["processed"]


@pytest.mark.parametrize("key", ["../outside.csv", "a/../../outside.csv", "./outside.csv", "a//b.csv", "a\0b.csv", "link.csv", "a"])
def test_keys_that_are_no_plain_path_are_left_to_the_endpoint(tmp_path: Path, key: str) -> None:
    """A key that would lead out of the bucket's folder, or to what is no file of it, is nothing to rename."""
    (tmp_path / "bucket" / "a").mkdir(parents=True)
    for name in ("outside.csv", "bucket/b.csv", "bucket/a/b.csv", "bucket/outside.csv"):
        (tmp_path / name).touch()
    (tmp_path / "bucket/link.csv").symlink_to(tmp_path / "outside.csv")
    assert ObjectFile.of(tmp_path / "bucket", "a/b.csv") is not None
    assert ObjectFile.of(tmp_path / "bucket", key) is None


def test_a_folder_that_cannot_be_renamed_in_is_copied(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system does not rename from one folder to another, the object is copied; nothing is left behind."""

    def refused(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("salesmart_assets.landing.folder.Path.replace", refused)
    assert _archive(local_store, local_store.land(KEY, b"content")) == DONE
    assert local_store.keys() == [DONE]
    assert local_store.body(DONE) == b"content"


def test_exact_version_is_archived(versioned_store: Store) -> None:
    """In a bucket with versions, the version that was read is archived even when a newer one is there."""
    landed = versioned_store.land(KEY, b"old")
    newer = versioned_store.land(KEY, b"new")
    assert versioned_store.body(_archive(versioned_store, landed)) == b"old"
    assert next(versioned_store.zone.objects("sales")) == newer
    assert versioned_store.body(_archive(versioned_store, newer)) == b"new"
    assert versioned_store.keys("landing/") == []


def test_older_versions_do_not_come_back(versioned_store: Store) -> None:
    """Archiving the current version brings no older one back into the landing zone; all of them are in the archive."""
    first = versioned_store.land(KEY, b"v1")
    second = versioned_store.land(KEY, b"v2")
    third = versioned_store.land(KEY, b"v3")
    _archive(versioned_store, third)
    assert versioned_store.keys("landing/") == []
    assert {versioned_store.body(key) for key in versioned_store.keys("processed/")} == {b"v1", b"v2", b"v3"}
    assert versioned_store.body(_archive(versioned_store, first)) == b"v1"
    assert versioned_store.body(_archive(versioned_store, second)) == b"v2"


def test_deleted_history_is_left_alone(versioned_store: Store) -> None:
    """Versions that a producer had deleted before stay as they are, hidden."""
    versioned_store.land(KEY, b"deleted")
    versioned_store.producer.delete_object(Bucket=versioned_store.bucket, Key=KEY)
    landed = versioned_store.land(KEY, b"now")
    _archive(versioned_store, landed)
    assert versioned_store.keys("landing/") == []


def test_object_from_before_versions_is_exact(conditional_store: Store) -> None:
    """An object from before versions were switched on is archived without touching what landed after."""
    landed = conditional_store.land(KEY, b"old")
    conditional_store.producer.put_bucket_versioning(Bucket=conditional_store.bucket, VersioningConfiguration={"Status": "Enabled"})
    zone = LandingZone(conditional_store.zone.client, conditional_store.bucket, "landing/", folder=None)
    assert next(zone.objects("sales")).identity == landed.identity
    newer = conditional_store.land(KEY, b"new")
    key = zone.archive(landed, "sales", "processed", None).key
    assert conditional_store.body(key) == b"old"
    assert next(zone.objects("sales")).etag == newer.etag


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("moment", ["before-call", "after-call"])
@pytest.mark.parametrize("earlier", [b"", b"another file of that name"])
def test_crash_anywhere_can_be_repeated(store: Store, call: str, moment: str, earlier: bytes) -> None:
    """After a crash at any request, archiving again ends with exactly one copy, the original gone, and the same key."""
    if earlier:
        _archive(store, store.land(KEY, earlier))
    landed = store.land(KEY, b"content")
    with suppress(Crash), _at(store, f"{moment}.s3.{call}", _raise):
        store.zone.archive(landed, "sales", "processed", {"why": "test"})
    key = store.zone.archive(landed, "sales", "processed", {"why": "test"}).key
    assert store.body(key) == b"content"
    assert store.keys("landing/") == []
    assert len([k for k in store.keys("processed/") if not k.endswith(".reason.json")]) == 1 + bool(earlier)
    assert store.zone.archive(landed, "sales", "processed", {"why": "test"}).key == key


def test_gone_object_is_said(store: Store) -> None:
    """An object that somebody took away can't be archived, and that is said."""
    landed = store.land(KEY, b"1")
    store.zone.delete(landed.key)
    if store.kind == "versioned":
        store.producer.delete_object(Bucket=store.bucket, Key=KEY, VersionId=landed.version_id or "")
    with pytest.raises(ObjectGone, match="no longer there"):
        _archive(store, landed)


def test_large_objects_are_copied_in_parts(conditional_store: Store, versioned_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object too large for one copy request moves in parts, also after a crash, though its ETag becomes another."""
    monkeypatch.setattr("salesmart_assets.landing.archive.COPY_AT_ONCE_BYTES", 5 << 20)
    body = bytes(range(256)) * (6 << 12)
    for store in (conditional_store, versioned_store):
        landed = store.land(KEY, body)
        with pytest.raises(Crash), _at(store, "after-call.s3.DeleteObject", _raise):
            _archive(store, landed)
        assert _archive(store, landed) == DONE
        assert store.body(DONE) == body
        assert store.keys() == [DONE]


def test_safety_is_asked_of_the_store(store: Store) -> None:
    """Archiving is safe on a bucket with versions, on a store that holds deletions to the ETag, and on the own endpoint."""
    assert store.zone.can_archive_safely()
    assert store.keys() == []


def test_store_that_ignores_conditions_is_not_safe(local_store: Store) -> None:
    """A store that deletes whatever the ETag is no place for moving objects by itself."""
    foreign = LandingZone(local_store.zone.client, local_store.bucket, "landing/", folder=None)
    assert not foreign.can_archive_safely()
    assert local_store.keys() == []


def test_rebuild_reads_the_archived_copy(store: Store) -> None:
    """The archived copy can be read exactly, by what a look at it tells."""
    moved = store.zone.archive(store.land(KEY, b"content"), "sales", "processed", None)
    key = moved.key
    found = store.zone.head(key)
    assert found is not None
    assert found.source == "sales"
    assert (moved.etag, moved.version_id) == (found.etag, found.version_id)
    into = io.BytesIO()
    store.zone.download(found, into)
    assert into.getvalue() == b"content"
