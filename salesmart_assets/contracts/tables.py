"""The schema of every table of the lake: staging, warehouse and marts, made from the contracts.

A table's columns, their types and their meaning are declared here once; the writers, the docs in the UI and the database
DDL follow. `grain` says what one row is, in the words of the business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from salesmart_assets.contracts.columns import Column, column
from salesmart_assets.contracts.model import Contract

if TYPE_CHECKING:
    import pyarrow as pa

MONEY = "decimal(18,2)"
SUM = "decimal(28,2)"
SOURCE_OF = {"dim_customer": "customers", "dim_store": "stores", "dim_product": "products", "dim_sales_person": "sales_team"}
"""The source of each dimension."""
DIMENSIONS = ("dim_customer", "dim_store", "dim_product", "dim_sales_person")
ROLLUPS = ("daily_seller_sales", "daily_customer_sales")
MARTS = ("customer_mart", "sales_team_mart", "manager_mart")
UNKNOWN_KEY = -1
"""Surrogate key of the unknown member; all others are not negative."""


@dataclass(frozen=True, slots=True)
class Table:
    """A Delta table: `partition_by` columns are not stored in the files; `key` columns tell its rows apart."""

    name: str
    group: Literal["staging", "warehouse", "marts"]
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of a row, partition columns included."""
        import pyarrow as pa

        return pa.schema([c.arrow for c in self.columns])

    @property
    def file_schema(self) -> pa.Schema:
        """The Arrow schema of a data file: without the partition columns, which its path holds."""
        import pyarrow as pa

        return pa.schema([c.arrow for c in self.columns if c.name not in self.partition_by])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError where there is none."""
        for item in self.columns:
            if item.name == name:
                return item
        raise KeyError(f"{self.name} has no column {name}")

    @property
    def money_columns(self) -> tuple[str, ...]:
        """Columns whose sums are compared when a table is audited or published."""
        return tuple(c.name for c in self.columns if c.type.decimal)


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables, by name."""

    by_name: Mapping[str, Table]

    def __getitem__(self, name: str) -> Table:
        return self.by_name[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.by_name.values())

    def group(self, name: str) -> tuple[Table, ...]:
        """The tables of one group, in the order of the data flow."""
        return tuple(t for t in self.by_name.values() if t.group == name)


def raw_name(source: str) -> str:
    """Name of the asset that stands for a source's landed files."""
    return f"raw_{source}"


def staging_name(source: str) -> str:
    """Name of a source's staging table."""
    return f"stg_{source}"


_ORIGIN = (
    # Nobody knows what they hold: they are hidden where people look in passing, as personal data is.
    column("additional_columns", "string", "Columns that the contract does not name, by name, as JSON.", pii=True),
    column("source_file", "string", "Landing address of the file the row came in.", required=True),
    column("source_row", "integer", "Number of the row in its file; the first row after the header is 1.", required=True),
    column("file_id", "integer", "Number of the file in the ledger.", required=True),
    column("batch_date", "date", "Day the file belongs to.", required=True),
)
_VERSION = (
    column("valid_from", "date", "First day on which the version is true; the earliest version also serves earlier days.", required=True),
    column("valid_to", "date", "First day on which the version is no longer true; empty while it is the current one."),
    column("is_current", "boolean", "Whether this is the member's current version.", required=True),
    column("is_deleted", "boolean", "Whether the member has left the source.", required=True),
)
REJECTED_ROWS = Table(
    "rejected_rows",
    "staging",
    "one row of a file that broke its contract, with its raw text and all reasons",
    (
        column("source", "string", "Source the file belongs to.", required=True),
        column("source_file", "string", "Landing address of the file.", required=True),
        column("source_row", "integer", "Number of the row in its file; the first row after the header is 1.", required=True),
        column("codes", "string", "All rules that the row broke, by their codes, separated by commas.", required=True),
        column("raw", "string", "The row's text as it stood in the file.", pii=True),
        column("file_id", "integer", "Number of the file in the ledger.", required=True),
        column("batch_date", "date", "Day the file belongs to.", required=True),
    ),
    ("file_id", "source_row"),
    ("source", "batch_date"),
)


def build_tables(contracts: Mapping[str, Contract]) -> Tables:
    """Every table of the lake, from the contracts of the five sources."""
    tables = [
        Table(
            staging_name(source),
            "staging",
            f"one clean row of a {source} file, typed",
            (*contract.table_columns(), *_ORIGIN),
            ("file_id", "source_row"),
            ("sales_date", "batch_date") if source == "sales" else ("batch_date",),
        )
        for source, contract in contracts.items()
    ]
    tables += [REJECTED_ROWS, *_dimensions(contracts), _fact(contracts["sales"]), *_rollups(), *_marts()]
    return Tables({table.name: table for table in tables})


def _dimension(name: str, key: str, member: str, contract: Contract, extra: tuple[Column, ...] = ()) -> Table:
    natural = contract.natural_key
    assert natural is not None
    kept = tuple(c for c in contract.table_columns() if c.name != "effective_date")
    grain = f"one version of a {member}" if contract.scd == 2 else f"one {member}, as last delivered"
    return Table(
        name,
        "warehouse",
        grain,
        (column(key, "integer", f"Key of the version: a hash of {natural} and valid_from.", required=True), *kept, *extra, *_VERSION),
        (key,),
    )


def _dimensions(contracts: Mapping[str, Contract]) -> tuple[Table, ...]:
    previous = column("previous_price", MONEY, "List price of the version before, empty for the first.")
    return (
        _dimension("dim_customer", "customer_key", "customer", contracts["customers"]),
        _dimension("dim_store", "store_key", "store", contracts["stores"]),
        _dimension("dim_product", "product_key", "product", contracts["products"], (previous,)),
        _dimension("dim_sales_person", "sales_person_key", "seller", contracts["sales_team"]),
    )


def _fact(sales: Contract) -> Table:
    return Table(
        "fact_sales",
        "warehouse",
        "one sold line of a receipt, once, however often it was delivered",
        (
            *sales.table_columns(),
            *(
                column(f"{d}_key", "integer", f"Version of the {w} as of the sale date; -1 where unknown.", required=True)
                for d, w in _ROLES
            ),
            column("list_price", MONEY, "List price of the product as of the sale date."),
            column("list_cost", MONEY, "Cost of the product as of the sale date."),
            column("price_variance", MONEY, "Charged price minus list price, per unit."),
            *_ORIGIN,
        ),
        ("file_id", "source_row"),
        ("sales_date",),
    )


_ROLES = (("customer", "customer"), ("store", "store"), ("product", "product"), ("sales_person", "seller"))


def _rollups() -> tuple[Table, ...]:
    return (
        Table(
            "daily_seller_sales",
            "warehouse",
            "what one seller sold in one store on one day",
            (
                column("sales_date", "date", "Day of the sales.", required=True),
                column("store_id", "integer", "Store.", required=True),
                column("sales_person_id", "integer", "Seller.", required=True),
                column("total_sales", SUM, "Sum of total_cost.", required=True),
                column("number_of_sales", "integer", "Lines sold.", required=True),
                column("units", "integer", "Units sold.", required=True),
            ),
            ("sales_date", "store_id", "sales_person_id"),
            ("sales_date",),
        ),
        Table(
            "daily_customer_sales",
            "warehouse",
            "what one customer bought on one day",
            (
                column("sales_date", "date", "Day of the purchases.", required=True),
                column("customer_id", "integer", "Customer.", required=True),
                column("total_sales", SUM, "Sum of total_cost.", required=True),
                column("orders", "integer", "Receipts; a line without a receipt number counts as one of its own.", required=True),
            ),
            ("sales_date", "customer_id"),
            ("sales_date",),
        ),
    )


def _marts() -> tuple[Table, ...]:
    month = column("sales_month", "date", "Month of the sales, by its first day.", required=True)
    return (
        Table(
            "customer_mart",
            "marts",
            "one customer in one month",
            (
                month,
                column("customer_id", "integer", "Customer.", required=True),
                column("full_name", "string", "Name as of the month's end; empty while the customer is unknown.", pii=True),
                column("address", "string", "Address as of the month's end.", pii=True),
                column("phone_number", "string", "Telephone number as of the month's end.", pii=True),
                column("total_sales", SUM, "What the customer spent in the month.", required=True),
                column("orders", "integer", "Receipts in the month.", required=True),
                column("active_days", "integer", "Days with a purchase.", required=True),
                column("average_basket", SUM, "total_sales / orders, rounded half up.", required=True),
                column("first_purchase", "date", "First day with a purchase in the month.", required=True),
                column("last_purchase", "date", "Last day with a purchase in the month.", required=True),
                column("change_on_month_before", SUM, "total_sales minus that of the month before; empty if nothing was bought then."),
                column(
                    "segment",
                    "string",
                    "How consistently the customer shops: loyal (bought in the month before too, on 4 or more days), regular "
                    "(one of the two), occasional (neither).",
                    required=True,
                ),
                column(
                    "coupon_code",
                    "string",
                    "Coupon for the next purchase: can't be guessed, stable when the month is rebuilt.",
                    required=True,
                    pii=True,  # Whoever sees it can spend it.
                ),
                column("coupon_percent", "integer", "Discount of the coupon, in percent, by segment and policy.", required=True),
                column("coupon_expiry", "date", "Last day of the coupon.", required=True),
            ),
            ("sales_month", "customer_id"),
            ("sales_month",),
        ),
        Table(
            "sales_team_mart",
            "marts",
            "one seller in one store in one month",
            (
                month,
                column("store_id", "integer", "Store in which it was sold.", required=True),
                column("sales_person_id", "integer", "Seller.", required=True),
                column("full_name", "string", "Name as of the month's end; empty while the seller is unknown.", pii=True),
                column("manager_id", "integer", "Manager as of the month's end."),
                column("manager_name", "string", "Name of that manager.", pii=True),
                column("total_sales", SUM, "What the seller sold in that store and month.", required=True),
                column("number_of_sales", "integer", "Lines sold.", required=True),
                column("rank_in_store", "integer", "Rank among the store's sellers by total_sales; ties share a rank.", required=True),
                column("incentive", SUM, "What the seller earns: by default 1 % of total_sales for rank 1, else 0.00.", required=True),
            ),
            ("sales_month", "store_id", "sales_person_id"),
            ("sales_month",),
        ),
        Table(
            "manager_mart",
            "marts",
            "one manager's team in one month",
            (
                month,
                column("manager_id", "integer", "Manager, by seller number.", required=True),
                column("full_name", "string", "Name as of the month's end; empty while unknown.", pii=True),
                column("direct_sales", SUM, "What those sold who reported to the manager on the day of the sale.", required=True),
                column("team_sales", SUM, "What everybody below the manager sold, at any depth, as of the day of the sale.", required=True),
                column("number_of_sales", "integer", "Lines sold by everybody below the manager.", required=True),
                column("team_size", "integer", "Sellers below the manager who sold something in the month.", required=True),
            ),
            ("sales_month", "manager_id"),
            ("sales_month",),
        ),
    )
