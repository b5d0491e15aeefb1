"""The management tree."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
from hypothesis import given, settings

from salesmart_assets.reports.page import masked
from salesmart_assets.transforms.management import ManagementTree, management_bridge

from . import reference
from .histories import FIRST, history
from .staged import CONTRACTS, TABLES, Row, arrow

DAY = date(2026, 3, 1)
SELLERS = TABLES["dim_sales_person"]


def tree(*sellers: tuple[int, int | None], dates: tuple[date, ...] = (DAY,)) -> ManagementTree:
    """The tree of sellers given as (number, number of the manager)."""
    return management_bridge(_dimension([{"sales_person_id": s, "manager_id": m} for s, m in sellers]), dates)


def _dimension(rows: list[Row]) -> pa.Table:
    defaults = {"valid_from": date(2026, 1, 1), "is_current": True, "is_deleted": False}
    return arrow([{**dict.fromkeys(SELLERS.names), **defaults, **row} for row in rows], SELLERS)


def chains(found: ManagementTree) -> dict[tuple[int, int], tuple[int, str]]:
    """Level and path by (manager, seller)."""
    return {(r["manager_id"], r["sales_person_id"]): (r["level"], r["path"]) for r in found.bridge.to_pylist()}


def test_everybody_above_is_a_manager() -> None:
    """Each seller counts for every manager above, with the distance and the way down."""
    found = tree((1, None), (2, 1), (3, 2), (4, 1))
    assert chains(found) == {(1, 2): (1, "1/2"), (2, 3): (1, "2/3"), (1, 3): (2, "1/2/3"), (1, 4): (1, "1/4")}
    assert found.problems == ()


def test_a_circle_is_reported_and_breaks_nothing_else() -> None:
    """Who manage each other have no manager; who is below them keeps the chain up to them, and others all of theirs."""
    found = tree((1, 2), (2, 1), (3, 2), (4, 3), (5, None), (6, 5), (7, 7))
    assert set(chains(found)) == {(2, 3), (3, 4), (2, 4), (5, 6)}
    assert found.problems == (
        "Seller 7 is named as their own manager on 2026-03-01.",
        "Sellers manage each other in a circle, 1 under 2 under 1, on 2026-03-01.",
    )


def test_a_missing_manager_leads_all_the_same() -> None:
    """A manager who is no seller, or has left, keeps the team, and is reported by number with the dates."""
    rows: list[Row] = [
        {"sales_person_id": 2, "manager_id": 9},
        {"sales_person_id": 3, "manager_id": 2},
        {"sales_person_id": 2, "manager_id": 9, "valid_from": DAY, "is_deleted": True},
    ]
    found = management_bridge(_dimension(rows), [DAY, DAY - timedelta(1)])
    assert set(chains(found)) == {(9, 2), (2, 3), (9, 3)}
    assert found.problems == (
        "Manager 2 has left, but is still named as a manager on 2026-03-01.",
        "Manager 9 is not among the sellers on 2026-02-28.",
    )


def test_several_heads_are_reported() -> None:
    """Two sellers without a manager are two trees, each of which stands; a head who has left is none."""
    found = tree((1, None), (2, 1), (3, None), (4, 3))
    assert set(chains(found)) == {(1, 2), (3, 4)}
    assert found.problems == ("The team has 2 heads, who have no manager, 1, 3, on 2026-03-01.",)
    many = tree(*((n, None) for n in range(1, 9)))
    assert many.problems == ("The team has 8 heads, who have no manager, 1, 2, 3, 4, 5 and 3 more, on 2026-03-01.",)
    left = _dimension([{"sales_person_id": 1}, {"sales_person_id": 2, "is_deleted": True}])
    assert management_bridge(left, [DAY]).problems == ()


def test_problems_name_sellers_as_far_as_they_may_be_named() -> None:
    """A problem names sellers by number, and before it by as much of the name as may be shown."""
    rows: list[Row] = [
        {"sales_person_id": 1, "manager_id": 2, "first_name": "Ann", "last_name": "Hill"},
        {"sales_person_id": 2, "manager_id": 1, "first_name": "Bob", "last_name": None},
        {"sales_person_id": 3, "manager_id": 9, "first_name": None, "last_name": None},
    ]
    for shown, ann, bob in ((str, "Ann Hill (1)", "Bob (2)"), (masked, "A. H. (1)", "B. (2)"), (lambda _: None, "1", "2")):
        assert management_bridge(_dimension(rows), [DAY], shown).problems == (
            "Manager 9 is not among the sellers on 2026-03-01.",
            f"Sellers manage each other in a circle, {ann} under {bob} under {ann}, on 2026-03-01.",
        )


def test_a_tree_may_be_deep() -> None:
    """Depth is not limited."""
    found = tree(*((n, n - 1 or None) for n in range(1, 301)))
    assert found.bridge.num_rows == 300 * 299 // 2
    assert max(r["level"] for r in found.bridge.to_pylist()) == 299


def test_no_sellers_and_no_dates_give_an_empty_tree() -> None:
    """Without sellers or dates there is no tree, and nothing wrong with it."""
    assert tree().bridge.num_rows == tree((1, None), (2, 1), dates=()).bridge.num_rows == 0


@settings(deadline=None, max_examples=100)
@given(history("sales_team"))
def test_the_tree_is_as_of_each_day(rows: list[Row]) -> None:
    """On each day the tree is that of the versions true on that day."""
    sellers = reference.dimension(rows, SELLERS, CONTRACTS["sales_team"])
    dates = [FIRST + timedelta(n) for n in range(-2, 15)]
    found = {
        (r["sales_date"], r["sales_person_id"], r["level"], r["manager_id"])
        for r in management_bridge(arrow(sellers, SELLERS), dates).bridge.to_pylist()
    }
    expected = {
        (day, member, level, manager)
        for day in dates
        for member in {s["sales_person_id"] for s in sellers}
        for level, manager in enumerate(reference.managers_above(sellers, member, day), start=1)
    }
    assert found == expected
