"""The landing zone: every object is seen once, read exactly as listed, and whatever happens to the wire is noticed."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets.landing.zone import LandingZone, ObjectChanged, ObjectGone, StoreFault, connect
from salesmart_assets.local import LocalEndpoint
from salesmart_assets.settings import Settings
from salesmart_assets_tests.landing.conftest import Store, client_of
from salesmart_assets_tests.landing.wire import BadWire

DAY = date(2024, 1, 31)
FOLDER = f"landing/sales/dt={DAY}"
ODD_NAMES = (
    "till 4.csv",
    "a+b.csv",
    "100%.csv",
    "%20.csv",
    "é.csv",
    "e\u0301.csv",
    "日本.csv",
    "a&b=c#d;e.csv",
    'it\'s "q".csv',
    "Case.csv",
    "case.csv",
    "CASE.CSV",
    "~(x)!*.csv",
    "<x>.csv",
    "..x",
    "dt=1.csv",
)


class Disturbed(io.BytesIO):
    """A target that calls something once, when the first bytes have been written to it."""

    def __init__(self, disturb: Callable[[], object]) -> None:
        super().__init__()
        self._disturb: Callable[[], object] | None = disturb

    def write(self, data: object) -> int:
        """Write, then disturb."""
        count = super().write(data)  # type: ignore[arg-type]
        if self._disturb is not None:
            disturb, self._disturb = self._disturb, None
            disturb()
        return count


def _download(store: Store, source: str = "sales") -> dict[str, bytes]:
    found = {}
    for landed in store.zone.objects(source):
        into = io.BytesIO()
        digest = store.zone.download(landed, into)
        assert digest == hashlib.sha256(into.getvalue()).hexdigest()
        found[landed.key] = into.getvalue()
    return found


def test_every_name_lands_and_comes_back(store: Store, tmp_path: Path) -> None:
    """Spaces, +, %, accents, other scripts and names that differ only by case land, list and read back as they are."""
    for number, name in enumerate(ODD_NAMES):
        path = tmp_path / "file"
        path.write_bytes(f"{number}".encode())
        assert store.zone.put(path, "sales", DAY, name) == f"{FOLDER}/{name}"
    assert _download(store) == {f"{FOLDER}/{name}": f"{number}".encode() for number, name in enumerate(ODD_NAMES)}
    for landed in store.zone.objects("sales"):
        assert store.zone.head(landed.key, landed.version_id) == landed
        assert b"".join(store.zone.read(landed.key).iter_chunks()) == store.body(landed.key)
        store.zone.delete(landed.key)
    assert store.keys() == []


def test_put_takes_empty_and_large_files_and_overwrites(store: Store, tmp_path: Path) -> None:
    """An empty file, one that goes up in parts, and a second one of the same name land whole."""
    path = tmp_path / "tills.csv"
    large = os.urandom(1 << 20) * 40 + b"end"
    for body in (b"", large, b"small"):
        path.write_bytes(body)
        assert store.zone.put(path, "sales", DAY) == f"{FOLDER}/tills.csv"
        assert _download(store) == {f"{FOLDER}/tills.csv": body}
    with pytest.raises(UsageError, match="is no file"):
        store.zone.put(tmp_path / "nothing.csv", "sales", DAY)


def test_listing_pages_through_thousands(store: Store) -> None:
    """2,100 objects in many folders are all listed, once each, in key order; nothing of another source is among them."""
    keys = [f"landing/sales/dt=2024-{i % 10 + 1:02d}-{i % 28 + 1:02d}/f{i:05d}.csv" for i in range(2_100)]
    for key in keys:
        store.put_quickly(key)
    store.land("landing/sales_team/dt=2024-01-01/x.csv", b"1")
    store.land("landing/salesX", b"1")
    found = [o.key for o in store.zone.objects("sales")]
    assert found == sorted(keys)


def test_folder_markers_are_no_files(store: Store) -> None:
    """Folder markers are not listed; zero-byte files are."""
    store.land(f"{FOLDER}/empty.csv", b"")
    if store.kind != "local":  # its endpoint takes no marker
        store.producer.put_object(Bucket=store.bucket, Key=f"{FOLDER}/", Body=b"")
        store.producer.put_object(Bucket=store.bucket, Key="landing/sales/dt=2024-02-01_$folder$", Body=b"")
    listed = list(store.zone.objects("sales"))
    assert [(o.key, o.size, o.source) for o in listed] == [(f"{FOLDER}/empty.csv", 0, "sales")]


def test_overwriting_gives_a_new_identity(store: Store) -> None:
    """An overwritten object is another object; the same one listed or looked at again is the same."""
    first = store.land(f"{FOLDER}/a.csv", b"1")
    assert store.zone.head(first.key) == first == next(store.zone.objects("sales"))
    second = store.land(f"{FOLDER}/a.csv", b"2")
    assert first.identity != second.identity
    assert (first.version_id is not None) == (store.kind == "versioned")


def test_a_look_and_a_listing_agree(store: Store) -> None:
    """Right after landing, close to the turn of a second, a look at an object gives the identity that the listing gives."""
    for number in range(4):
        time.sleep((0.999 - time.time()) % 1)
        landed = store.land(f"{FOLDER}/a.csv", b"%d" % number)
        assert store.zone.head(landed.key) == landed == next(store.zone.objects("sales"))
        store.zone.archive(landed, "sales", "processed", None)
        assert store.keys("landing/") == []


def test_deleted_object_is_not_listed(store: Store) -> None:
    """What was deleted is not listed, has no head, and reading it is `ObjectGone`."""
    landed = store.land(f"{FOLDER}/a.csv", b"1")
    store.producer.delete_object(Bucket=store.bucket, Key=landed.key)
    assert list(store.zone.objects("sales")) == []
    assert store.zone.head(landed.key) is None
    with pytest.raises(ObjectGone, match=r"a\.csv"):
        store.zone.read(landed.key)
    if store.kind != "versioned":
        with pytest.raises(ObjectGone, match=r"a\.csv"):
            store.zone.download(landed, io.BytesIO())


def test_overwritten_before_reading_is_noticed(store: Store) -> None:
    """An object overwritten after it was listed is never read in its place, not even by one of the same size."""
    landed = store.land(f"{FOLDER}/a.csv", b"old")
    store.land(landed.key, b"new")
    into = io.BytesIO()
    if store.kind == "versioned":
        store.zone.download(landed, into)
        assert into.getvalue() == b"old"
    else:
        with pytest.raises(ObjectChanged, match="overwritten"):
            store.zone.download(landed, into)


def test_overwritten_while_reading_is_never_mixed(store: Store) -> None:
    """An object overwritten while it is read is read as it was, or not at all."""
    old, new = b"o" * (24 << 20), b"n" * (24 << 20)
    landed = store.land(f"{FOLDER}/a.csv", old)
    into = Disturbed(lambda: store.land(landed.key, new))
    try:
        digest = store.zone.download(landed, into)
    except ObjectChanged:
        return
    assert digest == hashlib.sha256(old).hexdigest()
    assert into.getvalue() == old


def test_file_changed_in_its_folder_while_reading_is_noticed(local_store: Store) -> None:
    """A file that somebody writes to by hand, under the local endpoint, is not read half old and half new."""
    landed = local_store.land(f"{FOLDER}/a.csv", b"o" * (24 << 20))
    assert local_store.folder is not None
    path = local_store.folder / landed.key

    def scribble() -> None:
        with path.open("r+b") as file:
            file.seek(16 << 20)
            file.write(b"n" * (8 << 20))

    with pytest.raises(ObjectChanged):
        local_store.zone.download(landed, Disturbed(scribble))


def test_files_put_into_the_folder_by_hand_are_seen(local_store: Store) -> None:
    """A file copied into HOME/s3 by hand is an object at once."""
    assert local_store.folder is not None
    (local_store.folder / FOLDER).mkdir(parents=True)
    (local_store.folder / FOLDER / "by hand.csv").write_bytes(b"1")
    assert _download(local_store) == {f"{FOLDER}/by hand.csv": b"1"}


def test_broken_wire_is_tried_again(conditional_store: Store, bad_wire: BadWire) -> None:
    """A body that breaks off is read again from the start; a short one is never taken for the whole."""
    body = os.urandom(3 << 20)
    landed = conditional_store.land(f"{FOLDER}/a.csv", body)
    with closing(client_of(bad_wire.url)) as client:
        zone = LandingZone(client, conditional_store.bucket, "landing/", folder=None)
        bad_wire.does("cut", 2)
        bad_wire.does("busy", 1)
        into = io.BytesIO()
        into.write(b"kept")
        assert zone.download(landed, into) == hashlib.sha256(body).hexdigest()
        assert into.getvalue() == b"kept" + body


def test_broken_wire_is_given_up(conditional_store: Store, bad_wire: BadWire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wire that stays broken ends in a fault that says it can be tried again, after a bounded number of requests."""
    landed = conditional_store.land(f"{FOLDER}/a.csv", b"x" * 100_000)
    monkeypatch.setattr("salesmart_assets.landing.zone._READ_PAUSES", (0.01, 0.01))
    with closing(client_of(bad_wire.url)) as client:
        zone = LandingZone(client, conditional_store.bucket, "landing/", folder=None)
        bad_wire.does("cut", 1_000)
        with pytest.raises(StoreFault, match=r"a\.csv.*tried again"):
            zone.download(landed, io.BytesIO())
        bad_wire.heal()
        bad_wire.does("busy", 1_000)
        with pytest.raises(StoreFault, match=r"a\.csv.*busy"):
            zone.download(landed, io.BytesIO())
    assert len(bad_wire.asked) <= 3 + 3 * 2


def test_wrong_size_is_noticed(store: Store) -> None:
    """A length other than the listed one is a change, even under the same ETag."""
    landed = store.land(f"{FOLDER}/a.csv", b"123")
    with pytest.raises(ObjectChanged):
        store.zone.download(replace(landed, size=4), io.BytesIO())


def test_zone_of_any_prefix(store: Store) -> None:
    """processed/ and error/ lie beside the landing prefix, at any depth, and never inside a source."""
    for prefix, beside in (("landing/", ""), ("", ""), ("a/b/", "a/"), ("a", "")):
        zone = LandingZone(store.zone.client, store.bucket, prefix, folder=None)
        assert (zone.area("processed"), zone.area("error")) == (f"{beside}processed/", f"{beside}error/")
    for prefix in ("processed", "a/error/"):
        with pytest.raises(UsageError, match="SALESMART_LANDING"):
            LandingZone(store.zone.client, store.bucket, prefix, folder=None)
    store.land("drop/tills/a.csv", b"1")
    assert [o.key for o in store.zone.objects("sales", bucket=store.bucket, prefix="drop/tills/")] == ["drop/tills/a.csv"]


def test_settings_connect_to_the_local_endpoint(local_home: Settings, local_endpoint: LocalEndpoint) -> None:
    """The default settings reach the endpoint of their home, given or attached to; what lands is listed."""
    zone = connect(local_home, local_endpoint)
    zone.check()
    attached = connect(local_home.model_copy(update={"s3_local_url": local_endpoint.url}), None)
    attached.check()
    assert zone.local
    zone.client.close()
    attached.client.close()


def _sentence(settings: Settings) -> str:
    zone = connect(settings, None)
    with pytest.raises(Unreachable) as caught:
        zone.check()
    zone.client.close()
    assert "very-secret" not in str(caught.value)
    return str(caught.value)


def test_unreachable_store_is_said_in_one_sentence(local_endpoint: LocalEndpoint, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing bucket, wrong keys, no keys, or an endpoint that does not answer: what, where and what to do, and no secret."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    keys: dict[str, Any] = {"s3_access_key_id": "some-key-id", "s3_secret_access_key": "very-secret"}
    said = _sentence(Settings(s3_endpoint_url=moto_url, landing="s3://no-such-bucket/landing", **keys))
    assert "no-such-bucket" in said
    assert "SALESMART_LANDING" in said
    said = _sentence(Settings(s3_endpoint_url=local_endpoint.url, **keys))
    assert "SALESMART_S3_ACCESS_KEY_ID" in said
    said = _sentence(Settings(s3_endpoint_url=moto_url))
    assert "no usable credentials" in said
    said = _sentence(Settings(s3_endpoint_url="http://127.0.0.1:9", **keys))
    assert "http://127.0.0.1:9 does not answer" in said
    assert "SALESMART_S3_ENDPOINT_URL" in said
    with pytest.raises(Unreachable, match="SALESMART_S3_"):
        connect(Settings(s3_endpoint_url="not an address", **keys), None)


def test_times_are_utc(store: Store) -> None:
    """LastModified is in UTC, to the second."""
    landed = store.land(f"{FOLDER}/a.csv", b"1")
    assert landed.last_modified.tzinfo is timezone.utc
    assert landed.last_modified.microsecond == 0
    assert abs((datetime.now(timezone.utc) - landed.last_modified).total_seconds()) < 60
