"""A program that has Apache Spark analyse every transformation, and prints the plans as JSON: by contracts, then by table.

It runs in a process of its own, because a client that sees plans (one with a JVM beside it) and one that speaks Spark
Connect, as everything else here does, do not go together in one process. Nothing is computed: the inputs are empty.
Belongs here: which transformations there are, over which contracts. Does not belong here: what is read from a plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, cast

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from salesmart_assets.contracts import Contract, Tables, build_tables, load_contracts
from salesmart_assets.contracts.needs import NEEDS
from salesmart_assets.contracts.tables import SOURCE_OF, staging_name
from salesmart_assets.settings import CouponPolicy, IncentivePolicy
from salesmart_assets.transforms.dimensions import build_dimension, extend_dimension
from salesmart_assets.transforms.fact import fact_sales
from salesmart_assets.transforms.lineage import BRIDGE
from salesmart_assets.transforms.marts import customer_mart, manager_mart, sales_team_mart
from salesmart_assets.transforms.rollups import daily_customer_sales, daily_seller_sales
from salesmart_assets.transforms.session import SESSION_CONFIG

Contracts = Mapping[str, Contract]
CHANGED = "changed"
"""A stand-in for `daily_seller_sales` in which somebody has changed the code: amounts are reckoned anew, and units are counted."""
EXTENDED = "extended "
"""Begins the name of a dimension that is made of its own versions so far, and of what was staged since."""
_DAY = date(2026, 2, 1)
_BRIDGE_COLUMNS = "sales_date date, manager_id bigint, sales_person_id bigint, level bigint, path string"


def _varied(contract: Contract, columns: Mapping[str, Any], **other: Any) -> Contract:
    """`contract` with these columns, checked like one from a file."""
    return Contract.model_validate({**contract.model_dump(exclude_unset=True), "columns": columns, **other})


def _least(contract: Contract) -> Contract:
    """The fewest columns that the warehouse can do with, and no key to tell duplicates by."""
    needed = [name for name, need in NEEDS[contract.source].items() if need.always]
    columns = {name: contract.columns[name].model_dump(exclude_unset=True) for name in needed}
    return _varied(contract, columns, rules=(), business_key=())


def _own(contract: Contract) -> Contract:
    """Columns of a user's own, some of them computed; dimensions of the other type, delivered as snapshots."""
    columns = {name: column.model_dump(exclude_unset=True) for name, column in contract.columns.items()}
    columns["region"] = {"type": "string", "description": "Region.", "type_2": True}
    columns["points"] = {"type": "integer", "description": "Points.", "default": "0"}
    if not contract.is_state:
        columns["total_cost"]["compute"] = "price * quantity"
        columns["tax"] = {"type": "decimal(18,2)", "description": "Tax.", "compute": "total_cost / 5"}
        return _varied(contract, columns)
    return _varied(contract, columns, delivery="snapshot", scd=3 - contract.scd)


def _each(change: Callable[[Contract], Contract]) -> Contracts:
    return {source: change(contract) for source, contract in load_contracts().items()}


CONTRACTS: Mapping[str, Contracts] = {"packaged": load_contracts(), "least": _each(_least), "own": _each(_own)}


def plans(spark: SparkSession, contracts: Contracts) -> dict[str, str]:
    """The analysed plan of each table's transformation, as JSON."""
    tables = build_tables(contracts)
    for table in tables:
        _empty(spark, table.name, ", ".join(f"`{c.name}` {c.type.spark}" for c in table.columns))
    _empty(spark, BRIDGE, _BRIDGE_COLUMNS)
    return {name: _analysed(frame) for name, frame in _frames(spark, contracts, tables).items()}


def _frames(spark: SparkSession, contracts: Contracts, tables: Tables) -> dict[str, DataFrame]:
    get = spark.table
    dimensions = {}
    for name, source in SOURCE_OF.items():
        staged, table, contract = get(staging_name(source)), tables[name], contracts[source]
        dimensions[name] = build_dimension(staged, table, contract, [_DAY])
        dimensions[f"{EXTENDED}{name}"] = extend_dimension(get(name), staged, table, contract, [_DAY])
    fact, daily, sellers = get("fact_sales"), get("daily_seller_sales"), get("dim_sales_person")
    incentives = [IncentivePolicy(), IncentivePolicy(from_month=_DAY, ties="split"), IncentivePolicy(from_month=_DAY, ties="none")]
    changed = fact.withColumns({"total_cost": F.col("price") * F.col("quantity"), "quantity": F.lit(1)})
    return {
        **dimensions,
        "fact_sales": fact_sales(get("stg_sales"), *(get(name) for name in SOURCE_OF), tables["fact_sales"], contracts["sales"]),
        "daily_seller_sales": daily_seller_sales(fact, tables["daily_seller_sales"]),
        CHANGED: daily_seller_sales(changed, tables["daily_seller_sales"]),
        "daily_customer_sales": daily_customer_sales(fact, tables["daily_customer_sales"]),
        "customer_mart": customer_mart(
            get("daily_customer_sales"), get("dim_customer"), tables["customer_mart"], [CouponPolicy()], b"secret", _DAY, [_DAY]
        ),
        "sales_team_mart": sales_team_mart(daily, sellers, tables["sales_team_mart"], incentives, _DAY),
        "manager_mart": manager_mart(daily, get(BRIDGE), sellers, tables["manager_mart"], _DAY),
    }


def _empty(spark: SparkSession, name: str, columns: str) -> None:
    """An input table by its name, so that the plans name it."""
    spark.createDataFrame([], columns).createOrReplaceTempView(name)


def _analysed(frame: DataFrame) -> str:
    # Only a client with a JVM beside it has `_jdf`, and the declared class of a frame is that of both clients.
    return cast("str", cast("Any", frame)._jdf.queryExecution().analyzed().toJSON())


def main() -> None:
    """Print the plans of all transformations over all contracts."""
    builder = SparkSession.builder.master("local[1]")
    quiet = {
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    for key, value in {**SESSION_CONFIG, **quiet}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    print(json.dumps({name: plans(spark, contracts) for name, contracts in CONTRACTS.items()}))
    spark.stop()


if __name__ == "__main__":
    main()
