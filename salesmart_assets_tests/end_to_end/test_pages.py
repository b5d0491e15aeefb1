"""The tutorial and the how-to pages can be followed, and print what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pysail.spark import SparkConnectServer

from salesmart_assets.resources import spark
from salesmart_assets_tests.conftest import MariaDb
from salesmart_assets_tests.end_to_end.pages import ROOT, followed

pytestmark = pytest.mark.xdist_group("pages")  # they share an engine
ANEW = "run: python -m salesmart_assets_tests.end_to_end.pages"
TUTORIAL = ROOT / "docs" / "tutorial.md"
HOW_TO = ROOT / "docs" / "how-to"
NEED_A_SERVER = ("mysql.md", "cluster.md")

THEIR_TABLES = """
CREATE TABLE their_retail.customer (customer_id INT PRIMARY KEY, first_name VARCHAR(255), last_name VARCHAR(255), address VARCHAR(255),
    pincode VARCHAR(10), phone_number VARCHAR(20), customer_joining_date DATE);
INSERT INTO their_retail.customer VALUES (1, 'Asha', 'Rao', 'Delhi', '122009', '9173121081', '2021-01-20'),
    (2, 'Noor', 'Khan', 'Delhi', '110021', '9173121082', '2021-02-01');
CREATE TABLE their_retail.store (id INT PRIMARY KEY, address VARCHAR(255), store_pincode VARCHAR(10), store_manager_name VARCHAR(100),
    store_opening_date DATE, reviews TEXT);
INSERT INTO their_retail.store VALUES (121, 'Delhi', '122009', 'Manish', '2022-01-15', 'Great store'),
    (122, 'Delhi', '110011', 'Nikita', '2021-08-10', NULL);
CREATE TABLE their_retail.product (id INT PRIMARY KEY, name VARCHAR(255), current_price DECIMAL(10, 2), old_price DECIMAL(10, 2),
    created_date TIMESTAMP NULL, updated_date TIMESTAMP NULL, expiry_date DATE);
INSERT INTO their_retail.product VALUES (1, 'quaker oats', 212, 212, '2022-05-15', NULL, '2027-01-01'),
    (2, 'sugar', 50, 47.5, '2021-08-10', '2026-01-05 10:00:00', '2027-01-01');
CREATE TABLE their_retail.sales_team (id INT PRIMARY KEY, first_name VARCHAR(50), last_name VARCHAR(50), manager_id INT, is_manager CHAR(1),
    address VARCHAR(255), pincode VARCHAR(10), joining_date DATE);
INSERT INTO their_retail.sales_team VALUES (10, 'Rakesh', 'Kumar', 10, 'Y', 'Delhi', '110007', '2020-05-01'),
    (1, 'Rahul', 'Verma', 10, 'N', 'Delhi', '122007', '2020-05-01'), (2, 'Rajesh', 'Singh', 10, 'N', 'Delhi', '122007', '2020-05-01'),
    (4, 'Priya', 'Das', 10, 'N', 'Delhi', '122007', '2020-05-01')
"""


@pytest.fixture
def spark_server() -> Iterator[str]:
    """The address of a Spark Connect server."""
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    address = server.listening_address
    assert address is not None
    setting = f"sc://{address[0]}:{address[1]}"
    yield setting
    spark._engines.pop(setting).stop()
    server.stop()


def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    """The tutorial can be followed command by command, from a CSV of one's own to a mart, and each result is what the program prints."""
    text = TUTORIAL.read_text("utf-8")
    assert followed(text, tmp_path) == text, f"{ANEW} {TUTORIAL.relative_to(ROOT)}"


@pytest.mark.parametrize("page", sorted(p.name for p in HOW_TO.glob("*.md") if p.name not in NEED_A_SERVER))
def test_a_how_to_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    """Each how-to can be followed command by command, and each of its results is what the program prints."""
    text = (HOW_TO / page).read_text("utf-8")
    assert "```sh\n" in text
    assert followed(text, tmp_path) == text, f"{ANEW} docs/how-to/{page}"


def test_the_how_to_of_mysql(tmp_path: Path, mariadb: MariaDb) -> None:
    """An installation with loaded files goes to MySQL as the page says: the new database has every month."""
    text = (HOW_TO / "mysql.md").read_text("utf-8")
    given = {"mysql+pymysql://user:password@db.example.com:3306/retail": mariadb.url("how_to_mysql")}
    assert followed(text, tmp_path, given) == text
    mariadb.execute("DROP DATABASE how_to_mysql")


def test_the_migration(tmp_path: Path, mariadb: MariaDb) -> None:
    """Another system's members and its archive are brought over as the page says: one run builds the warehouse of them."""
    text = (ROOT / "docs" / "migration.md").read_text("utf-8")
    mariadb.execute("CREATE DATABASE their_retail", *THEIR_TABLES.split(";"))
    given = {"mysql+pymysql://user:password@db.example.com:3306/retail": mariadb.url("their_retail")}
    assert followed(text, tmp_path, given) == text
    mariadb.execute("DROP DATABASE their_retail")


def test_what_the_explanation_shows(tmp_path: Path) -> None:
    """The versions of a product follow from the days that its rows say, as the explanation of versions shows."""
    text = (ROOT / "docs" / "why-nothing-is-lost.md").read_text("utf-8")
    assert followed(text, tmp_path) == text


def test_the_how_to_of_a_cluster(tmp_path: Path, spark_server: str) -> None:
    """An installation computes on a Spark Connect server as the page says."""
    text = (HOW_TO / "cluster.md").read_text("utf-8")
    assert followed(text, tmp_path, {"sc://spark.example.com:15002": spark_server}) == text
