"""Telling whoever watches a run in this process which step begins and ends; nobody has to watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step of a batch that begins (`seconds` is None) or has ended."""

    step: str
    batch_date: str
    seconds: float | None = None
    rows: int = 0


_listeners: list[Callable[[StepEvent], None]] = []


@contextmanager
def listening(callback: Callable[[StepEvent], None]) -> Iterator[None]:
    """Call `callback` with each event of the steps that run in this process meanwhile."""
    _listeners.append(callback)
    try:
        yield
    finally:
        _listeners.remove(callback)


def emit(event: StepEvent) -> None:
    """Tell all listeners."""
    for callback in tuple(_listeners):
        callback(event)
