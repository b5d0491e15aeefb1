"""Dimensions brought up to date: whichever way, they are what building them anew gives."""

from __future__ import annotations

import tempfile
import uuid
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from salesmart_assets.batch import dimensions, landing, staging
from salesmart_assets.batch.platform import Platform
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.landing.faults import ObjectDenied
from salesmart_assets.landing.zone import LandingZone
from salesmart_assets_tests.batches import HEADER, Batches, load_pending, tables

FIRST = date(2026, 8, 1)
COLUMNS = "product_id,name,category,price,cost,stock_on_hand,expiry_date,effective_date"
CONTRACT = Path(staging.__file__).parents[1] / "contracts" / "products.yaml"

rows = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["soap", "tea"]), st.integers(1, 3), st.none() | st.integers(-3, 6)), max_size=4
)
deliveries = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b"]), rows, st.integers(0, 9).map(bool)), min_size=2, max_size=5)


def text(batch: date, products: list[tuple[int, str, int, int | None]], *, clean: bool = True) -> str:
    lines = [COLUMNS]
    for number, name, price, ahead in products:
        effective = "" if ahead is None else batch + timedelta(ahead)
        lines.append(f"{number},{name},home,{price}.00,0.50,5,,{effective}")
    return "\n".join(lines if clean else [*lines, "x,,,,,,,"]) + "\n"


def deliver(batches: Batches, platform: Platform, batch: date, name: str, content: str) -> Report:
    """Land a file of products, stage it, and bring the dimension up to date."""
    batches.land(platform, content, "products", batch.isoformat(), f"{name}.csv")
    return update(platform, batch)


def update(platform: Platform, batch: date) -> Report:
    run = Run(batch, uuid.uuid4().hex)
    landing.register(platform, "products", run)
    staging.stage(platform, "products", run)
    staging.keep_rejections(platform, run)
    return dimensions.build_dimension(platform, "dim_product", run)


def is_as_if_built_anew(platform: Platform) -> bool:
    return dimensions.build_dimension(platform, "dim_product", Run(FIRST, uuid.uuid4().hex, rebuild=True)).facts["changed"] is False


@pytest.mark.parametrize("delivery", ["changes", "snapshot"])
def test_updates_give_what_building_anew_gives(delivery: str) -> None:
    """A dimension that is brought up to date, in order, late, overwritten or corrected, is the one that all deliveries give."""
    seen: Counter[object] = Counter()

    @settings(
        max_examples=10,
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @example([(0, "a", [(1, "soap", 1, None)], True), (1, "b", [(1, "soap", 2, None)], True), (0, "c", [(1, "soap", 3, None)], True)])
    @given(deliveries)
    def run(files: list[tuple[int, str, list[Any], bool]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            contracts = Path(folder, "contracts")
            contracts.mkdir()
            told = {**yaml.safe_load(CONTRACT.read_text()), "delivery": delivery}
            (contracts / "products.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
            batches = Batches(Path(folder, "home"), {"archive": "never", "contracts": contracts})
            with batches.platform() as platform:
                for batch, name, products, clean in files:
                    day = FIRST + timedelta(batch)
                    seen[deliver(batches, platform, day, name, text(day, products, clean=clean)).facts.get("built")] += 1
                    assert is_as_if_built_anew(platform)

    run()
    assert seen["in order"] > 0
    assert seen["by member" if delivery == "changes" else "whole"] > 0


def test_in_order_deliveries_do_not_read_what_came_before(batches: Batches, platform: Platform) -> None:
    """The cost of a delivery in order does not follow the history: files that were staged before are not even there to be read."""
    assert deliver(batches, platform, FIRST, "a", text(FIRST, [(1, "soap", 1, None), (2, "tea", 1, None)])).facts["built"] == "whole"
    for number in range(1, 4):
        day = FIRST + timedelta(number)
        before = platform.lake.snapshot("stg_products")
        hidden = [Path(before.uri, f.path) for f in before.files]
        for path in hidden:
            path.rename(path.with_suffix(".hidden"))
        report = deliver(batches, platform, day, "a", text(day, [(1, "soap", 1 + number, None)]))
        assert report.facts["built"] == "in order"
        assert report.facts["members_delivered"] == 1
        for path in hidden:
            path.with_suffix(".hidden").rename(path)
    assert is_as_if_built_anew(platform)
    assert [(r["product_id"], str(r["price"])) for r in tables(platform, ["dim_product"])["dim_product"]].count((2, "1.00")) == 1


def test_a_late_delivery_concerns_only_the_members_that_it_names(batches: Batches, platform: Platform) -> None:
    """Who is late is put in its place, and what is replaced leaves; other members are not looked at."""
    days = [FIRST + timedelta(n) for n in range(3)]
    deliver(batches, platform, days[0], "a", text(days[0], [(1, "soap", 1, None), (2, "tea", 1, None)]))
    deliver(batches, platform, days[2], "a", text(days[2], [(1, "soap", 3, None)]))
    late = deliver(batches, platform, days[1], "late", text(days[1], [(1, "soap", 2, None)]))
    assert (late.facts["built"], late.facts["members_delivered"]) == ("by member", 1)
    found = [(r["valid_from"], str(r["price"])) for r in tables(platform, ["dim_product"])["dim_product"] if r["product_id"] == 1]
    assert sorted(found) == [(days[0], "1.00"), (days[1], "2.00"), (days[2], "3.00")]
    corrected = deliver(batches, platform, days[1], "late", text(days[1], [(2, "tea", 9, None)]))
    assert (corrected.facts["built"], corrected.facts["members_delivered"]) == ("by member", 2)
    assert is_as_if_built_anew(platform)


def test_only_days_that_may_differ_are_looked_at(batches: Batches, platform: Platform) -> None:
    """A price that holds from a day on makes that day and later ones stale, and days of unknown members only when those become known."""
    sales = [f"1,121,soap,{FIRST + timedelta(n)},1,1.00,1,1.00,1" for n in range(6)]
    sales.append(f"1,121,tea,{FIRST},1,1.00,1,1.00,2")
    batches.land(platform, "\n".join([f"{HEADER},product_id", *sales]) + "\n", "sales", (FIRST + timedelta(5)).isoformat(), "s.csv")
    batches.land(platform, text(FIRST, [(1, "soap", 1, None)]), "products", FIRST.isoformat(), "a.csv")
    load_pending(platform)
    day = FIRST + timedelta(3)
    report = deliver(batches, platform, day, "a", text(day, [(1, "soap", 2, None)]))
    assert report.facts["built"] == "in order"
    assert report.facts["sale_dates_touched"] == [(FIRST + timedelta(n)).isoformat() for n in (3, 4, 5)]
    load_pending(platform)
    report = deliver(batches, platform, FIRST + timedelta(4), "b", text(FIRST + timedelta(4), [(2, "tea", 2, None)]))
    assert report.facts["sale_dates_touched"] == [FIRST.isoformat()]
    load_pending(platform)
    assert all(row["product_key"] >= 0 for row in tables(platform, ["fact_sales"])["fact_sales"])


@pytest.mark.parametrize("kept", ["one state", "no versions of the price"])
def test_a_price_without_versions_is_the_newest_on_all_days(kept: str, tmp_path: Path) -> None:
    """Where the contract keeps no versions of a price, a new one makes the sale dates before it stale as well; a new product does not."""
    told = yaml.safe_load(CONTRACT.read_text())
    if kept == "one state":
        told["scd"] = 1
    else:
        told["columns"]["price"]["type_2"] = False
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    (contracts / "products.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    batches = Batches(tmp_path / "home", {"archive": "never", "contracts": contracts})
    with batches.platform() as platform:
        batches.land(platform, f"{HEADER},product_id\n1,121,soap,{FIRST},1,1.00,1,1.00,1\n", "sales", FIRST.isoformat(), "s.csv")
        batches.land(platform, text(FIRST, [(1, "soap", 1, None)]), "products", FIRST.isoformat(), "a.csv")
        load_pending(platform)
        day = FIRST + timedelta(1)
        report = deliver(batches, platform, day, "a", text(day, [(1, "soap", 2, None)]))
        assert report.facts["built"] == "in order"
        assert report.facts["sale_dates_touched"] == [FIRST.isoformat()]
        load_pending(platform)
        assert [str(row["list_price"]) for row in tables(platform, ["fact_sales"])["fact_sales"]] == ["2.00"]
        day = FIRST + timedelta(2)
        assert deliver(batches, platform, day, "b", text(day, [(2, "tea", 2, None)])).facts["sale_dates_touched"] == []


def test_nobody_leaves_while_a_part_of_the_snapshot_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a snapshot in two files of which one can't be read yet nobody is absent: who is in neither has left when both are read."""
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    told = {**yaml.safe_load(CONTRACT.read_text()), "delivery": "snapshot"}
    (contracts / "products.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    batches = Batches(tmp_path / "home", {"archive": "never", "contracts": contracts})
    with batches.platform() as platform:
        deliver(batches, platform, FIRST, "a", text(FIRST, [(1, "soap", 1, None), (2, "tea", 1, None), (3, "oil", 1, None)]))
        day = FIRST + timedelta(1)
        batches.land(platform, text(day, [(2, "tea", 1, None)]), "products", day.isoformat(), "b.csv")
        read = LandingZone.download_file

        def refuse(zone: LandingZone, key: str, *rest: Any, **named: Any) -> str:
            if key.endswith("b.csv"):
                raise ObjectDenied("not yet")
            return read(zone, key, *rest, **named)

        def deleted() -> list[int]:
            return sorted(r["product_id"] for r in tables(platform, ["dim_product"])["dim_product"] if r["is_current"] and r["is_deleted"])

        with monkeypatch.context() as denied:
            denied.setattr(LandingZone, "download_file", refuse)
            deliver(batches, platform, day, "a", text(day, [(1, "soap", 1, None)]))
            assert deleted() == []
        update(platform, day)
        assert deleted() == [3]


def test_a_changed_contract_builds_all_anew(batches: Batches, platform: Platform, tmp_path: Path) -> None:
    """What was made by other rules is not extended: the first delivery after a change of the contract builds everything."""
    deliver(batches, platform, FIRST, "a", text(FIRST, [(1, "soap", 1, None)]))
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    told = yaml.safe_load(CONTRACT.read_text())
    told["columns"]["price"]["type_2"] = False
    (contracts / "products.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    changed = Batches(batches.home, {"contracts": contracts})
    day = FIRST + timedelta(1)
    with changed.platform() as other:
        assert deliver(changed, other, day, "a", text(day, [(1, "soap", 2, None)])).facts["built"] == "whole"
        assert len(tables(other, ["dim_product"])["dim_product"]) == 1
        assert is_as_if_built_anew(other)
