"""Each part of a platform that is at work is killed; afterwards it is right again by itself, and nothing is lost or counted twice.

Marts, ledger and Dagster's own history are on MariaDB here; the files of `salesmart dev` on its own endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone

import pytest

from salesmart_assets.workers import PROCESS_TAG
from salesmart_assets_tests.chaos import PARTS, Served, start
from salesmart_assets_tests.conftest import MariaDbServer
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation

_FIRST = date(2026, 8, 1)
_LINES = 50
_WAIT_SECONDS = 600


class AtWork:
    """A platform on MariaDB under `dev`, with always some batches that wait."""

    def __init__(self, served: Served, database: MariaDbServer) -> None:
        self.served, self.database, self.salesmart = served, database, served.salesmart
        self.landed = 0

    def land(self, count: int) -> None:
        """Land a file for each of the next days; each line is sold for 5.00."""
        for _ in range(count):
            day = (_FIRST + timedelta(self.landed)).isoformat()
            lines = [f"{n},121,bread,{day},{n % 5},2.50,2,5.00" for n in range(_LINES)]
            self.landed += 1
            path = self.salesmart.write(f"tills_{day}.csv", "\n".join([HEADER, *lines]) + "\n")
            self.salesmart("land", path, "--source", "sales", "--date", day)

    def runs(self) -> list[tuple[object, ...]]:
        """Id and status of each run, the oldest first, as Dagster's history has them."""
        return self.database.database.execute("SELECT run_id, status FROM dagster.runs ORDER BY id")

    def busy(self) -> None:
        """Wait until a run is in the middle of its work."""
        self.until(lambda: any(status == "STARTED" for _, status in self.runs()) and self.served.find("run") is not None, "no run began")

    def until(self, holds, otherwise: str) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"{otherwise}\n{self.served.log()[-6000:]}"
            time.sleep(0.2)

    def succeeds_again(self, before: int) -> None:
        """Wait until a run has succeeded that had not when there were `before` of them."""
        self.until(lambda: sum(status == "SUCCESS" for _, status in self.runs()) > before, "no run succeeded")

    def succeeded(self) -> int:
        """How many runs have succeeded."""
        return sum(status == "SUCCESS" for _, status in self.runs())


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    settings = {"SALESMART_SENSOR_INTERVAL_SECONDS": "1", "SALESMART_RETRY_SECONDS": "1", "SALESMART_MAX_ATTEMPTS": "9"}
    with MariaDbServer(durable=True) as database:
        settings |= {"SALESMART_DATABASE_URL": database.database.url("retail"), "SALESMART_DAGSTER_URL": database.database.url("dagster")}
        # The first morning is in two minutes.
        settings["SALESMART_REPORT_TIME"] = f"{datetime.now(timezone.utc) + timedelta(minutes=2):%H:%M}"
        salesmart = Installation(tmp_path_factory.mktemp("recovery") / "home", settings)
        with Served(salesmart) as served:
            work = AtWork(served, database)
            work.land(4)
            yield work


@pytest.mark.xdist_group("recovery")
def test_killed_processes_of_dev(at_work: AtWork) -> None:
    """The daemon, the UI, the code server, a run or the S3 endpoint, killed under load, is started again by itself."""
    for part in PARTS:
        at_work.land(1)
        at_work.busy()
        victim = at_work.served.find(part)
        assert at_work.served.kill(part)
        at_work.until(lambda part=part, victim=victim: at_work.served.find(part) not in (None, victim), f"{part} was not started again")  # type: ignore[misc]
        at_work.until(at_work.served.answers, "the UI does not answer")
    at_work.succeeds_again(at_work.succeeded())


@pytest.mark.xdist_group("recovery")
def test_killed_database(at_work: AtWork) -> None:
    """A database that is killed under load and comes back is used again by itself."""
    at_work.land(1)
    at_work.busy()
    at_work.database.kill()
    time.sleep(2)
    at_work.database.start()
    at_work.succeeds_again(at_work.succeeded())


@pytest.mark.xdist_group("recovery")
def test_killed_command(at_work: AtWork) -> None:
    """A `salesmart run` that is killed does not hold the place in the queue for ever."""
    known = {run_id for run_id, _ in at_work.runs()}
    command = start(at_work.salesmart, "run", "--date", _FIRST.isoformat())

    def of_command() -> list[str]:
        marks = f"SELECT run_id FROM dagster.run_tags WHERE `key` = '{PROCESS_TAG}' AND value LIKE '%/{command.pid}/%'"
        mine = {run_id for (run_id,) in at_work.database.database.execute(marks)}
        return [str(status) for run_id, status in at_work.runs() if run_id in mine - known]

    at_work.until(lambda: of_command() == ["STARTED"], "the command's run did not begin")
    command.kill()
    command.wait()
    at_work.until(lambda: of_command() == ["FAILURE"], "the run stays in progress")


@pytest.mark.xdist_group("recovery")
def test_killed_dev(at_work: AtWork) -> None:
    """After `dev` itself was killed under load, `salesmart dev` carries on; in the end every line is there once."""
    at_work.land(1)
    at_work.busy()
    at_work.served.kill_all()
    at_work.served.start()
    done = [("I", _LINES, _LINES)] * at_work.landed
    columns = ("status", "rows_read", "rows_accepted")
    at_work.until(
        lambda: [tuple(f[c] for c in columns) for f in at_work.salesmart.json("status", "--json")] == done, "files stay unfinished"
    )
    ((lines, total),) = at_work.database.database.execute("SELECT SUM(number_of_sales), SUM(total_sales) FROM retail.sales_team_mart")
    assert (lines, total) == (_LINES * at_work.landed, 5 * _LINES * at_work.landed)


@pytest.mark.xdist_group("recovery")
def test_history_on_mariadb(at_work: AtWork) -> None:
    """With one setting, Dagster keeps its history in MySQL or MariaDB: runs, the sensor's ticks and the schedules'."""

    def ticks(kind: str) -> int:
        query = f"SELECT COUNT(*) FROM dagster.job_ticks WHERE type = '{kind}' AND status = 'SUCCESS'"
        ((count,),) = at_work.database.database.execute(query)
        return int(str(count))

    at_work.until(lambda: ticks("SCHEDULE") > 0, "no schedule ticked")
    assert ticks("SENSOR") > 0
    assert at_work.succeeded() > 0
    assert not (at_work.salesmart.home / "dagster" / "history").exists()
    password = at_work.database.database.password
    assert password not in (at_work.salesmart.home / "dagster" / "dagster.yaml").read_text()
    assert password not in at_work.served.log()
