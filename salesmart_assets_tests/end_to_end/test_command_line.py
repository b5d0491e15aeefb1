"""What the command line says to people who made a mistake, and what it prints for machines."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from salesmart_assets.batch.doctor import settings_table
from salesmart_assets.cli import REJECT_COLUMNS, STATUS_COLUMNS
from salesmart_assets.settings import Settings
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("land", "no-such-file.csv", "--source", "sales"), {}, "no-such-file.csv"),
        (("land", __file__, "--source", "tills"), {}, "tills"),
        (("land", __file__, "--source", "sales", "--date", "2026-02-31"), {}, "2026-02-31"),
        (("run", "--date", "1999-01-01"), {}, "1999-01-01"),
        (("run", "--date", "2026-13"), {}, "2026-13"),
        (("run", "--date", "2026-08"), {}, "No batch of 2026-08"),
        (("run", "--no-such-option"), {}, "--no-such-option"),
        (("query", "select nonsense from nowhere"), {}, "nowhere"),
        (("status",), {"SALESMART_WORKERS": "many"}, "SALESMART_WORKERS"),
        (("status",), {"SALESMART_CONTRACTS": "/no/such/folder", "SALESMART_HOME": "{home}"}, ""),
        (
            ("run",),
            {
                "SALESMART_S3_ENDPOINT_URL": "http://127.0.0.1:9",
                "SALESMART_S3_ACCESS_KEY_ID": "k" * 8,
                "SALESMART_S3_SECRET_ACCESS_KEY": "s" * 8,
            },
            "127.0.0.1:9",
        ),
        (("run",), {"SALESMART_DATABASE_URL": "mysql+pymysql://user:hidden-word@127.0.0.1:9/marts"}, "127.0.0.1"),
        (("import", "mysql+pymysql://user:hidden-word@127.0.0.1:9/theirs"), {}, "127.0.0.1"),
        (("generate", "--out", "somewhere", "--size", "much"), {}, "much"),
        (("generate", "--out", "/proc/none", "--rows", "10"), {}, "/proc/none"),
        (("status",), {"SALESMART_HOME": "/proc/none"}, "/proc/none"),
        (("publish",), {}, "has no marts yet"),
        (("report",), {}, "--month YYYY-MM"),
        (("report", "--date", "2026-08-01"), {}, "No sales came on 2026-08-01. Nothing is loaded yet"),
        (("report", "--month", "2026-08"), {}, "no sales in 2026-08"),
        (("report", "--month", "2026-8"), {}, "2026-8"),
        (("report", "--date", "2026-08-01", "--out", "day.xlsx"), {}, "no workbook"),
        (("report", "--month", "2026-08", "--out", "no/such/folder/a.html"), {}, "no/such/folder"),
        (("landing", "get", "landing/sales/dt=2026-01-01/none.csv"), {}, "none.csv"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(
    salesmart: Installation, arguments: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    """A wrong option, an unreachable S3 or database, a missing file: one clear sentence, exit code 2, no stack trace, no secret."""
    given = {k: v.format(home=salesmart.home) for k, v in environment.items()}
    if "SALESMART_CONTRACTS" in given:
        arguments, says = ("run",), "/no/such/folder"
    done = salesmart(*arguments, code=2, **given)
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "hidden-word" not in done.stderr + done.stdout


def test_json_is_one_array_and_nothing_else(salesmart: Installation) -> None:
    """`--json` and `--format json` print one JSON array of objects with the promised names, decimals and dates as strings."""
    path = salesmart.write("a b.csv", f"{HEADER}\n1,121,bread,2026-08-01,1,2.50,2,5.00\n1,121,bread,2026-08-01,1,2.50,2,7.00\n")
    salesmart("land", path, "--source", "sales", "--date", "2026-08-01")
    salesmart("run")
    (file,) = salesmart.json("status", "--json")
    assert tuple(file) == STATUS_COLUMNS
    assert file["batch_date"] == "2026-08-01"
    assert file["key"] == "landing/sales/dt=2026-08-01/a b.csv"
    (rejected,) = salesmart.json("rejects", "--json")
    assert tuple(rejected) == REJECT_COLUMNS
    assert (rejected["codes"], rejected["source_row"]) == ("row.total_mismatch", 2)
    rows = salesmart.json("query", "select sales_month, total_sales from sales_team_mart", "--format", "json")
    assert rows == [{"sales_month": "2026-08-01", "total_sales": "5.00"}]
    assert salesmart("query", "select sum(quantity) as units from fact_sales", "--format", "csv").stdout == "units\n2\n"
    assert salesmart.json("rejects", "--json", "--source", "stores") == []


def test_landing_ls_get_rm(salesmart: Installation) -> None:
    """Objects of the landing zone are listed, fetched and deleted; an empty file lands too."""
    content = f"{HEADER}\n"
    salesmart("land", salesmart.write("a.csv", content), salesmart.write("empty.csv", ""), "--source", "sales", "--date", "2026-08-01")
    keys = [row["key"] for row in salesmart.json("landing", "ls", "--json")]
    assert keys == ["landing/sales/dt=2026-08-01/a.csv", "landing/sales/dt=2026-08-01/empty.csv"]
    assert salesmart("landing", "get", keys[0]).stdout == content
    salesmart("landing", "rm", keys[0])
    assert [row["key"] for row in salesmart.json("landing", "ls", "--json")] == keys[1:]
    salesmart("run")
    assert [f["outcome"] for f in salesmart.json("status", "--json")] == ["empty"]


def test_doctor_knows_all_parts_and_no_secret(salesmart: Installation) -> None:
    """`doctor` shows every setting, masks secrets, and asks each part."""
    done = salesmart("doctor", SALESMART_COUPON_SECRET="a-long-hidden-word")
    assert "hidden-word" not in done.stdout + done.stderr
    assert "SALESMART_SPARK" in done.stdout
    parts = {part["part"]: part for part in json.loads(salesmart("doctor", "--json").stdout)}
    assert all(part["ok"] for part in parts.values()), parts
    assert "conditional put holds" in parts["lake"]["says"]
    for name, address in (("S3_ENDPOINT_URL", "https://ann:hidden-word@h/"), ("DATABASE_URL", "mysql+pymysql://ann:an@hidden-word@h:1/d")):
        done = salesmart("doctor", code=2, **{f"SALESMART_{name}": address})
        assert "hidden-word" not in done.stdout + done.stderr


def test_the_token_of_a_spark_server_is_masked() -> None:
    """The address of a Spark Connect server is shown without its token."""
    shown = {row["setting"]: row["value"] for row in settings_table(Settings(spark="sc://h:1/;token=hidden-word;use_ssl=true"))}
    assert shown["SALESMART_SPARK"] == "sc://h:1/;token=********;use_ssl=true"


def test_two_homes_do_not_touch_each_other(salesmart: Installation, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is landed in one home is not seen in another."""
    other = Installation(tmp_path_factory.mktemp("other") / "home")
    salesmart("land", salesmart.write("a.csv", f"{HEADER}\n"), "--source", "sales")
    assert other.json("landing", "ls", "--json") == []


def test_a_name_that_no_object_can_have(salesmart: Installation) -> None:
    """A file whose name is no UTF-8 is not landed, nor any that was named beside it."""
    names = [salesmart.write(name, "") for name in ("a.csv", "caf\udce9.csv")]
    done = salesmart("land", *names, "--source", "sales", code=2)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert "'caf\\udce9.csv' is not UTF-8" in done.stderr


def test_a_run_that_is_interrupted_ends(salesmart: Installation) -> None:
    """Ctrl-C, or a service manager that stops `salesmart run`, ends it, also in the middle of a step; no other batch begins."""
    for day in ("2026-08-01", "2026-08-02"):
        path = salesmart.write(f"{day}.csv", f"{HEADER}\n1,121,bread,{day},1,2.50,2,5.00\n")
        salesmart("land", path, "--source", "sales", "--date", day)
    command = [sys.executable, "-m", "salesmart_assets.cli", "run"]
    run = subprocess.Popen(command, env=salesmart.environment, stderr=subprocess.PIPE, text=True)
    log = salesmart.home / "logs" / "info.jsonl"
    while not (log.exists() and "step.started" in log.read_text("utf-8")):
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGTERM)
    assert "Interrupted. What was begun is finished or repaired by the next `salesmart run`." in run.communicate()[1]
    assert run.returncode == 130
    assert "2026-08-02" not in {line["batch_date"] for line in salesmart.json("logs", "--format", "json")}
