"""The log: one stream of events, told with Python's `logging` under the package's name.

Who listens decides what becomes of an event: files for machines (`files`), the terminal for people (`salesmart_assets.terminal`),
and Dagster, which takes the same events into the log of a run (`python_logs` in `dagster.yaml`).
Belongs here: what every line carries, how lines are kept, and how they are read again. Does not belong here: any message.
"""

from salesmart_assets.logs.context import Context, carried, current, within
from salesmart_assets.logs.events import Event, as_event, event_of
from salesmart_assets.logs.files import COLUMNS, LEVELS, keep, levels_from
from salesmart_assets.logs.read import Reading, read

__all__ = [
    "COLUMNS",
    "LEVELS",
    "Context",
    "Event",
    "Reading",
    "as_event",
    "carried",
    "current",
    "event_of",
    "keep",
    "levels_from",
    "read",
    "within",
]
