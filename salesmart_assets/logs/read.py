"""Reading the log again: the lines of all levels and processes, in the order of time."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from salesmart_assets.logs.files import COLUMNS, levels_from, turned_over

Line = dict[str, object]


@dataclass(slots=True)
class Reading:
    """Which lines are asked for; afterwards, how many there were that could not be read (cut short by a full disk or a power cut).

    `level`: the least severe one. `since`: in UTC. `run_id` may be its beginning, as people copy it from Dagster's pages.
    """

    level: str = "info"
    since: datetime | None = None
    run_id: str = ""
    batch_date: str = ""
    damaged: int = 0


def read(folder: Path, wanted: Reading) -> Iterator[Line]:
    """The wanted lines of the log in a folder, each with all of `COLUMNS`, oldest first."""
    with ExitStack() as stack:
        levels = [_lines(_open(folder / f"{level}.jsonl", wanted.since, stack), wanted) for level in levels_from(wanted.level)]
        yield from heapq.merge(*levels, key=lambda line: str(line["time"]))


def _open(path: Path, since: datetime | None, stack: ExitStack) -> list[BinaryIO]:
    """The files of a level, oldest first, without those that were last written before `since`."""
    found: list[BinaryIO] = []
    # The newest first: if it is turned over meanwhile, it is found a second time, under its new name, and nothing is missed.
    for name in (path, *reversed(turned_over(path))):
        with suppress(FileNotFoundError):
            found.append(stack.enter_context(name.open("rb")))
    files: dict[tuple[int, int], BinaryIO] = {}
    for file in reversed(found):
        stat = os.fstat(file.fileno())
        if since is None or stat.st_mtime >= since.timestamp():
            files[stat.st_dev, stat.st_ino] = file
    return list(files.values())


def _lines(files: list[BinaryIO], wanted: Reading) -> Iterator[Line]:
    since = "" if wanted.since is None else wanted.since.astimezone(timezone.utc).isoformat(timespec="microseconds")[:26]
    for file in files:
        for text in file:
            try:
                found = json.loads(text)
                line = {name: found[name] for name in COLUMNS}
            except (ValueError, TypeError, KeyError):
                wanted.damaged += 1
                continue
            if (
                str(line["time"]) >= since
                and str(line["run_id"] or "").startswith(wanted.run_id)
                and (not wanted.batch_date or line["batch_date"] == wanted.batch_date)
            ):
                yield line
