"""The graph shows where every column comes from."""

from __future__ import annotations

from collections.abc import Mapping

from dagster import AssetSpec, TableColumnLineage, TableSchema

from salesmart_assets.definitions import defs

SPECS: Mapping[str, AssetSpec] = {
    spec.key.to_user_string(): spec
    for asset in defs.assets or ()
    for spec in asset.specs  # type: ignore[union-attr]
}
Column = tuple[str, str]


def columns(asset: str) -> Mapping[str, str]:
    """The columns that an asset shows, each with its description."""
    schema = SPECS[asset].metadata["dagster/column_schema"]
    assert isinstance(schema, TableSchema)
    return {column.name: column.description or "" for column in schema.columns}


def made_of(asset: str) -> Mapping[str, list[Column]]:
    """The columns that those of an asset are made of, as Dagster knows them; none where they come from outside."""
    found = SPECS[asset].metadata.get("dagster/column_lineage", TableColumnLineage({}))
    assert isinstance(found, TableColumnLineage)
    return {name: [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps] for name, deps in found.deps_by_column.items()}


def test_the_incentive_can_be_followed_to_the_files() -> None:
    """The incentive can be followed, asset by asset, to the columns of the sales files that it is made of, and to nothing else."""
    steps: list[set[Column]] = [{("sales_team_mart", "incentive")}]
    while steps[-1]:
        steps.append({origin for asset, column in steps[-1] for origin in made_of(asset).get(column, ())})
    read = ("sales_date", "store_id", "total_cost")
    assert steps == [
        {("sales_team_mart", "incentive")},
        {("daily_seller_sales", column) for column in ("sales_date", "store_id", "total_sales")},
        {("fact_sales", column) for column in read},
        {("stg_sales", column) for column in read},
        {("raw_sales", column) for column in read},
        set(),
    ]


def test_columns_are_made_of_what_the_asset_reads() -> None:
    """Each column is made of columns that are shown, of assets that its own depends on."""
    graph = defs.resolve_asset_graph()
    tables = {name: made_of(name) for name in SPECS if made_of(name)}
    assert tables.keys() == {name for name in SPECS if "dagster/table_name" in SPECS[name].metadata} - {"rejected_rows"}
    for table, made in tables.items():
        parents = {parent.to_user_string() for parent in graph.get(SPECS[table].key).parent_keys}
        assert made.keys() == columns(table).keys()
        for column, origins in made.items():
            for asset, origin in origins:
                assert asset in parents, (table, column)
                assert origin in columns(asset), (table, column)


def test_descriptions_tell_where_columns_come_from() -> None:
    """A column's description names what it is made of, and leads there."""
    for table in SPECS:
        for column, origins in made_of(table).items():
            for asset, origin in origins:
                told = columns(table)[column].partition(f"[{asset}](/assets/{asset}) ")[2].partition(";")[0]
                assert f"`{origin}`" in told, (table, column)
    assert columns("daily_seller_sales")["total_sales"] == "Sum of total_cost.\n\nMade of [fact_sales](/assets/fact_sales) `total_cost`."
