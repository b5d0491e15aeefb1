"""What is logged during a sensor's tick, in the log of the tick.

Dagster takes what Python's loggers say into the log of a run (`python_logs` in `dagster.yaml`), but not into that of a tick.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from salesmart_assets.logs import current, within

_LOG = logging.getLogger("salesmart_assets")


class _ToTick(logging.Handler):
    """Passes records on that are logged in the context of one tick: a code server runs several at once."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__(logging.INFO)
        self._log = log
        self._sensor = current().step

    def emit(self, record: logging.LogRecord) -> None:
        if current().step == self._sensor:
            self._log.log(record.levelno, record.getMessage())


@contextmanager
def tick_of(sensor: str, log: logging.Logger) -> Iterator[None]:
    """What the platform logs meanwhile names the sensor, and is in its tick's `log` as well."""
    with within(step=sensor):
        handler = _ToTick(log)
        _LOG.addHandler(handler)
        try:
            yield
        finally:
            _LOG.removeHandler(handler)
