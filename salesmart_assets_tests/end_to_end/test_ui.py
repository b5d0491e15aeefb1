"""The platform as a service, in a browser: what people see of it, and what they can do by clicking."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from salesmart_assets_tests.chaos import Served
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation
from salesmart_assets_tests.end_to_end.leaks import command_lines, found_in, leaks
from salesmart_assets_tests.screenshots import QUIET, ask, browser_program

_LOAD_SECONDS = 600
_PATIENCE_MS = 60_000
YESTERDAY = (datetime.now(timezone.utc) - timedelta(days=1)).date()
"""The UI offers the partitions of the last 90 days."""
SECRET = secrets.token_hex(16)

pytestmark = pytest.mark.xdist_group("dev")


@dataclass(frozen=True, slots=True)
class Ui:
    """An installation that is served, twice: to those who run it, and to those who only look."""

    salesmart: Installation
    address: str
    read_only: str
    browser: Browser

    @contextmanager
    def page(self, path: str, *, read_only: bool = False) -> Iterator[Page]:
        """A page of the UI; closed afterwards, because open pages keep asking the server."""
        page = self.browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(_PATIENCE_MS)
        page.goto(f"{self.read_only if read_only else self.address}/{path}", wait_until="domcontentloaded")
        try:
            yield page
        finally:
            page.close()

    def runs(self, job: str) -> list[dict[str, Any]]:
        """The runs of a job, newest first, each with its status and tags."""
        query = f'{{runsOrError(filter: {{pipelineName: "{job}"}}) {{... on Runs {{results {{status tags {{key value}}}}}}}}}}'
        found: list[dict[str, Any]] = ask(self.address, query)["runsOrError"]["results"]
        return found


def wait_for_run(address: str, log: Installation, job: str) -> None:
    """Wait until the newest run of a job has succeeded; fails the test when it has failed."""
    query = f'{{runsOrError(filter: {{pipelineName: "{job}"}}) {{... on Runs {{results {{status}}}}}}}}'
    deadline = time.monotonic() + _LOAD_SECONDS
    while [r["status"] for r in ask(address, query)["runsOrError"]["results"][:1]] != ["SUCCESS"]:
        assert time.monotonic() < deadline, (log.home / "dev.log").read_text()[-5000:]
        time.sleep(0.5)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """`salesmart dev`, and beside it `salesmart dev --read-only`; a file landed when they ran, and the sensor has had it loaded."""
    salesmart = Installation(tmp_path_factory.mktemp("ui") / "home", {"SALESMART_COUPON_SECRET": SECRET})
    with sync_playwright() as playwright, Served(salesmart) as served:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=list(QUIET))
        path = salesmart.write("tills.csv", f"{HEADER}\n1,121,bread,{YESTERDAY},1,2.50,2,5.00\n1,121,bread,{YESTERDAY},1,2.50,2,6.00\n")
        salesmart("land", path, "--source", "sales", "--date", str(YESTERDAY))
        with Served(salesmart, "--read-only") as read_only:
            wait_for_run(served.address, salesmart, "load_batch")
            yield Ui(salesmart, served.address, read_only.address, browser)
            # Before the servers end: they wait for those who are connected.
            browser.close()


def test_a_dropped_file_reaches_the_marts_by_the_sensor_alone(ui: Ui) -> None:
    """A file put into the landing zone while `dev` runs is in the marts without anybody asking for a run."""
    with ui.page("runs") as page:
        for text in ("load_batch", "landing_sensor", f"partition: {YESTERDAY}", "Success"):
            page.get_by_text(text).locator("visible=true").first.wait_for()
    (mart,) = ui.salesmart.tables()["database/sales_team_mart"]
    assert (str(mart["total_sales"]), str(mart["incentive"])) == ("5.00", "0.05")


def test_the_graph_loads(ui: Ui) -> None:
    """The graph shows its five groups, and no error."""
    with ui.page("asset-groups") as page:
        for group in ("landing", "staging", "warehouse", "marts", "reports"):
            page.get_by_text(group, exact=True).locator("visible=true").first.wait_for()
        assert "rror" not in page.inner_text("body")


def test_the_incentive_can_be_followed_to_the_files_by_clicking(ui: Ui) -> None:
    """From the incentive in the mart, the links in the columns' descriptions lead, asset by asset, to the files that it is made of."""
    with ui.page("assets/sales_team_mart?view=overview") as page:
        made_of = {"daily_seller_sales": "incentive", "fact_sales": "total_sales", "stg_sales": "total_cost", "raw_sales": "total_cost"}
        for table, column in made_of.items():
            row = page.get_by_role("row").filter(has=page.get_by_text(column, exact=True))
            row.get_by_role("link", name=table).first.click()
            page.wait_for_url(f"**/assets/{table}*")
        page.get_by_role("row").filter(has_text="Amount of the line").wait_for()


def test_an_asset_tells_what_it_is_and_what_was_made(ui: Ui) -> None:
    """A mart's page tells its meaning, grain, owner, address and freshness, and previews its rows with names hidden."""
    with ui.page("assets/customer_mart?view=overview") as page:
        told = ("Each customer's month", "Grain: one customer in one month", "retail-data", "lake/customer_mart", "data-dictionary")
        for text in (*told, "Freshness policy"):
            page.get_by_text(text).locator("visible=true").first.wait_for()
        preview = page.get_by_role("row").filter(has=page.get_by_text("preview", exact=True)).first
        expect(preview).to_contain_text("5.00", timeout=_PATIENCE_MS)
        expect(preview).to_contain_text("•••")


def test_a_failed_check_is_visible(ui: Ui) -> None:
    """A check that failed says what it protects, and what was found, with an example."""
    with ui.page("assets/fact_sales?view=checks") as page:
        page.get_by_text("known_members").locator("visible=true").first.click()
        page.get_by_text("nobody delivered yet: they count").locator("visible=true").first.wait_for()
        page.get_by_text("Not delivered yet: 1 customer (1 line, such as 1)").locator("visible=true").first.wait_for()
        expect(page.get_by_text("Failed", exact=True).locator("visible=true").first).to_be_visible()


def test_a_partition_is_materialized_by_clicking(ui: Ui) -> None:
    """An asset's partition is made by clicking Materialize and naming the batch date."""
    with ui.page("assets/daily_report?view=overview") as page:
        page.get_by_role("button", name="Materialize").first.click()
        chosen = page.locator("input[placeholder*=partition]")
        chosen.fill(str(YESTERDAY))
        chosen.press("Enter")
        page.get_by_role("button", name="Launch 1 run").click()
        wait_for_run(ui.address, ui.salesmart, "__ASSET_JOB")
    (run,) = ui.runs("__ASSET_JOB")
    assert {"key": "dagster/partition", "value": str(YESTERDAY)} in run["tags"]


def test_read_only_hides_what_changes_things(ui: Ui) -> None:
    """With --read-only everything can be looked at, and neither a button nor a request starts a run."""
    with ui.page("assets/daily_report?view=overview", read_only=True) as page:
        page.get_by_text("The day on one page").locator("visible=true").first.wait_for()
        expect(page.get_by_role("button", name="Materialize").first).to_be_disabled(timeout=_PATIENCE_MS)
    load_batch = '{repositoryLocationName: "salesmart", repositoryName: "__repository__", jobName: "load_batch"}'
    answer = ask(ui.read_only, f"mutation {{launchRun(executionParams: {{selector: {load_batch}}}) {{__typename}}}}")
    assert answer["launchRun"]["__typename"] == "UnauthorizedError"


def test_no_secret_is_on_a_command_line_or_in_the_history(ui: Ui) -> None:
    """While `dev` runs, no process has a secret on its command line; Dagster's history, its snapshots and logs hold none either."""
    keys = json.loads((ui.salesmart.home / "s3-credentials.json").read_text())
    words = [SECRET, keys["secret_access_key"]]
    lines = command_lines()
    assert all(name in lines for name in ("dagster", "rclone", str(ui.salesmart.home)))
    assert found_in(lines.encode(), words) == set()
    assert leaks(ui.salesmart.home, words) == {"s3-credentials.json": {keys["secret_access_key"]}}
    assert any(name.startswith("dagster/") for name in leaks(ui.salesmart.home, ["tills.csv"]))
