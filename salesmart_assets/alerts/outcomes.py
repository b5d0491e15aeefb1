"""How a run ended, as far as people are told of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step that failed. `error`: class of the first cause. `own`: whether the text is one of salesmart's own, which quote no row."""

    step: str
    error: str
    text: str
    own: bool

    @property
    def without_data(self) -> str:
        """What may be written to logs and messages: an unexpected error is only named."""
        return self.text if self.own else f"{self.error or 'An unexpected error'}: the run's page has the details."


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check that failed and is no mere warning, and the sentence that says what it found."""

    asset: str
    name: str
    sentence: str
    blocking: bool


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The end of a run.

    `batch_dates`: oldest first, such as those of a month that is rebuilt; none where it had none. `job` is empty for a job
    that loads or rebuilds batches whole, else its name. `seconds` is None where it never began.
    """

    run_id: str
    batch_dates: tuple[str, ...]
    succeeded: bool
    job: str = ""
    seconds: float | None = None
    failures: tuple[StepFailure, ...] = ()
    checks: tuple[FailedCheck, ...] = ()

    @property
    def what(self) -> str:
        """What ran, in words."""
        dates = self.batch_dates
        span = "" if not dates else dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        if self.job:
            return f"run of {self.job}{f' for {span}' if span else ''}"
        return f"batch{'es' if len(dates) > 1 else ''} {span}" if span else "run without a batch date"

    def why(self, *, with_data: bool) -> str:
        """Why it failed, on one line; empty if it did not. One cause may stop several steps: it is told once, with the first."""
        if self.succeeded:
            return ""
        told: dict[str, str] = {}
        for failure in self.failures:
            told.setdefault(failure.text if with_data else failure.without_data, f"{failure.step}: " if failure.step else "")
        return "; ".join(f"{step}{text}" for text, step in list(told.items())[:3]) or "the run failed"
