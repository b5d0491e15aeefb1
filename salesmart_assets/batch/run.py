"""What a step is asked to do, and what it says it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

RESTATED = "restated_months"
"""Under this name a step reports the months, by their first days, whose figures were told before and now are others."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a batch: `rebuild` reads its files again, else only what is pending is taken.

    `others` are batch dates that the same run rebuilds with it: what they touch together is computed once.
    """

    batch_date: date
    run_id: str
    rebuild: bool = False
    others: tuple[date, ...] = ()

    @property
    def dates(self) -> frozenset[str]:
        """All batch dates of the run, as the tables' partitions have them."""
        return frozenset(day.isoformat() for day in (self.batch_date, *self.others))


@dataclass(frozen=True, slots=True)
class Report:
    """What a step did, for people: rows and bytes written, and more facts by name."""

    rows: int = 0
    bytes: int = 0
    version: int | None = None
    slices: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
