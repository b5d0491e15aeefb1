"""The published tables: made, extended and widened without losing a value; anything else is refused."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from salesmart_assets.contracts import Column, Table, build_tables, load_contracts
from salesmart_assets.errors import Permanent
from salesmart_assets.publish import Publisher, SliceLoad, open_database, read_table
from salesmart_assets.publish.bulk import load_rows, standing_totals
from salesmart_assets.publish.rows import totals
from salesmart_assets.publish.schema import SqliteDecimal, database_table
from salesmart_assets_tests.conftest import MariaDb
from salesmart_assets_tests.publish.samples import MEMBERS, NOVEMBER, TEAM, column, load, member_load, team_load

_SHORT = st.integers(-(10**15) + 1, 10**15 - 1).map(lambda units: Decimal(units).scaleb(-10))


def _with(table: Table, *columns: Column, key: tuple[str, ...] | None = None) -> Table:
    """The table with columns added or replaced by name."""
    new = {c.name: c for c in (*table.columns, *columns)}
    return Table(table.name, table.group, table.grain, tuple(new.values()), key or table.key, table.partition_by)


def _publish(url: str, table: Table, rows: list[dict[str, object]], version: int) -> list[int]:
    made = Publisher(open_database(url), [table]).publish(
        [load(table, rows, version, "all" if not table.partition_by else NOVEMBER)], "run"
    )
    return [p.changed_rows for p in made]


def test_a_new_column_appears_and_the_marts_are_due_again(database_url: str) -> None:
    """A column that the contract gained is added; rows stay; every slice of the table, and only of it, is published again."""
    engine = open_database(database_url)
    Publisher(engine, [TEAM, MEMBERS]).publish([team_load(5), member_load(5)], "run-1")
    wider = _with(TEAM, column("bonus", "decimal(18,2)", required=True), column("note", "string"))
    publisher = Publisher(engine, [wider, MEMBERS])
    assert publisher.published() == {("dim_member", "all"): 1}
    assert read_table(engine, TEAM) == team_load(5).read()
    assert read_table(engine, wider)["bonus"].to_pylist() == [None] * 3
    rows = [row | {"bonus": Decimal("0.10"), "note": None} for row in team_load(5).read().to_pylist()]
    assert publisher.publish([load(wider, rows)], "run-2")[0].changed_rows == 3
    assert read_table(engine, wider)["bonus"].to_pylist() == [Decimal("0.10")] * 3
    assert Publisher(engine, [wider, MEMBERS]).published() == {("dim_member", "all"): 1, ("team", NOVEMBER): 1}


def test_a_stale_slice_is_still_fenced(database_url: str) -> None:
    """That a table was altered does not let an older version in."""
    engine = open_database(database_url)
    Publisher(engine, [TEAM]).publish([team_load(5, version=5)], "run-1")
    wider = Publisher(engine, [_with(TEAM, column("note", "string"))])
    rows = [row | {"note": "x"} for row in team_load(4).read().to_pylist()]
    assert wider.publish([load(_with(TEAM, column("note", "string")), rows, 4)], "run-2") == []


def test_a_table_that_was_dropped_is_filled_again(database_url: str) -> None:
    """What somebody dropped is made anew and its slices are due; a new database gets every month."""
    engine = open_database(database_url)
    Publisher(engine, [TEAM, MEMBERS]).publish([team_load(5), member_load(5)], "run-1")
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE team"))
    publisher = Publisher(engine, [TEAM, MEMBERS])
    assert publisher.published() == {("dim_member", "all"): 1}
    assert [p.changed_rows for p in publisher.publish([team_load(5)], "run-2")] == [3]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("decimal(18,2)", True), ("decimal(28,2)", False)),
        (("decimal(18,2)", False), ("decimal(28,4)", False)),
        (("boolean", False), ("integer", False)),
        (("integer", False), ("decimal(20,1)", False)),
        (("decimal(18,2)", True), ("decimal(18,2)", False)),
    ],
)
def test_a_wider_type_is_applied(database_url: str, before: tuple[str, bool], after: tuple[str, bool]) -> None:
    """A type that holds all that was there, or a value that may now be absent, is applied; what stands keeps its value."""
    narrow, wide = (_with(MEMBERS, column("price", name, required=required)) for name, required in (before, after))
    value = {"boolean": True, "integer": 12}.get(before[0], Decimal("1234567890123456.78"))
    _publish(database_url, narrow, [{"member_key": 1, "store_id": None, "price": value}], 1)
    publisher = Publisher(open_database(database_url), [wide])
    publisher.ensure_schema()
    (standing,) = read_table(open_database(database_url), wide)["price"].to_pylist()
    assert Decimal(standing) == Decimal(value)
    assert _publish(database_url, wide, [{"member_key": 1, "store_id": "1", "price": None}], 2) == [1]
    assert read_table(open_database(database_url), wide)["price"].to_pylist() == [None]


@pytest.mark.parametrize("narrower", ["decimal(16,2)", "decimal(18,1)", "integer", "string", "date"])
def test_a_narrower_type_is_refused(database_url: str, narrower: str) -> None:
    """A change that could lose values stops before anything is altered, with table, column and what to do."""
    engine = open_database(database_url)
    Publisher(engine, [MEMBERS, TEAM]).publish([member_load(5)], "run-1")
    changed = [_with(TEAM, column("note", "string")), _with(MEMBERS, column("price", narrower))]
    with pytest.raises(
        Permanent, match=r"dim_member\.price is DECIMAL\(18, 2\) in the database and .* by the contract: values could be lost"
    ) as caught:
        Publisher(engine, changed).ensure_schema()
    assert "ALTER TABLE dim_member RENAME TO dim_member_old" in str(caught.value)
    assert read_table(engine, MEMBERS) == member_load(5).read()
    assert [c["name"] for c in sa.inspect(engine).get_columns("team")] == list(TEAM.names)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE dim_member RENAME TO dim_member_old"))
    Publisher(engine, changed).ensure_schema()


def test_another_key_is_refused(database_url: str) -> None:
    """A key that means other rows is not changed under the rows that stand."""
    Publisher(open_database(database_url), [TEAM]).publish([team_load(5)], "run-1")
    with pytest.raises(
        Permanent, match=r"The key of team is \(sales_month, sales_person_id\) in the database and \(sales_month, total_sales\)"
    ):
        Publisher(open_database(database_url), [_with(TEAM, key=("sales_month", "total_sales"))]).ensure_schema()


def test_a_column_that_is_no_longer_ours_stays(database_url: str) -> None:
    """A column that left the contract, or that an analyst added, keeps its values and stops no new row."""
    engine = open_database(database_url)
    old = _with(MEMBERS, column("color", "string", required=True))
    Publisher(engine, [old]).publish([load(old, [{"member_key": 1, "store_id": "1", "price": None, "color": "red"}], 1, "all")], "run-1")
    rows = [{"member_key": key, "store_id": "1", "price": None} for key in (1, 2)]
    assert Publisher(engine, [MEMBERS]).publish([load(MEMBERS, rows, 2, "all")], "run-2")[0].changed_rows == 1
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT color FROM dim_member ORDER BY member_key")).scalars().all() == ["red", None]


def test_what_analysts_look_up_is_indexed(database_url: str) -> None:
    """The key leads with the month; store, seller, customer, product and manager have an index, made again if it is missing."""
    tables = build_tables(load_contracts())
    engine = open_database(database_url)
    published = [*tables.group("marts"), tables["dim_product"]]
    Publisher(engine, published).ensure_schema()
    with engine.begin() as connection:
        on = " ON sales_team_mart" if engine.dialect.name == "mysql" else ""
        connection.execute(sa.text(f"DROP INDEX ix_sales_team_mart_store_id{on}"))
    Publisher(engine, published).ensure_schema()
    inspector = sa.inspect(engine)
    assert inspector.get_pk_constraint("customer_mart")["constrained_columns"] == ["sales_month", "customer_id"]
    indexed = {name: {c for i in inspector.get_indexes(name) for c in i["column_names"]} for name in inspector.get_table_names()}
    assert indexed["sales_team_mart"] == {"store_id", "sales_person_id", "manager_id"}
    assert (indexed["customer_mart"], indexed["dim_product"]) == ({"customer_id"}, {"product_id"})


def test_columns_are_described_in_the_database(mariadb: MariaDb) -> None:
    """On MySQL an analyst reads in the schema what a table and a column mean."""
    Publisher(open_database(mariadb.url("described")), [TEAM]).ensure_schema()
    found = mariadb.execute(
        "SELECT column_comment FROM information_schema.columns WHERE table_schema = 'described' AND table_name = 'team'"
    )
    assert found == [("The sales_month.",), ("The sales_person_id.",), ("The total_sales.",)]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=Decimal(10) ** 26 * -1, max_value=Decimal(10) ** 25))
def test_a_decimal_survives_sqlite(value: Decimal) -> None:
    """Any decimal of any length is read from SQLite as it was written."""
    bind = SqliteDecimal(28, 2).bind_processor(sa.create_engine("sqlite://").dialect)
    result = SqliteDecimal(28, 2).result_processor(sa.create_engine("sqlite://").dialect, None)
    assert result(bind(value)) == value


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**27), max_value=10**27) | _SHORT, max_size=20))
def test_sums_on_sqlite_are_exact(values: list[Decimal]) -> None:
    """What SQLite adds up for the audit is what the lake adds up, to the last place, in short and in long numbers."""
    table = _with(MEMBERS, column("price", "decimal(38,10)"))
    rows = load(table, [{"member_key": i, "store_id": None, "price": value} for i, value in enumerate([*values, None])]).read()
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        at = database_table(table, sa.MetaData())
        at.create(connection)
        load_rows(connection, table, at, rows)
        assert standing_totals(connection, table, at, sa.true()) == totals(table, rows)
    engine.dispose()


def test_an_analyst_can_add_and_sort_on_sqlite(database_url: str) -> None:
    """SUM, ORDER BY and comparisons of money mean what they say, on every database."""
    engine = open_database(database_url)
    rows = [
        {"member_key": i, "store_id": None, "price": Decimal(price)}
        for i, price in enumerate(("9.50", "100.25", "-3.00", "12345678901.99"))
    ]
    Publisher(engine, [MEMBERS]).publish([load(MEMBERS, rows, 1, "all")], "run-1")
    with engine.connect() as connection:
        assert float(connection.scalar(sa.text("SELECT SUM(price) FROM dim_member")) or 0) == pytest.approx(12345679008.74)
        assert connection.execute(sa.text("SELECT member_key FROM dim_member ORDER BY price")).scalars().all() == [2, 0, 1, 3]
        assert connection.scalar(sa.text("SELECT count(*) FROM dim_member WHERE price > 50")) == 2


def test_arrow_of_another_width_is_taken(database_url: str) -> None:
    """Rows may come with the types of another engine, if every value fits: large strings, wider decimals, smaller integers."""
    engine = open_database(database_url)
    rows = pa.table(
        {
            "member_key": pa.array([1], pa.int32()),
            "store_id": pa.array(["1"], pa.large_string()),
            "price": pa.array([Decimal("1.50")], pa.decimal128(38, 4)),
        }
    )
    Publisher(engine, [MEMBERS]).publish([SliceLoad(MEMBERS, "all", 1, lambda: rows)], "run-1")
    assert read_table(engine, MEMBERS).to_pylist() == [{"member_key": 1, "store_id": "1", "price": Decimal("1.50")}]
