"""Where an event happens: the run, the batch date and the step that every line of the log names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the place at which something happens; empty where it is in no run, no batch or no step."""

    run_id: str = ""
    batch_date: str = ""
    step: str = ""


_NOWHERE = Context()
_context: ContextVar[Context] = ContextVar("salesmart_log", default=_NOWHERE)


def current() -> Context:
    """The context of the calling thread."""
    return _context.get()


@contextmanager
def within(**known: str) -> Iterator[None]:
    """What is logged meanwhile carries `run_id`, `batch_date` or `step`.

    >>> with within(run_id="r1", batch_date="2026-08-01"), within(step="fact_sales"):
    ...     current()
    Context(run_id='r1', batch_date='2026-08-01', step='fact_sales')
    """
    before = _context.set(replace(_context.get(), **known))
    try:
        yield
    finally:
        _context.reset(before)


def carried() -> Callable[[], None]:
    """What makes a thread of a pool log as the thread that asks: to be given to the pool as its initializer."""
    here = _context.get()

    def take_over() -> None:
        _context.set(here)

    return take_over
