"""docs/data-dictionary.md, made from the contracts, the tables and the lineage that the transformations declare.

`python -m salesmart_assets_tests.project.dictionary` writes it anew. Belongs here: how the page is made. Does not belong
here: what a table or a column means (`contracts`, `assets`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from salesmart_assets.contracts import Table, build_tables, load_contracts
from salesmart_assets.contracts.tables import DIMENSIONS, MARTS, SOURCE_OF, staging_name
from salesmart_assets.definitions import defs
from salesmart_assets.transforms.lineage import Origin, lineage

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "data-dictionary.md"
_HEAD = """# Data dictionary

Every table and column, from the files to the marts. Dagster's UI shows the same on each asset's page. The dimensions and
the marts are in the database under these names; [queries.md](queries.md) shows how to ask them. All tables are in the lake:
`salesmart query "select … from fact_sales"`.

A column is *made of* the columns named; what is made of none comes from the program or from the file itself. Columns
marked *personal* are hidden in previews. This page describes the packaged contracts; your own add their columns.
"""
_GROUPS = {
    "marts": "Marts",
    "warehouse": "Warehouse",
    "staging": "Staging",
}


def document() -> str:
    """The page as it must be, marts first: those are what most people look for."""
    contracts = load_contracts()
    tables = build_tables(contracts)
    made = lineage(contracts, tables)
    graph = defs.resolve_asset_graph()
    told = {key.to_user_string(): graph.get(key).description or "" for key in graph.get_all_asset_keys()}
    parts = [_HEAD]
    for group, title in _GROUPS.items():
        parts.append(f"## {title}\n")
        for table in tables.group(group):
            source = SOURCE_OF.get(table.name) or next((s for s in contracts if staging_name(s) == table.name), None)
            parts.append(f"### {table.name}\n\n{told[table.name]}\n")
            facts = [f"Key: {_names(table.key)}.", f"Partitioned by: {_names(table.partition_by) or 'nothing'}."]
            facts += ["In the database, too."] if table.name in (*DIMENSIONS, *MARTS) else []
            facts += [f"Contract: `{source}.yaml`: {contracts[source].description}"] if source else []
            parts.append(" ".join(facts) + "\n")
            parts.append("\n".join(_columns(table, made.get(table.name, {}))) + "\n")
    return "\n".join(parts)


def _columns(table: Table, made: dict[str, frozenset[Origin]]) -> Iterator[str]:
    yield "| column | type | meaning | made of |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns:
        marks = [*([] if column.nullable else ["never empty"]), *(["personal"] if column.pii else [])]
        kind = f"`{column.type.name}`" + (f", {', '.join(marks)}" if marks else "")
        origins = ", ".join(f"`{o.table}.{o.column}`" for o in sorted(made.get(column.name, ())))
        meaning = column.description.replace("|", "\\|")
        yield f"| `{column.name}` | {kind} | {meaning} | {origins} |"


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in columns)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
