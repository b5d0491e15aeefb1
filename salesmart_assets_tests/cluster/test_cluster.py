"""One day of a shop on a real cluster: by one setting, through the loss of a machine and of the driver."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from salesmart_assets.contracts import load_contracts
from salesmart_assets.generate.days import FolderSink, Plan, generate
from salesmart_assets.lake.storage import hadoop_settings
from salesmart_assets.settings import Settings
from salesmart_assets.transforms.session import Engine, jars_of
from salesmart_assets_tests import small_spark
from salesmart_assets_tests.batches import Batches, Tables, accounted, load, tables
from salesmart_assets_tests.cluster.conftest import JARS, PARTITIONS, Cluster, Driver, Request, Store, is_read

pytestmark = pytest.mark.xdist_group("jvm")

DAY = date(2026, 3, 1)
FILES = 4
SOURCES = ("sales", "products", "sales_team")
"""Each source more takes seconds, and shows nothing more: the engines' suite compares every transformation."""
MADE = ("stg_sales", "stg_products", "stg_sales_team", "rejected_rows", "dim_product", "dim_sales_person", "fact_sales")
_SECONDS = 600


def day_of(folder: Path) -> list[tuple[str, str, str]]:
    """Files of a day, sales in several, with bad rows: source, name and text."""
    files = []
    for made in generate(Plan(DAY, rows=3_000, faults=0.02, seed=5), FolderSink(folder), load_contracts()):
        if made.source not in SOURCES:
            continue
        text = (folder / made.source / f"dt={DAY}" / made.name).read_text("utf-8")
        if made.source != "sales":
            files.append((made.source, made.name, text))
            continue
        header, *lines = text.splitlines(keepends=True)
        files += [(made.source, f"{number}_{made.name}", header + "".join(lines[number::FILES])) for number in range(FILES)]
    return files


@dataclass(frozen=True)
class Story:
    """A day that was begun by a driver that was killed, and done by the next while a machine was lost."""

    tables: Tables
    accounted: bool
    outcomes: set[str | None]
    staged_files: int
    log: list[Request]
    driver_code: int
    lost: int


@pytest.fixture(scope="session")
def story(store: Store, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """What came of the day."""
    home = tmp_path_factory.mktemp("driver") / "home"
    driver = Driver(home, store, cluster)
    batches = Batches(home, driver.overrides)
    with batches.platform() as platform:
        for source, name, text in day_of(tmp_path_factory.mktemp("day")):
            batches.land(platform, text, source, DAY.isoformat(), name)
    store.log.clear()

    store.hold("worker-")
    killed = driver.start(DAY.isoformat())
    assert store.waiting.wait(_SECONDS), "no machine asked for an object"
    killed.kill()
    killed.communicate()
    cluster.wait_until_idle()
    store.release()

    store.hold("worker-1")
    again = driver.start(DAY.isoformat())
    if not store.waiting.wait(_SECONDS):
        again.kill()
        pytest.fail(f"worker-1 asked for no object:\n{again.communicate()[0][-3000:]}")
    lost = cluster.lose("worker-1")
    print(f"lost: process {lost}, worker-1")
    store.release()
    said, _ = again.communicate(timeout=_SECONDS)
    assert again.returncode == 0, said[-3000:]

    log = list(store.log)
    with batches.platform() as platform:
        sales = platform.lake.snapshot("stg_sales")
        files = platform.ledger.files()
        return Story(
            tables(platform),
            accounted(platform),
            {f.outcome for f in files},
            len({f.origin for f in sales.files}),
            log,
            killed.returncode,
            lost,
        )


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The same day with the default settings: Sail, and folders of this machine."""
    batches = Batches(tmp_path_factory.mktemp("laptop") / "home")
    with batches.platform() as platform:
        for source, name, text in day_of(tmp_path_factory.mktemp("laptop-day")):
            batches.land(platform, text, source, DAY.isoformat(), name)
        load(platform, DAY)
        return tables(platform)


@pytest.fixture
def connect_server(store: Store, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Spark Connect server on what the story left of the cluster. It reads S3, and no Delta tables."""
    for name, value in {"SPARK_LOCAL_IP": "127.0.0.1", **small_spark.JVM}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(home=tmp_path, **Driver(tmp_path, store, cluster).overrides)
    with Engine.start(cluster.url, {**jars_of(JARS), **hadoop_settings(settings), **small_spark.queries(PARTITIONS)}) as server:
        yield server.remote


def test_the_cluster_makes_the_same_tables(story: Story, laptop: Tables) -> None:
    """On a Spark cluster, with landing zone and lake on S3, every table is that of the laptop's engine, row for row."""
    assert {name: len(rows) for name, rows in story.tables.items()} == {name: len(rows) for name, rows in laptop.items()}
    assert story.tables == laptop
    assert story.tables["rejected_rows"]


def test_objects_are_read_by_the_cluster_alone(story: Story) -> None:
    """No byte of a sales object passes through the machine that starts the run: the store's log names those of the cluster alone."""
    readers = {request.who for request in story.log if is_read(request)}
    assert readers == {"worker-1", "worker-2"}
    commits = [request for request in story.log if request.method == "PUT" and "/_delta_log/" in request.path]
    # The machine that starts the run commits, and never over somebody else's commit.
    assert len({request.path.split("/_delta_log/")[0] for request in commits}) > 10
    assert not {request.who for request in commits} & readers
    assert {request.if_none_match for request in commits} == {"*"}


def test_a_machine_that_is_lost(story: Story) -> None:
    """A machine of the cluster that is lost while it parses costs nothing: the batch is completed, and every row counts once."""
    assert story.lost
    assert (story.accounted, story.outcomes, story.staged_files) == (True, {"loaded"}, FILES)


def test_a_driver_that_is_killed(story: Story, laptop: Tables) -> None:
    """A driver that is killed while the cluster parses leaves nothing that the next run does not complete."""
    assert story.driver_code == -signal.SIGKILL
    assert story.tables["fact_sales"] == laptop["fact_sales"]


def test_a_spark_connect_server_makes_the_same_tables(
    story: Story, laptop: Tables, store: Store, cluster: Cluster, connect_server: str, tmp_path: Path
) -> None:
    """By a Spark Connect server, which need not know Delta, its cluster reads the landed files and makes the same tables, too.

    Up to the fact: marts and publication go the same ways.
    """
    assert story.accounted
    driver = Driver(tmp_path / "home", store, cluster, "connect", connect_server)
    batches = Batches(driver.home, driver.overrides)
    with batches.platform() as platform:
        for source, name, text in day_of(tmp_path / "day"):
            batches.land(platform, text, source, DAY.isoformat(), name)
        store.log.clear()
        started = driver.start(DAY.isoformat(), "--until", "fact_sales")
        said, _ = started.communicate(timeout=_SECONDS)
        assert started.returncode == 0, said[-3000:]
        assert tables(platform, MADE) == {name: laptop[name] for name in MADE}
    assert {request.who for request in store.log if is_read(request)} == {"worker-2"}
