"""Which columns each column is made of, from the landed files to the marts: declared beside the transformations that make them.

A column is made of
- the columns that the expression of its value reads, conditions included; of an aggregate or a window, what it is taken of;
- where a function takes no column (a count of rows, a rank), the columns that it counts by: the groups', or the window's
  partition and order;
- where it is looked up in another table for a row (the optional side of an outer join), what is found there, and the row's
  own columns by which it is looked up: a key as of the day of a sale is made of the dimension's key, of the member's
  number in the sale, and of the day.

What only decides which rows there are, or from which of them a value is taken, is no part of it: filters, all other
joins, groups, the order of a window that takes a column, and the columns that a lookup matches in the other table. What
the program adds (constants, settings, a file's name and number) is made of no column; nor is `additional_columns`, which
holds those that no contract names.

Apache Spark's analysed plans are held against these declarations column by column, so they hold for the code as it is.
Belongs here: plain values, so that the graph can show them without an engine. Does not belong here: how they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

from salesmart_assets.contracts import Contract, Table, Tables, arithmetic
from salesmart_assets.contracts.tables import SOURCE_OF, raw_name, staging_name


class Origin(NamedTuple):
    """A column that another is made of."""

    table: str
    column: str


Origins: TypeAlias = frozenset[Origin]
Lineage: TypeAlias = Mapping[str, Origins]
"""What each column of a table is made of."""

NOTHING: Origins = frozenset()
BRIDGE = "management_bridge"
"""The management tree: made and used within one step, so it is no asset, and what it is made of stands in its place."""


def lineage(contracts: Mapping[str, Contract], tables: Tables) -> Mapping[str, Lineage]:
    """What the columns of every table are made of, each by columns of the tables that its asset reads.

    `rejected_rows` has none: its rows are made of whole lines, whatever their columns.
    """
    found = {staging_name(source): staging(tables[staging_name(source)], contract) for source, contract in contracts.items()}
    found |= {name: dimension(tables[name], contracts[source]) for name, source in SOURCE_OF.items()}
    return {
        **found,
        "fact_sales": fact_sales(tables["fact_sales"], contracts["sales"]),
        "daily_seller_sales": daily_seller_sales(),
        "daily_customer_sales": daily_customer_sales(contracts["sales"]),
        "customer_mart": customer_mart(),
        "sales_team_mart": sales_team_mart(),
        "manager_mart": through(manager_mart(), BRIDGE, management_bridge()),
    }


def through(made: Lineage, between: str, made_of: Lineage) -> Lineage:
    """`made` without the table `between`: its columns are replaced by what they are made of."""
    return {
        name: NOTHING.union(*(made_of[o.column] if o.table == between else frozenset({o}) for o in origins))
        for name, origins in made.items()
    }


def staging(table: Table, contract: Contract) -> Lineage:
    """A column is that of the files; where the contract computes it, for rows that deliver none, also what it is computed from."""
    made = {c.name: _of(raw_name(contract.source), c.name) if c.name in contract.columns else NOTHING for c in table.columns}
    for name, column in contract.columns.items():
        if column.compute is not None:
            # A computed column may read one that was computed before it.
            made[name] = made[name].union(*(made[read] for read in arithmetic.columns(arithmetic.parse(column.compute))))
    return made


def dimension(table: Table, contract: Contract) -> Lineage:
    """The contract's columns are those that were staged; the others tell when a version holds."""
    staged = partial(_of, staging_name(contract.source))
    begins = staged("batch_date", *_known(contract, "effective_date"))
    # Type 1 has one version of a member, which is never followed by another.
    follows = begins if contract.scd == 2 else NOTHING
    key, previous = table.key[0], "previous_price"
    assert contract.natural_key is not None
    made = {c.name: staged(c.name) for c in table.columns if c.name in contract.columns}
    made |= {key: staged(contract.natural_key) | follows, "valid_from": begins, "valid_to": follows, "is_current": follows}
    made["is_deleted"] = NOTHING
    if previous in table.names:
        made[previous] = staged("price") if contract.scd == 2 else NOTHING
    return made


def fact_sales(table: Table, contract: Contract) -> Lineage:
    """The columns of the sale as they were staged, and what is looked up in the dimensions as of its day."""
    sold, product = partial(_of, "stg_sales"), partial(_of, "dim_product")
    made = {c.name: sold(c.name) for c in table.columns}
    for name in ("customer", "store", "sales_person"):
        made[f"{name}_key"] = _of(f"dim_{name}", f"{name}_key") | sold(f"{name}_id", "sales_date")
    # Of several products of a name, those count first that were sold on that day.
    first = product("product_id", "valid_from", "is_deleted")
    told = sold("product_name", "sales_date", *_known(contract, "product_id"))
    for name, found in (("product_key", "product_key"), ("list_price", "price"), ("list_cost", "cost")):
        made[name] = product(found) | first | told
    made["price_variance"] = sold("price") | made["list_price"]
    return made


def daily_seller_sales() -> Lineage:
    """Sums of the fact."""
    fact = partial(_of, "fact_sales")
    keys = ("sales_date", "store_id", "sales_person_id")
    return {**{k: fact(k) for k in keys}, "total_sales": fact("total_cost"), "number_of_sales": fact(*keys), "units": fact("quantity")}


def daily_customer_sales(contract: Contract) -> Lineage:
    """Sums of the fact; receipts are told apart by store and number."""
    fact = partial(_of, "fact_sales")
    keys = ("sales_date", "customer_id")
    return {
        **{k: fact(k) for k in keys},
        "total_sales": fact("total_cost"),
        "orders": fact(*keys, "store_id", *_known(contract, "transaction_id")),
    }


def customer_mart() -> Lineage:
    """Sums of the customer's days, what they say of the customer, and who that is as of the month's end."""
    daily = partial(_of, "daily_customer_sales")
    shown = {"full_name": ("first_name", "last_name"), "address": ("address",), "phone_number": ("phone_number",)}
    member = daily("customer_id", "sales_date")
    # How consistently a customer shops: on how many days, and whether in the month before as well.
    segment = daily("customer_id", "sales_date", "total_sales")
    return {
        "sales_month": daily("sales_date"),
        "customer_id": daily("customer_id"),
        **{name: _of("dim_customer", *found) | member for name, found in shown.items()},
        "total_sales": daily("total_sales"),
        "orders": daily("orders"),
        "active_days": member,
        "average_basket": daily("total_sales", "orders"),
        "first_purchase": daily("sales_date"),
        "last_purchase": daily("sales_date"),
        "change_on_month_before": daily("total_sales", "sales_date"),
        "segment": segment,
        "coupon_code": member,
        "coupon_percent": segment,
        "coupon_expiry": daily("sales_date"),
    }


def sales_team_mart() -> Lineage:
    """Sums of the seller's days, the rank among the store's sellers, and who that is as of the month's end."""
    daily, seller = partial(_of, "daily_seller_sales"), partial(_of, "dim_sales_person")
    member = daily("sales_person_id", "sales_date")
    rank = daily("sales_date", "store_id", "total_sales")
    manager = seller("manager_id") | member
    return {
        "sales_month": daily("sales_date"),
        "store_id": daily("store_id"),
        "sales_person_id": daily("sales_person_id"),
        "full_name": seller("first_name", "last_name") | member,
        "manager_id": manager,
        "manager_name": seller("first_name", "last_name") | manager,
        "total_sales": daily("total_sales"),
        "number_of_sales": daily("number_of_sales"),
        "rank_in_store": rank,
        "incentive": rank,
    }


def management_bridge() -> Lineage:
    """The tree is worked out in plain Python, where nothing tells what is chosen from what is made: all that changes a column counts."""
    day, seller = _of("daily_seller_sales", "sales_date"), _of("dim_sales_person", "sales_person_id")
    above = day | seller | _of("dim_sales_person", "manager_id", "valid_from")
    return {"sales_date": day, "manager_id": above, "sales_person_id": seller, "level": above, "path": above}


def manager_mart() -> Lineage:
    """Sums of the team's days, by the management tree of each day."""
    daily, bridge = partial(_of, "daily_seller_sales"), partial(_of, BRIDGE)
    return {
        "sales_month": bridge("sales_date"),
        "manager_id": bridge("manager_id"),
        "full_name": _of("dim_sales_person", "first_name", "last_name") | bridge("manager_id", "sales_date"),
        "direct_sales": daily("total_sales") | bridge("level"),
        "team_sales": daily("total_sales"),
        "number_of_sales": daily("number_of_sales"),
        "team_size": bridge("sales_person_id"),
    }


def _of(table: str, *columns: str) -> Origins:
    return frozenset(Origin(table, column) for column in columns)


def _known(contract: Contract, *columns: str) -> Iterable[str]:
    """Those of the columns that the contract has."""
    return (name for name in columns if name in contract.columns)
