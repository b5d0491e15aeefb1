"""The log read again: in the order of time, by level, time, run and batch date."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from salesmart_assets.logs import COLUMNS, Reading, read

NOON = datetime(2026, 8, 1, 12, tzinfo=timezone.utc)


def write(folder: Path, name: str, *lines: tuple[int, str, str, str]) -> None:
    """Lines of a file: minutes after noon, run, batch date, message."""
    level = name.partition(".")[0].partition("-")[0]
    with (folder / name).open("a", encoding="utf-8") as file:
        for minutes, run, day, message in lines:
            when = (NOON + timedelta(minutes=minutes)).isoformat(timespec="microseconds").replace("+00:00", "Z")
            known = {"time": when, "level": level, "run_id": run or None, "batch_date": day or None, "message": message}
            file.write(json.dumps({**dict.fromkeys(COLUMNS), **known}) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "info-20260801T120000000000.jsonl", (0, "aa1", "2026-08-01", "first"), (2, "aa1", "2026-08-01", "third"))
    write(tmp_path, "info.jsonl", (4, "bb2", "2026-08-02", "fifth"))
    write(tmp_path, "warning.jsonl", (1, "aa1", "2026-08-01", "second"))
    write(tmp_path, "error.jsonl", (3, "bb2", "2026-08-02", "fourth"), (5, "", "", "sixth"))
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Reading(), ["first", "second", "third", "fourth", "fifth", "sixth"]),
        (Reading("warning"), ["second", "fourth", "sixth"]),
        (Reading("error"), ["fourth", "sixth"]),
        (Reading(since=NOON + timedelta(minutes=3)), ["fourth", "fifth", "sixth"]),
        (Reading(run_id="aa"), ["first", "second", "third"]),
        (Reading(batch_date="2026-08-02"), ["fourth", "fifth"]),
    ],
)
def test_lines_are_found(folder: Path, wanted: Reading, said: list[str]) -> None:
    """Lines of all levels and files come in the order of time; those are left out that are not asked for."""
    assert [line["message"] for line in read(folder, wanted)] == said


def test_damaged_lines_are_counted(folder: Path) -> None:
    """A line that is cut short costs no other line, and is counted."""
    with (folder / "error.jsonl").open("ab") as file:
        file.write(b'{"time": "2026-08-01T12:0\n\xff\xfe\n[]\n')
    write(folder, "error.jsonl", (6, "", "", "seventh"))
    wanted = Reading("error")
    assert [line["message"] for line in read(folder, wanted)] == ["fourth", "sixth", "seventh"]
    assert wanted.damaged == 3


def test_no_log_is_no_lines(tmp_path: Path) -> None:
    """Where nothing was ever logged, there is nothing to read."""
    assert list(read(tmp_path / "none", Reading())) == []
