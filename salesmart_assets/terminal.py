"""What people see in a terminal: tables, plans, progress and summaries; and JSON for machines, with nothing else around it.

Everything that is not the answer itself goes to standard error, so that a pipe gets only the answer. Colour is left out
where the output is no terminal or `NO_COLOR` is set.
"""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from io import StringIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from rich.text import Text

from salesmart_assets.logs import current, event_of

Row = Mapping[str, object]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def plain(value: object) -> object:
    """A value as JSON has it: decimals, dates and times as text."""
    if isinstance(value, (Decimal, date)):
        return value.isoformat() if isinstance(value, date) else format(value, "f")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def print_json(rows: Iterable[Row]) -> None:
    """One JSON array of objects on standard output."""
    sys.stdout.write("[")
    for number, row in enumerate(rows):
        sys.stdout.write(",\n" if number else "\n")
        sys.stdout.write(json.dumps({k: plain(v) for k, v in row.items()}, ensure_ascii=False))
    sys.stdout.write("\n]\n")


def print_csv(rows: Iterable[Row], columns: Sequence[str]) -> None:
    """CSV with a header on standard output; NULL is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row[c] is None else plain(row[c]) for c in columns])


def print_log(lines: Iterable[Row]) -> None:
    """Lines of the log for people, on standard output: time, level, batch date, step where it is not in the words, and what was said."""
    for line in lines:
        step = "" if str(line["step"]) in str(line["message"]) else line["step"]
        place = "  ".join(str(part) for part in (line["batch_date"], step) if part)
        text = Text(f"{str(line['time'])[:19].replace('T', ' ')}  {line['level']!s:<7}  {place}{'  ' if place else ''}{line['message']}")
        out.print(text, style={"error": "red", "warning": "yellow"}.get(str(line["level"]), ""))


def table(rows: Sequence[Row], columns: Sequence[str], *, title: str = "", most: int | None = None) -> RichTable:
    """Rows as a table for people: numbers to the right with thousands separated, NULL as a dash."""
    grid = RichTable(title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    numeric = {c for c in columns if any(isinstance(r[c], (int, Decimal, float)) and not isinstance(r[c], bool) for r in rows)}
    for c in columns:
        grid.add_column(c, justify="right" if c in numeric else "left", overflow="fold", no_wrap=c in numeric)
    for row in rows[:most]:
        grid.add_row(*(cell(c, row[c]) for c in columns))
    if most is not None and len(rows) > most:
        grid.caption = f"… and {len(rows) - most:,} more"
        grid.caption_justify = "left"
    return grid


def cell(column: str, value: object) -> Text:
    """One value for people. Identifiers are not numbers to be read aloud, so they get no separators."""
    if value is None or value == "":
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int):
        return Text(str(value) if column.endswith(("_id", "_key", "_row")) else f"{value:,}")
    if isinstance(value, Decimal):
        return Text(f"{value:,f}")
    if isinstance(value, datetime):
        return Text(value.strftime("%Y-%m-%d %H:%M:%S"))
    text = str(value)
    return Text(text, style=_STYLES.get(text, ""))


_STYLES = {
    "loaded": "green",
    "rejected": "yellow",
    "duplicate": "cyan",
    "superseded": "dim",
    "empty": "dim",
    "given_up": "red",
    "A": "yellow",
}


def print_table(rows: Sequence[Row], columns: Sequence[str], *, title: str = "", most: int | None = None) -> None:
    """A table for people on standard output. In a pipe it is as wide as it needs to be, without blanks at the ends of lines."""
    grid = table(rows, columns, title=title, most=most)
    if out.is_terminal:
        out.print(grid)
        return
    drawn = StringIO()
    widest = sum(max([len(c), *(len(str(cell(c, r[c]))) for r in rows)]) + 2 for c in columns)
    Console(file=drawn, highlight=False, no_color=True, width=max(widest, len(title)) + 2).print(grid)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines()))


def progress() -> Progress:
    """A progress bar on standard error; silent where that is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


class _Narration(logging.Handler):
    """Prints what a logger says, for people: warnings in yellow, errors in red."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        err.print(event_of(record).shown or record.getMessage(), style=style, markup=False)


@contextmanager
def narrated(*loggers: str) -> Iterator[None]:
    """What the loggers of these names, and those below them, say meanwhile is printed on standard error."""
    tellers, handler = [logging.getLogger(name) for name in loggers], _Narration(logging.INFO)
    for teller in tellers:
        teller.addHandler(handler)
    try:
        yield
    finally:
        for teller in tellers:
            teller.removeHandler(handler)


class _Steps(logging.Handler):
    """Moves a progress bar with the steps that the log tells of."""

    def __init__(self, bar: Progress, batch: str, steps: int) -> None:
        super().__init__(logging.INFO)
        self._bar, self._batch = bar, batch
        self._task = bar.add_task(batch, total=steps)

    def emit(self, record: logging.LogRecord) -> None:
        event = event_of(record).name
        if event == "step.started":
            self._bar.update(self._task, description=f"{self._batch}  {current().step:<22}")
        elif event == "step.ended":
            self._bar.advance(self._task)


@contextmanager
def steps_shown(batch: str, steps: int) -> Iterator[None]:
    """A progress bar over the steps of a batch that run in this process meanwhile."""
    log = logging.getLogger("salesmart_assets")
    with progress() as bar:
        handler = _Steps(bar, batch, steps)
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)


def size(number: float) -> str:
    """Bytes for people.

    >>> size(1_234_567)
    '1.2 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
