"""What the transformations must give, worked out day by day and row by row in plain Python: slow, and easy to see right."""

from __future__ import annotations

import calendar
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from salesmart_assets.contracts import Contract, Table
from salesmart_assets.settings import CouponPolicy, IncentivePolicy

from .staged import Row

CENT = Decimal("0.01")
_MASK = (1 << 64) - 1
_P1, _P2, _P3, _P4, _P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotate(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> (64 - by)) & _MASK


def _finish(value: int) -> int:
    value = (value ^ (value >> 33)) * _P2 & _MASK
    value = (value ^ (value >> 29)) * _P3 & _MASK
    return value ^ (value >> 32)


def hashed(member: int, day: date | None = None) -> int:
    """XXH64 (seed 42) of a 64-bit number and then of a day number of 32 bits, without its sign bit."""
    value = (42 + _P5 + 8) & _MASK
    value ^= _rotate((member & _MASK) * _P2, 31) * _P1 & _MASK
    value = _finish((_rotate(value, 27) * _P1 + _P4) & _MASK)
    if day is not None:
        value = (value + _P5 + 4) & _MASK
        value ^= ((day - date(1970, 1, 1)).days & 0xFFFFFFFF) * _P1 & _MASK
        value = _finish((_rotate(value, 23) * _P2 + _P3) & _MASK)
    return value & 0x7FFFFFFFFFFFFFFF


def _days(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(n) for n in range((last - first).days + 1))


def dimension(rows: Sequence[Row], table: Table, contract: Contract, complete: Sequence[date] = ()) -> list[Row]:
    """The versions of each member: its state on every day, equal neighbours put together."""
    key = contract.natural_key
    assert key is not None
    names = [c.name for c in contract.table_columns() if c.name != "effective_date"]
    compared = {n for n in names if contract.columns[n].type_2}
    result = []
    for member in {row[key] for row in rows}:
        own = [{**row, "from": row.get("effective_date") or row["batch_date"]} for row in rows if row[key] == member]
        absences = _absences(own, complete if contract.delivery == "snapshot" else ())
        own = [r for r in own if not any(r["batch_date"] < a <= r["from"] for a in absences)]
        if not own:
            continue
        newest = max(own, key=_order)
        last = max([r["from"] for r in own] + [r["batch_date"] for r in own] + absences)
        versions: list[tuple[date, tuple[Any, ...], Row, bool]] = []
        for day in _days(min(r["from"] for r in own), last):
            state = max((r for r in own if r["from"] <= day), key=_order)
            gone = _is_deleted(own, absences, day) if contract.delivery == "snapshot" else False
            shown = (*(state[n] for n in names if n in compared), gone)
            if not versions or versions[-1][1] != shown:
                versions.append((day, shown, state, gone))
        if contract.scd == 1:
            row = {n: newest[n] for n in names}
            first, _, _, _ = versions[0]
            gone = _is_deleted(own, absences, last) if contract.delivery == "snapshot" else False
            extra: Row = {"valid_from": first, "valid_to": None, "is_current": True, "is_deleted": gone, table.key[0]: hashed(member)}
            result.append({**row, "previous_price": None, **extra})
            continue
        for place, (first, _, state, gone) in enumerate(versions):
            row = {n: state[n] if n in compared or n == key else newest[n] for n in names}
            end = versions[place + 1][0] if place + 1 < len(versions) else None
            previous = versions[place - 1][2].get("price") if place else None
            result.append(
                {
                    **row,
                    "previous_price": previous,
                    "valid_from": first,
                    "valid_to": end,
                    "is_current": end is None,
                    "is_deleted": gone,
                    table.key[0]: hashed(member, first),
                }
            )
    return [{n: row[n] for n in table.names} for row in result]


def _order(row: Row) -> tuple[Any, ...]:
    return row["from"], row["batch_date"], row["source_file"], row["source_row"]


def _absences(own: Sequence[Row], complete: Sequence[date]) -> list[date]:
    """The first complete batch without the member after each batch with it."""
    present = {r["batch_date"] for r in own}
    return [c for c in complete if c not in present and any(p < c and not any(p < x < c for x in [*complete, *present]) for p in present)]


def _is_deleted(own: Sequence[Row], absences: Sequence[date], day: date) -> bool:
    returns = {r["from"] for r in own} | {r["batch_date"] for r in own if r["from"] < r["batch_date"]}
    gone = max((a for a in absences if a <= day), default=None)
    back = max((b for b in returns if b <= day), default=None)
    return gone is not None and (back is None or back < gone)


def as_of(versions: Iterable[Row], natural_key: str, member: Any, day: date) -> Row | None:
    """The version of a member on a day; the earliest also serves the days before."""
    own = sorted((v for v in versions if v[natural_key] == member), key=lambda v: v["valid_from"])
    begun = [v for v in own if v["valid_from"] <= day]
    return begun[-1] if begun else (own[0] if own else None)


def product_of(sale: Row, products: Sequence[Row]) -> Row | None:
    """The version of the product that was sold: by id, else by a name that only one has."""
    day = sale["sales_date"]
    if sale["product_id"] is not None:
        return as_of(products, "product_id", sale["product_id"], day)
    states = [as_of(products, "product_id", p, day) for p in {v["product_id"] for v in products}]
    named = [s for s in states if s is not None and s["name"] == sale["product_name"]]
    true_then = [s for s in named if s["valid_from"] <= day and not s["is_deleted"]]
    found = true_then or named
    return found[0] if len(found) == 1 else None


def fact(
    sales: Sequence[Row], dims: Mapping[str, Sequence[Row]], table: Table, contract: Contract
) -> tuple[list[Row], dict[tuple[int, date], int]]:
    """The fact's rows, and how many duplicates each (file, date) has."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in sales:
        parts = tuple(row[n] for n in contract.business_key)
        groups[parts if parts and None not in parts else ("alone", row["file_id"], row["source_row"])].append(row)
    kept: list[Row] = []
    lost: dict[tuple[int, date], int] = defaultdict(int)
    for group in groups.values():
        *others, winner = sorted(group, key=lambda r: (r["batch_date"], r["source_file"], r["source_row"]))
        kept.append(_linked(winner, dims))
        for row in others:
            lost[row["file_id"], row["sales_date"]] += 1
    return [{n: row[n] for n in table.names} for row in kept], dict(lost)


def _linked(sale: Row, dims: Mapping[str, Sequence[Row]]) -> Row:
    row = dict(sale)
    for role in ("customer", "store", "sales_person"):
        version = as_of(dims[f"dim_{role}"], f"{role}_id", sale[f"{role}_id"], sale["sales_date"])
        row[f"{role}_key"] = version[f"{role}_key"] if version else -1
    product = product_of(sale, dims["dim_product"])
    row["product_key"] = product["product_key"] if product else -1
    row["list_price"] = product["price"] if product else None
    row["list_cost"] = product["cost"] if product else None
    row["price_variance"] = sale["price"] - row["list_price"] if row["list_price"] is not None else None
    return row


def month_of(day: date) -> date:
    return day.replace(day=1)


def month_end(month: date) -> date:
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])


def name_of(version: Row | None) -> str | None:
    return f"{version['first_name']} {version['last_name']}" if version else None


def policy_of(policies: Sequence[Any], month: date) -> Any:
    """The policy that holds in a month."""
    return max((p for p in policies if p.from_month <= month), key=lambda p: p.from_month, default=None)


def daily_seller(sales: Sequence[Row]) -> list[Row]:
    """What each seller sold in each store each day."""
    groups = defaultdict(list)
    for row in sales:
        groups[row["sales_date"], row["store_id"], row["sales_person_id"]].append(row)
    return [
        {
            "sales_date": day,
            "store_id": store,
            "sales_person_id": seller,
            "total_sales": sum((r["total_cost"] for r in rows), Decimal("0.00")),
            "number_of_sales": len(rows),
            "units": sum(r["quantity"] for r in rows),
        }
        for (day, store, seller), rows in groups.items()
    ]


def daily_customer(sales: Sequence[Row]) -> list[Row]:
    """What each customer bought each day."""
    groups = defaultdict(list)
    for row in sales:
        groups[row["sales_date"], row["customer_id"]].append(row)
    result = []
    for (day, customer), rows in groups.items():
        receipts = {(r["store_id"], r["transaction_id"]) for r in rows if r["transaction_id"] is not None}
        total = sum((r["total_cost"] for r in rows), Decimal("0.00"))
        orders = len(receipts) + sum(r["transaction_id"] is None for r in rows)
        result.append({"sales_date": day, "customer_id": customer, "total_sales": total, "orders": orders})
    return result


def sales_team(sales: Sequence[Row], sellers: Sequence[Row], policies: Sequence[IncentivePolicy], today: date) -> list[Row]:
    """Totals, ranks and incentives by store, seller and month."""
    totals: dict[tuple[date, int, int], list[Row]] = defaultdict(list)
    for row in sales:
        totals[month_of(row["sales_date"]), row["store_id"], row["sales_person_id"]].append(row)
    sums = {k: sum((r["total_cost"] for r in rows), Decimal("0.00")) for k, rows in totals.items()}
    result = []
    for (month, store, seller), total in sums.items():
        rivals = [t for (m, s, _), t in sums.items() if (m, s) == (month, store)]
        rank, tied = 1 + sum(t > total for t in rivals), sum(t == total for t in rivals)
        day = min(month_end(month), today)
        version = as_of(sellers, "sales_person_id", seller, day)
        manager = version["manager_id"] if version else None
        result.append(
            {
                "sales_month": month,
                "store_id": store,
                "sales_person_id": seller,
                "full_name": name_of(version),
                "manager_id": manager,
                "manager_name": name_of(as_of(sellers, "sales_person_id", manager, day)),
                "total_sales": total,
                "number_of_sales": len(totals[month, store, seller]),
                "rank_in_store": rank,
                "incentive": incentive(policy_of(policies, month), total, rank, tied),
            }
        )
    return result


def incentive(policy: IncentivePolicy | None, total: Decimal, rank: int, tied: int) -> Decimal:
    """What a seller earns who shares `rank` with `tied` - 1 others."""
    if policy is None or total <= 0 or rank > policy.top:
        return Decimal("0.00")
    pot = policy.rate * total
    places = range(rank, rank + tied)
    if policy.ties == "none" and places[-1] > policy.top:
        return Decimal("0.00")
    if policy.ties == "split":
        pot = pot * sum(place <= policy.top for place in places) / tied
    return pot.quantize(CENT, ROUND_HALF_UP)


def customers(
    sales: Sequence[Row], members: Sequence[Row], policies: Sequence[CouponPolicy], secret: bytes, today: date, months: Sequence[date]
) -> list[Row]:
    """The customers' mart of the given months."""
    bought: dict[tuple[date, int], list[Row]] = defaultdict(list)
    for row in daily_customer(sales):
        bought[month_of(row["sales_date"]), row["customer_id"]].append(row)
    result = []
    for (month, customer), days in bought.items():
        if month not in months:
            continue
        total, orders = sum((r["total_sales"] for r in days), Decimal("0.00")), sum(r["orders"] for r in days)
        earlier = bought.get((month_of(month - timedelta(1)), customer))
        before = sum((r["total_sales"] for r in earlier), Decimal("0.00")) if earlier else None
        segment = ("occasional", "regular", "loyal")[(before is not None) + (len(days) >= 4)]
        version = as_of(members, "customer_id", customer, min(month_end(month), today))
        policy = policy_of(policies, month)
        code = hmac.new(secret, f"{month:%Y-%m}|{customer}".encode(), hashlib.sha256).hexdigest()[:20].upper()
        result.append(
            {
                "sales_month": month,
                "customer_id": customer,
                "full_name": name_of(version),
                "address": version["address"] if version else None,
                "phone_number": version["phone_number"] if version else None,
                "total_sales": total,
                "orders": orders,
                "active_days": len(days),
                "average_basket": (total / orders).quantize(CENT, ROUND_HALF_UP),
                "first_purchase": min(r["sales_date"] for r in days),
                "last_purchase": max(r["sales_date"] for r in days),
                "change_on_month_before": total - before if before is not None else None,
                "segment": segment,
                "coupon_code": f"SM-{code}",
                "coupon_percent": getattr(policy, f"{segment}_percent") if policy else 0,
                "coupon_expiry": month_end(month) + timedelta(policy.valid_days if policy else 0),
            }
        )
    return result


def managers_above(sellers: Sequence[Row], seller: int, day: date) -> list[int]:
    """Everybody above a seller on a day, nearest first; a manager on a circle has nobody above."""

    def manager_of(member: int) -> int | None:
        version = as_of(sellers, "sales_person_id", member, day)
        return version["manager_id"] if version else None

    def on_circle(member: int) -> bool:
        here = manager_of(member)
        for _ in range(len(sellers) + 1):
            if here is None or here == member:
                break
            here = manager_of(here)
        return here == member

    chain: list[int] = []
    here: int | None = seller
    while here is not None and not on_circle(here) and (here := manager_of(here)) is not None:
        chain.append(here)
    return chain


def managers(sales: Sequence[Row], sellers: Sequence[Row], today: date) -> list[Row]:
    """What each manager's team sold each month."""
    teams: dict[tuple[date, int], list[tuple[Row, int]]] = defaultdict(list)
    for row in sales:
        for level, manager in enumerate(managers_above(sellers, row["sales_person_id"], row["sales_date"]), start=1):
            teams[month_of(row["sales_date"]), manager].append((row, level))
    return [
        {
            "sales_month": month,
            "manager_id": manager,
            "full_name": name_of(as_of(sellers, "sales_person_id", manager, min(month_end(month), today))),
            "direct_sales": sum((r["total_cost"] for r, level in rows if level == 1), Decimal("0.00")),
            "team_sales": sum((r["total_cost"] for r, _ in rows), Decimal("0.00")),
            "number_of_sales": len(rows),
            "team_size": len({r["sales_person_id"] for r, _ in rows}),
        }
        for (month, manager), rows in teams.items()
    ]
