"""The log on disk: whole lines, once each, in bounded space, whoever writes at the same time."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from salesmart_assets.logs import COLUMNS, Reading, as_event, carried, keep, read, within
from salesmart_assets.logs.files import FILES_KEPT, LevelFiles

WRITERS, LINES = 3, 2_000
WRITER = """
import logging, sys
from pathlib import Path
from salesmart_assets.logs import keep, within
folder, me, lines = sys.argv[1:]
keep(Path(folder), 5)
with within(run_id=me, batch_date="2026-08-01"):
    for number in range(int(lines)):
        logging.getLogger("salesmart_assets.test").info("line %d %s", number, "é" * 100)
"""


def lines(folder: Path, **wanted: str) -> list[dict[str, object]]:
    reading = Reading(**wanted)  # type: ignore[arg-type]
    found = list(read(folder, reading))
    assert reading.damaged == 0
    return found


def test_processes_that_write_at_once_lose_and_tear_no_line(tmp_path: Path) -> None:
    """Several processes write to the same log while it is turned over: every line is there, whole, once."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), f"run-{me}", str(LINES)], stderr=subprocess.PIPE)
        for me in range(WRITERS)
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * WRITERS
    assert len(list(tmp_path.glob("info-*.jsonl"))) >= 4
    found = Counter((line["run_id"], line["message"]) for line in lines(tmp_path))
    assert found == Counter((f"run-{me}", f"line {number} {'é' * 100}") for me in range(WRITERS) for number in range(LINES))


def test_the_log_stays_within_its_space(log: logging.Logger, tmp_path: Path) -> None:
    """Files of a level are bounded in size and in number, and the oldest lines go first; other levels keep theirs."""
    most = 2_000
    log.addHandler(LevelFiles(tmp_path, most))
    log.setLevel(logging.INFO)
    log.error("the one error")
    for number in range(500):
        log.info("line %d", number)
    files = list(tmp_path.glob("info*.jsonl"))
    assert len(files) == FILES_KEPT
    assert max(file.stat().st_size for file in files) <= most
    kept = [line["message"] for line in lines(tmp_path)]
    assert kept[0] == "the one error"
    assert kept[1:] == [f"line {number}" for number in range(500 - len(kept) + 1, 500)]


def test_each_line_says_where_it_happened(log: logging.Logger, tmp_path: Path) -> None:
    """A line has run, batch date and step, also from a thread of a pool, and an event its duration, rows and bytes."""
    keep(tmp_path, 1)
    with within(run_id="r1", batch_date="2026-08-01"), within(step="stg_sales"):
        log.info("done", extra=as_event("step.ended", seconds=1.5, rows=2, bytes=3))
        with ThreadPoolExecutor(1, initializer=carried()) as pool:
            pool.submit(log.warning, "%s is %s", "S3", "busy").result()
    log.info("nowhere")
    first, second, last = lines(tmp_path)
    assert tuple(first) == COLUMNS
    here = {"run_id": "r1", "batch_date": "2026-08-01", "step": "stg_sales"}
    measured = {"level": "info", "event": "step.ended", "message": "done", "seconds": 1.5, "rows": 2, "bytes": 3}
    assert first.items() >= {**here, **measured}.items()
    assert second.items() >= {**here, "level": "warning", "message": "S3 is busy", "seconds": None}.items()
    assert last.items() >= {"run_id": None, "batch_date": None, "step": None}.items()
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["info.jsonl", "warning.jsonl"]


def test_a_line_with_signs_that_are_none_can_be_printed(log: logging.Logger, tmp_path: Path) -> None:
    """What cannot be written as UTF-8, as in the name of a file in another encoding, stands as a question mark."""
    log.addHandler(LevelFiles(tmp_path, 2_000))
    # pytest keeps what is logged, and can't pass such a sign on to another process.
    log.propagate = False
    log.error("caf\udce9.csv")
    (line,) = lines(tmp_path)
    assert str(line["message"]).encode() == b"caf?.csv"


def test_a_log_that_cannot_be_written_stops_nothing(log: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the folder cannot be made, that is told once, on standard error, and the work goes on."""
    blocked = tmp_path / "file"
    blocked.touch()
    keep(blocked / "logs", 1)
    log.info("one")
    log.error("two")
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"The log in {blocked / 'logs'} cannot be written" in told[0]


def test_a_process_keeps_its_log_in_the_home_that_it_opened_last(log: logging.Logger, tmp_path: Path) -> None:
    """Asked twice for the same folder it writes each line once; asked for another, it writes there."""
    keep(tmp_path / "a", 1)
    keep(tmp_path / "a", 1)
    log.info("one")
    keep(tmp_path / "b", 1)
    log.info("two")
    assert [line["message"] for line in lines(tmp_path / "a")] == ["one"]
    assert [line["message"] for line in lines(tmp_path / "b")] == ["two"]
