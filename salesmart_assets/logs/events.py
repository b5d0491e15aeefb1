"""What an event says to machines, beside the sentence that it says to people."""

from __future__ import annotations

import logging
from dataclasses import dataclass

_NAME = "salesmart"


@dataclass(frozen=True, slots=True)
class Event:
    """An event by its name, such as `step.ended`, and its measures: how long it took, rows and bytes; None where there are none.

    `shown`: what a person at the terminal reads in place of the message, where that leaves out what may quote a row.
    """

    name: str = ""
    seconds: float | None = None
    rows: int | None = None
    bytes: int | None = None
    shown: str = ""


def as_event(
    name: str,
    *,
    seconds: float | None = None,
    rows: int | None = None,
    bytes: int | None = None,  # noqa: A002 (the name of the column)
    shown: str = "",
) -> dict[str, object]:
    """An event as `logging` takes it along: `log.info(…, extra=as_event("step.ended", seconds=1.2))`."""
    return {_NAME: Event(name, seconds, rows, bytes, shown)}


def event_of(record: logging.LogRecord) -> Event:
    """The event that a record tells; one without a name where it is a sentence and no more."""
    found = getattr(record, _NAME, None)
    return found if isinstance(found, Event) else Event()
