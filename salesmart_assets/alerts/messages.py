"""Messages: what is sent, once for all the causes of a kind that were found at one look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from salesmart_assets.alerts.causes import MANY, Cause, Kind

_NAMED = 20
"""Causes that are told one by one in a text; the rest is counted."""
_TAKEN_ALONG = 100
_MOST_TEXT = 2_000
"""Characters of what is said of one cause: a reason may name every column of a file."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, the same for every channel.

    `count`: of all its causes, of which `causes` has the first hundred. `made_at` is in UTC, `ui` is the address of Dagster's pages.
    """

    kind: Kind
    count: int
    causes: tuple[Cause, ...]
    made_at: str
    ui: str

    @property
    def title(self) -> str:
        """One line: of the one cause, or how many there are."""
        title = self.causes[0].title if self.count == 1 else f"{self.count} {MANY[self.kind]}"
        return " ".join(title.split())

    def link(self, cause: Cause) -> str:
        """Where to look: the run's page, or the first page where it is no run's."""
        return f"{self.ui}/runs/{cause.run_id}" if cause.run_id else self.ui

    @property
    def text(self) -> str:
        """What happened, where, what to do, and a link, in plain text."""
        parts = [
            f"{cause.title}\n\nWhat happened: {cause.what}\nWhere: {cause.where}\nWhat to do: {cause.todo}\nLook: {self.link(cause)}"
            for cause in self.causes[:_NAMED]
        ]
        if self.count > _NAMED:
            parts.append(f"And {self.count - _NAMED} more: `salesmart status` and `salesmart logs --level error` list them.")
        return "\n\n\n".join(parts)

    def as_json(self) -> dict[str, object]:
        """The message for programs."""
        causes = [{**asdict(cause), "link": self.link(cause)} for cause in self.causes]
        said = {"kind": self.kind, "title": self.title, "text": self.text, "time": self.made_at}
        return {"from": "salesmart", **said, "count": self.count, "causes": causes}

    def kept(self) -> str:
        """The message as text, to be read by `again`."""
        return json.dumps(asdict(self))


def again(text: str) -> Message:
    """A message that was kept."""
    known = json.loads(text)
    return Message(**{**known, "causes": tuple(Cause(**cause) for cause in known["causes"])})


def grouped(causes: Sequence[Cause], made_at: datetime, ui: str) -> list[Message]:
    """One message for the causes of each kind, in the order in which they were found."""
    kinds: dict[Kind, list[Cause]] = {}
    for cause in causes:
        what = cause.what if len(cause.what) <= _MOST_TEXT else f"{cause.what[:_MOST_TEXT]}…"
        kinds.setdefault(cause.kind, []).append(replace(cause, what=what))
    made = made_at.isoformat(timespec="seconds")
    return [Message(kind, len(mine), tuple(mine[:_TAKEN_ALONG]), made, ui) for kind, mine in kinds.items()]
