"""What the columns are declared to be made of is what the code makes them of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cache
from typing import Any

import pytest

from salesmart_assets.contracts import SOURCES, build_tables
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, ROLLUPS, raw_name, staging_name
from salesmart_assets.transforms import lineage as declared
from salesmart_assets.transforms.lineage import BRIDGE, Lineage, Origin, lineage
from salesmart_assets.transforms.management import management_bridge
from salesmart_assets_tests import small_spark
from salesmart_assets_tests.ingest.reading import read

from . import analyse
from .analyse import CHANGED, CONTRACTS, EXTENDED
from .plan import differences, lineage_of
from .staged import TABLES, arrow

MADE_BY_SPARK = (*DIMENSIONS, "fact_sales", *ROLLUPS, *MARTS)


@pytest.fixture(scope="module")
def plans() -> Mapping[str, Mapping[str, str]]:
    """The plans of all transformations, as Apache Spark has analysed them: by contracts, then by table."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")}
    environment |= small_spark.JVM
    program = [sys.executable, "-W", "ignore", "-m", analyse.__name__]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Mapping[str, str]] = json.loads(done.stdout)
    return found


@cache
def of_code(plan: str) -> Lineage:
    return lineage_of(plan, {*TABLES.by_name, BRIDGE})


def of_declaration(contracts: str, table: str) -> Lineage:
    """What is declared of a table, by the inputs of its transformation."""
    if table == "manager_mart":
        return declared.manager_mart()
    return lineage(CONTRACTS[contracts], build_tables(CONTRACTS[contracts]))[table]


@pytest.mark.xdist_group("jvm")
@pytest.mark.parametrize("table", MADE_BY_SPARK)
@pytest.mark.parametrize("contracts", CONTRACTS)
def test_each_column_is_made_of_what_is_declared(plans: Mapping[str, Mapping[str, str]], contracts: str, table: str) -> None:
    """Every column says which columns it is made of, and Apache Spark's own plan of the code says the same."""
    assert differences(table, of_declaration(contracts, table), of_code(plans[contracts][table])) == []


@pytest.mark.xdist_group("jvm")
@pytest.mark.parametrize("table", DIMENSIONS)
@pytest.mark.parametrize("contracts", CONTRACTS)
def test_an_extended_dimension_is_made_of_the_same(plans: Mapping[str, Mapping[str, str]], contracts: str, table: str) -> None:
    """A dimension made of its versions so far and of later deliveries is, through those versions, made of the same columns."""
    right, found = of_declaration(contracts, table), of_code(plans[contracts][f"{EXTENDED}{table}"])
    assert any(origin.table == table for origins in found.values() for origin in origins)
    assert differences(table, right, declared.through(found, table, right)) == []


@pytest.mark.xdist_group("jvm")
def test_a_wrong_declaration_is_found(plans: Mapping[str, Mapping[str, str]]) -> None:
    """A declaration that lacks one column, or has one too many, is told from the code's, whichever it is."""
    for table in MADE_BY_SPARK:
        right, found = of_declaration("packaged", table), of_code(plans["packaged"][table])
        for column, origins in right.items():
            for origin in origins:
                said = f"{table}.{column} is made of {origin.table}.{origin.column}, which is not declared."
                assert differences(table, {**right, column: origins - {origin}}, found) == [said]
            said = f"{table}.{column} is declared to be made of stg_sales.pos_id, and is not."
            if Origin("stg_sales", "pos_id") not in origins:
                assert differences(table, {**right, column: origins | {Origin("stg_sales", "pos_id")}}, found) == [said]
            without = {name: made for name, made in right.items() if name != column}
            assert f"{table}.{column} is a column, and not declared." in differences(table, without, found)


@pytest.mark.xdist_group("jvm")
def test_changed_code_is_found(plans: Mapping[str, Mapping[str, str]]) -> None:
    """Code that reads another column than before, or one less, is told from its declaration."""
    assert differences("daily_seller_sales", declared.daily_seller_sales(), of_code(plans["packaged"][CHANGED])) == [
        "daily_seller_sales.total_sales is made of fact_sales.price, which is not declared.",
        "daily_seller_sales.total_sales is made of fact_sales.quantity, which is not declared.",
        "daily_seller_sales.total_sales is declared to be made of fact_sales.total_cost, and is not.",
        "daily_seller_sales.units is declared to be made of fact_sales.quantity, and is not.",
    ]


@pytest.mark.parametrize("contracts", CONTRACTS)
def test_every_column_is_declared(contracts: str) -> None:
    """Each column of each table is declared, those that a user's contract adds as well, and is made of columns that there are."""
    tables = build_tables(CONTRACTS[contracts])
    found = lineage(CONTRACTS[contracts], tables)
    assert found.keys() == tables.by_name.keys() - {"rejected_rows"}
    columns = {t.name: set(t.names) for t in tables} | {raw_name(s): set(c.columns) for s, c in CONTRACTS[contracts].items()}
    for table, made in found.items():
        assert made.keys() == columns[table]
        for column, origins in made.items():
            assert all(o.column in columns[o.table] for o in origins), (table, column)


DAY = date(2026, 3, 1)
# (seller, manager, first day, counted from DAY): 3 reports to 2, and from the third day on to 5.
SELLERS = [(1, None, 0), (2, 1, 0), (3, 2, 0), (3, 5, 2), (4, 2, 0), (5, 2, 0)]
Change = Callable[[dict[str, Any]], None]


def _tree(change: Change = lambda _: None, day: date = DAY) -> dict[str, list[Any]]:
    """The values in each column of the management tree of `SELLERS` on a day, after a change to each row of the dimension.

    A row is there for a day and a seller, once for each manager above: these two are told once.
    """
    table, rows = TABLES["dim_sales_person"], []
    for seller, manager, first in SELLERS:
        row: dict[str, Any] = dict.fromkeys(table.names)
        row |= {"sales_person_id": seller, "manager_id": manager, "valid_from": DAY + timedelta(first), "is_deleted": False}
        change(row)
        rows.append(row)
    columns = management_bridge(arrow(rows, table), [day]).bridge.to_pydict()
    return {name: sorted(set(values) if name in ("sales_date", "sales_person_id") else values) for name, values in columns.items()}


def _instead(column: str, values: Mapping[Any, Any]) -> Change:
    """Other values in one column."""
    return lambda row: row.update({column: values.get(row[column], row[column])})


def test_the_management_tree_is_made_of_what_is_declared() -> None:
    """A column of the tree changes with each column that it is made of, and with no other."""
    other = {"integer": 77, "string": "x", "date": DAY, "boolean": True}
    changes = {c.name: _instead(c.name, dict.fromkeys((None, True, False), other[c.type.name])) for c in TABLES["dim_sales_person"].columns}
    changes |= {
        # Their manager's number is no seller's any more, so that nobody is above.
        "sales_person_id": _instead("sales_person_id", {2: 20}),
        # They report to that manager's own.
        "manager_id": _instead("manager_id", {2: 1}),
        # What was to hold from the third day on holds on the first.
        "valid_from": _instead("valid_from", {DAY: DAY - timedelta(9), DAY + timedelta(2): DAY - timedelta(1)}),
    }
    trees = {Origin("dim_sales_person", name): _tree(change) for name, change in changes.items()}
    trees[Origin("daily_seller_sales", "sales_date")] = _tree(day=DAY + timedelta(2))
    before = _tree()
    found = {column: {origin for origin, tree in trees.items() if tree[column] != values} for column, values in before.items()}
    assert found == declared.management_bridge()


_VALUES = {"integer": ("3", "4"), "string": ("a", "b"), "date": ("2026-03-01", "2026-03-02"), "boolean": ("true", "false")}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("contracts", CONTRACTS)
def test_staged_columns_are_made_of_what_is_declared(contracts: str, source: str) -> None:
    """A staged column changes with the columns of the file that it is made of, and with no other."""
    contract = CONTRACTS[contracts][source].model_copy(update={"rules": ()})
    made = lineage(CONTRACTS[contracts], build_tables(CONTRACTS[contracts]))[staging_name(source)]
    found: dict[str, set[Origin]] = {name: set() for name in made}

    def staged(values: Mapping[str, str]) -> dict[str, Any]:
        (row,) = read(json.dumps(values), "file.json", contract).rows
        return row

    full = {name: _VALUES.get(column.type, ("6.00", "7.00"))[0] for name, column in contract.columns.items()}
    computed = [name for name, column in contract.columns.items() if column.compute is not None]
    # What can be computed is delivered in one row; in the others some of it is computed, or all.
    for left_out in ([], computed, *([name] for name in computed)):
        delivered = {name: value for name, value in full.items() if name not in left_out}
        before = staged(delivered)
        for name, value in delivered.items():
            other = _VALUES.get(contract.columns[name].type, ("6.00", "7.00"))[1]
            assert other != value
            after = staged({**delivered, name: other})
            for column in before.keys() & found.keys():
                if before[column] != after[column]:
                    found[column].add(Origin(raw_name(source), name))
    assert found == made
