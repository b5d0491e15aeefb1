"""docs/alerts-and-logs.md can be followed: what it says arrives by mail, and what happened is in the log and in Dagster's."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from dagster import DagsterInstance

from salesmart_assets.assets import ALL_ASSETS
from salesmart_assets.logs import COLUMNS, Reading, read
from salesmart_assets_tests.end_to_end.conftest import Installation
from salesmart_assets_tests.end_to_end.pages import followed_in_processes
from salesmart_assets_tests.receivers import mail_server, web_server

PAGE = (Path(__file__).parent.parent.parent / "docs" / "alerts-and-logs.md").read_text("utf-8")


def test_a_broken_file_is_told_by_mail_and_the_log_has_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who follows the page gets the e-mail that it shows about a broken file, once, and finds each step in the log."""
    home = tmp_path / ".salesmart"
    with mail_server(tmp_path / "mail") as mail:
        settings = {"SALESMART_ALERT_EMAIL_TO": "ann@shop.example", "SALESMART_ALERT_SMTP_URL": mail.address}
        assert followed_in_processes(PAGE, tmp_path, SSL_CERT_FILE=str(mail.authority), **settings) == PAGE
    shown = re.findall(r"^```mail\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    test, *told = mail.arrived
    assert test["Subject"] == "[salesmart] Test of the alerts"
    bodies = [f"Subject: {m['Subject']}\n\n{m.get_content()}".replace("\r\n", "\n") for m in told]
    assert [re.sub(r"runs/[0-9a-f-]{36}", "runs/RUN", body) for body in bodies] == shown

    lines = list(read(home / "logs", Reading()))
    (run_id,) = {line["run_id"] for line in lines} - {None}
    of_run = [line for line in lines if line["run_id"]]
    assert {line["batch_date"] for line in of_run} == {"2026-08-01"}
    ended = {line["step"]: line for line in of_run if line["event"] == "step.ended"}
    assert set(ended) == {asset.key.to_user_string() for asset in ALL_ASSETS}
    assert all(isinstance(line[c], (int, float)) for line in ended.values() for c in ("seconds", "rows", "bytes"))
    assert (ended["fact_sales"]["rows"], ended["fact_sales"]["bytes"] > 0) == (1, True)  # type: ignore[operator]

    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with DagsterInstance.get() as instance:
        taken = [entry.user_message for entry in instance.all_logs(str(run_id)) if entry.dagster_event is None]
    assert taken == [line["message"] for line in of_run if line["step"]]

    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["message"] for row in rows] == [line["message"] for line in of_run]


def test_the_command_line_tells_what_stops_it_once(salesmart: Installation) -> None:
    """`run` under cron tells once that S3 is away, however often it is started; the receiver's failure changes no exit code."""
    away = {"S3_ENDPOINT_URL": "http://127.0.0.1:9", "S3_ACCESS_KEY_ID": "k" * 8, "S3_SECRET_ACCESS_KEY": "s" * 8}
    with web_server() as web:
        salesmart.environment |= {f"SALESMART_{name}": value for name, value in away.items()}
        salesmart.environment["SALESMART_ALERT_WEBHOOK_URL"] = web.address
        for _ in range(2):
            done = salesmart("run", code=2)
            assert "hidden-word" not in done.stderr
        assert web.titles() == ["The landing zone or the ledger cannot be looked at"]
    done = salesmart("alerts", "test", code=2)
    assert "hidden-word" not in done.stdout + done.stderr
    assert "refused" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("logs", "--since", "yesterday"), "'yesterday' is no time"),
        (("logs", "--level", "loud"), "loud"),
        (("alerts", "test"), "No channel is set"),
    ],
)
def test_a_mistake_is_told(salesmart: Installation, arguments: tuple[str, ...], says: str) -> None:
    """A moment that cannot be read, an unknown level and alerts without a receiver are one sentence and exit code 2."""
    done = salesmart(*arguments, code=2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
