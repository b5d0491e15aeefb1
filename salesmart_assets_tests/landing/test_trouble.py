"""S3 trouble, made by a faulty wire before a real store: what passes is got over, what does not is said, and nothing is done by half."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from salesmart_assets.batch import landing, locations, reconcile
from salesmart_assets.batch.platform import Platform
from salesmart_assets.errors import Permanent, Retryable, SalesmartError, Unreachable
from salesmart_assets.landing.faults import BucketFault, ObjectDenied, StoreFault
from salesmart_assets.landing.zone import LandingZone, connect
from salesmart_assets.settings import Settings
from salesmart_assets_tests.batches import HEADER, accounted, load, session
from salesmart_assets_tests.landing.conftest import client_of
from salesmart_assets_tests.landing.wire import BadWire, Trouble

PASSING: tuple[Trouble, ...] = ("busy", "stall", "cut", "reset", "short")
LASTING: tuple[Trouble, ...] = ("ExpiredToken", "InvalidAccessKeyId", "AccessDenied", "NoSuchBucket")
DAY = date(2026, 8, 1)
KEY_A, KEY_B = (f"landing/sales/dt={DAY}/{name}.csv" for name in "ab")


@dataclass(frozen=True, slots=True)
class Shop:
    """A bucket behind a bad wire, and the settings that lead there."""

    wire: BadWire
    bucket: str
    settings: Settings

    def zone(self) -> LandingZone:
        return connect(self.settings, None, timeout_seconds=0.5, attempts=2)

    @contextmanager
    def platform(self) -> Iterator[Platform]:
        zone = self.zone()
        with closing(zone.client), Platform(self.settings, given_session=session, given_zone=lambda: zone) as opened:
            yield opened


@pytest.fixture
def shop(moto_url: str, bad_wire: BadWire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Two files of one batch, one sale each."""
    monkeypatch.setattr("salesmart_assets.landing.zone._READ_PAUSES", (0.01, 0.02))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = f"shop-{uuid.uuid4().hex[:10]}"
    with closing(client_of(moto_url)) as producer:
        producer.create_bucket(Bucket=bucket)
        for number, key in ((1, KEY_A), (2, KEY_B)):
            text = f"{HEADER}\n{number},121,bread,2026-08-01,1,2.50,{number},{number * 2.5}\n"
            producer.put_object(Bucket=bucket, Key=key, Body=text.encode())
    settings = Settings(
        home=tmp_path / "home",
        landing=f"s3://{bucket}/landing",
        s3_endpoint_url=bad_wire.url,
        s3_access_key_id="test-key-id",
        s3_secret_access_key="test-secret-key",
    )
    bad_wire.stall_seconds = 1.5
    return Shop(bad_wire, bucket, settings)


def _customers(platform: Platform) -> list[int]:
    return sorted(row["customer_id"] for row in platform.lake.snapshot("fact_sales").read().to_pylist())


def _all_done(platform: Platform) -> bool:
    files = platform.ledger.files()
    return len(files) == 2 and all((f.status, f.outcome) == ("I", "loaded") for f in files) and accounted(platform)


@pytest.mark.parametrize("trouble", PASSING)
def test_reading_gets_over_what_passes(shop: Shop, trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    """An object comes whole through throttling, time-outs, cut, reset and short bodies, from its beginning, and the log tells of it."""
    body = os.urandom(300_000)
    with closing(shop.zone().client) as client:
        client.put_object(Bucket=shop.bucket, Key=KEY_A, Body=body)
        zone = shop.zone()
        (landed,) = [o for o in zone.objects("sales") if o.key == KEY_A]
        shop.wire.does(trouble, 2, on="GET .*a.csv")
        into = io.BytesIO()
        assert zone.download(landed, into) == hashlib.sha256(body).hexdigest()
        zone.client.close()
    assert into.getvalue() == body
    assert caplog.records
    assert all("secret" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("trouble", PASSING)
def test_listing_gets_over_what_passes(shop: Shop, trouble: Trouble) -> None:
    """A listing is whole or a fault that passes: one that broke off is never taken for all there is."""
    zone = shop.zone()
    shop.wire.does(trouble, 1, on="GET .*list-type")
    for _ in range(2):
        try:
            assert [o.key for o in zone.objects("sales")] == [KEY_A, KEY_B]
            break
        except StoreFault:
            continue
    else:
        pytest.fail("the trouble had passed")
    zone.client.close()


@pytest.mark.parametrize("trouble", LASTING)
def test_what_does_not_pass_is_said_at_once(shop: Shop, trouble: Trouble) -> None:
    """Expired or wrong keys, no right to list and a missing bucket are one clear sentence, asked for once, and no secret."""
    zone = shop.zone()
    shop.wire.does(trouble)
    with pytest.raises(Unreachable) as caught:
        list(zone.objects("sales"))
    zone.client.close()
    assert shop.bucket in str(caught.value)
    assert "SALESMART_" in str(caught.value)
    assert "test-secret-key" not in str(caught.value)
    assert len(shop.wire.asked) == 1


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [("AccessDenied", ObjectDenied), ("ExpiredToken", Unreachable), ("InvalidAccessKeyId", Unreachable), ("NoSuchBucket", BucketFault)],
)
def test_one_object_denied_is_not_the_store_refusing(shop: Shop, trouble: Trouble, kind: type[SalesmartError]) -> None:
    """One object that may not be read is told apart from keys and buckets that are no good for any."""
    zone = shop.zone()
    landed = next(iter(zone.objects("sales")))
    shop.wire.does(trouble, on="GET .*a.csv")
    with pytest.raises(kind) as caught:
        zone.download(landed, io.BytesIO())
    assert type(caught.value) is kind
    zone.client.close()


@pytest.mark.parametrize("trouble", PASSING)
def test_batch_gets_over_what_passes(shop: Shop, trouble: Trouble) -> None:
    """A batch is loaded, once and whole, through troubles that pass."""
    with shop.platform() as platform:
        shop.wire.does(trouble, 1, on=r"GET .*\.csv")
        load(platform, DAY)
        assert _customers(platform) == [1, 2]
        assert _all_done(platform)


@pytest.mark.parametrize("trouble", [*PASSING, *LASTING])
@pytest.mark.parametrize("on", [r"GET .*\.csv", "GET .*list-type"])
def test_nothing_is_done_that_is_not(shop: Shop, trouble: Trouble, on: str) -> None:
    """While the trouble lasts the batch fails, or goes on without the bucket, and nothing counts as done; then all is loaded, once."""
    with shop.platform() as platform:
        _ = platform.zone.can_archive_safely()
        shop.wire.does(trouble, on=on)
        if trouble in ("AccessDenied", "NoSuchBucket"):
            load(platform, DAY)  # each file, or this bucket, by itself: the run goes on without them
        else:
            with pytest.raises((Retryable, Permanent)):
                load(platform, DAY)
        assert not [f for f in platform.ledger.files() if f.status == "I" or f.outcome is not None]
        assert _customers(platform) == []
        assert len(shop.wire.asked) < 100
        shop.wire.heal()
        assert list(landing.look(platform).batches) == [DAY]
        load(platform, DAY)
        assert _customers(platform) == [1, 2]
        assert _all_done(platform)
        assert not landing.look(platform).new_objects


def test_denied_key_does_not_keep_the_others(shop: Shop) -> None:
    """One key that is denied for good stays pending, with the reason; the other file of its batch is loaded and closed meanwhile."""
    with shop.platform() as platform:
        shop.wire.does("AccessDenied", on="GET .*a.csv")
        load(platform, DAY)
        assert _customers(platform) == [2]
        waiting, loaded = platform.ledger.files()
        assert (waiting.status, waiting.stage, waiting.outcome) == ("A", "registered", None)
        assert "AccessDenied" in (waiting.reason or "")
        assert (loaded.status, loaded.outcome) == ("I", "loaded")
        shop.wire.heal()
        load(platform, DAY)
        assert _customers(platform) == [1, 2]
        assert _all_done(platform)


def test_denied_key_is_given_up_in_the_end(shop: Shop) -> None:
    """A key that stays denied is given up after the tries that the settings allow, and says why; nothing else is."""
    with shop.platform() as platform:
        shop.wire.does("AccessDenied", on="GET .*a.csv")
        for _ in range(platform.settings.max_attempts):
            assert platform.ledger.give_up(platform.settings.max_attempts) == []
            load(platform, DAY)
        assert platform.ledger.give_up(platform.settings.max_attempts, [DAY]) == []
        (file,) = platform.ledger.give_up(platform.settings.max_attempts)
        assert (file.key, file.outcome) == (KEY_A, "given_up")
        assert "3 tries" in (file.reason or "")
        assert "AccessDenied" in (file.reason or "")
        assert list(platform.ledger.unfinished()) == []
        assert not landing.look(platform).new_objects


@pytest.mark.parametrize("trouble", ["AccessDenied", "NoSuchBucket", "busy"])
def test_one_bucket_in_trouble_stops_no_other(shop: Shop, trouble: Trouble) -> None:
    """A second bucket that is denied, missing or busy is told, also by its check, and costs the first nothing; then it is loaded too."""
    with shop.platform() as platform:
        other = f"{shop.bucket}-2"
        platform.zone.make_bucket(other)
        locations.add(platform, "sales", f"s3://{other}/tills", None)
        key, text = f"tills/dt={DAY}/c.csv", f"{HEADER}\n3,121,bread,2026-08-01,1,2.50,1,2.5\n"
        platform.zone.client.put_object(Bucket=other, Key=key, Body=text.encode())
        shop.wire.does(trouble, on=f"/{other}")
        pending = landing.look(platform)
        assert pending.new_objects == 2
        assert f"s3://{other}" in pending.faults[0]
        load(platform, DAY)
        assert _customers(platform) == [1, 2]
        assert _all_done(platform)
        assert f"s3://{other}" in reconcile.every_location_answers(platform).sentence
        shop.wire.heal()
        assert landing.look(platform).faults == ()
        assert reconcile.every_location_answers(platform).passed
        load(platform, DAY)
        assert _customers(platform) == [1, 2, 3]


@pytest.mark.parametrize("trouble", ["busy", "stall", "AccessDenied"])
def test_trouble_while_archiving_loses_nothing(shop: Shop, trouble: Trouble) -> None:
    """What can't be moved to processed/ stays where it is, counted once, and is moved when the trouble is over."""
    from salesmart_assets.batch.publication import archive_finished

    with shop.platform() as platform:
        platform.zone.can_archive_safely()
        shop.wire.does(trouble, on="(PUT|DELETE) .*")
        if trouble == "AccessDenied":
            load(platform, DAY)
            assert archive_finished(platform).refused[0].startswith(f"Copying s3://{shop.bucket}/")
        else:
            with pytest.raises(StoreFault):
                load(platform, DAY)
        assert _customers(platform) == [1, 2]
        assert all(f.status == "I" for f in platform.ledger.files())
        shop.wire.heal()
        archive_finished(platform)
        assert sorted(o.key for o in platform.zone.list_any("")) == [k.replace("landing/", "processed/") for k in (KEY_A, KEY_B)]
        assert not landing.look(platform).new_objects
