"""Alerts: one message for each cause, to people who do not watch.

A cause is opened once, told once, and closed when it is no longer so; only then can it be told again. What is open and what
is still to be delivered is kept in the home, so that neither a retry nor a restart tells anything twice.
Belongs here: what is a cause, what is said of it, and how that reaches people. Does not belong here: Dagster.
"""

from salesmart_assets.alerts.outcomes import FailedCheck, RunOutcome, StepFailure

__all__ = ["FailedCheck", "RunOutcome", "StepFailure"]
