"""Dagster's history of one machine, in SQLite as Dagster keeps it, by connections that are kept.

Dagster's own storage makes an engine for each look at a database, so each statement is compiled anew, and each connection
that is closed writes its log back: of a small batch, that took a sixth of the time. Files and tables are Dagster's, so either
storage goes on where the other one stopped. Belongs here: how long connections live. Does not belong here: what is stored.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import (
    DagsterSqliteStorage,
    _event_logs_directory,
    _runs_directory,
    _schedule_directory,
)
from dagster._serdes import ConfigurableClassData
from dagster._utils import mkdir_p

_WAIT_SECONDS = 60
"""So long a process waits for another one that writes."""
_SHARDS = 8
"""Databases of so many runs have their engines at hand."""


class LocalHistory(DagsterSqliteStorage):
    """Dagster's storage of one machine; `base_dir` is the folder of the instance."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        mkdir_p(base_dir)
        self.base_dir = base_dir
        self._run_storage = Runs.from_local(_runs_directory(base_dir))
        self._event_log_storage = Events(_event_logs_directory(base_dir))
        self._schedule_storage = SqliteScheduleStorage.from_local(_schedule_directory(base_dir))
        self._inst_data = inst_data
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> LocalHistory:
        return cls(config_value["base_dir"], inst_data)


class Runs(SqliteRunStorage):
    """The runs and their states."""

    @cached_property
    def _engine(self) -> sa.Engine:
        return sa.create_engine(self._conn_string, connect_args={"timeout": _WAIT_SECONDS})

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        self._engine.dispose()
        super().dispose()


class Events(SqliteEventLogStorage):
    """The events: a database for each run, and an index over those of assets and checks."""

    def __init__(self, base_dir: str) -> None:
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        super().__init__(base_dir)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        if shard not in self._initialized_dbs:
            # Makes the database where there is none.
            with super()._connect(shard):
                pass
        with self._db_lock, self._engine(shard).begin() as connection:
            yield connection

    def _engine(self, shard: str) -> sa.Engine:
        """The engine of the index, or of a run, with the lock held."""
        if shard not in self._engines:
            # Who watches a run sees its file change only when a connection is closed, so those to a run are.
            kept = sa.QueuePool if shard == INDEX_SHARD_NAME else sa.NullPool
            self._engines[shard] = sa.create_engine(
                self.conn_string_for_shard(shard), poolclass=kept, connect_args={"timeout": _WAIT_SECONDS}
            )
        self._engines.move_to_end(shard)
        if len(self._engines) > _SHARDS + 1:
            oldest = next(name for name in self._engines if name != INDEX_SHARD_NAME)
            self._engines.pop(oldest).dispose()
        return self._engines[shard]

    def dispose(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()
        super().dispose()
