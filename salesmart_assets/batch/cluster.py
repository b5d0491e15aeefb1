"""Reading landed files and writing the lake's on the machines of a Spark cluster.

The machine that started the run sends out what the ledger says of the files, and gets back what came of them and the names of
the Parquet files; no byte of an object passes through it. Nothing is visible before it commits, so a task that Spark repeats,
because a machine was lost or slow, only leaves files that nobody names, which upkeep removes. Tables are written in the same way:
Spark's own writer moves every file when a task and when the job is done, which on S3 copies it twice.
Belongs here: what is sent out and what comes back. Does not belong here: what is done with one file (`fetching`, `parsing`).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from salesmart_assets.batch.fetching import FAULTS, Fetched, fetch
from salesmart_assets.batch.parsing import Parsed, parse
from salesmart_assets.batch.platform import SCRATCH, Platform
from salesmart_assets.contracts import Contract, Tables
from salesmart_assets.contracts.tables import staging_name
from salesmart_assets.errors import AuditFailed, Permanent, Retryable, SalesmartError
from salesmart_assets.lake import Lake, NewFile, engine
from salesmart_assets.lake.files import from_json, to_json
from salesmart_assets.lake.writer import PartitionWriter
from salesmart_assets.landing.zone import connect
from salesmart_assets.ledger import File, FileResult
from salesmart_assets.settings import Settings

_ANSWER = pa.schema([pa.field("place", pa.int64())]).append(pa.field("answer", pa.string()))
_FILES = pa.schema({"files": pa.string()})
_TOLD: Mapping[str, type[SalesmartError]] = {kind.__name__: kind for kind in (*FAULTS, AuditFailed)}
_REASON_LENGTH = 300
_OURS = re.compile(r"^\s*salesmart_assets\.[\w.]+: (.+)$", re.MULTILINE)
_THERE = Path(os.devnull)
"""What a file that another machine has read leaves here."""


@dataclass(frozen=True, slots=True)
class _Places:
    """What every machine gets: where landing zone and lake are, and how they are reached; no other setting."""

    landing: str
    lake: str
    s3: Mapping[str, Any]
    tables: Tables

    @classmethod
    def of(cls, platform: Platform) -> _Places:
        settings = platform.settings
        s3 = {name: value for name, value in settings if name.startswith("s3_")}
        return cls(settings.landing, settings.lake_uri, s3, platform.tables)

    def settings(self) -> Settings:
        """Settings by which a machine reaches them."""
        return Settings.model_construct(landing=self.landing, lake=self.lake, **self.s3)


@dataclass(frozen=True, slots=True)
class _Parsing:
    """Files of a source, by their places, and the hints of `parse`."""

    places: _Places
    contract: Contract
    files: tuple[File, ...]
    hints: tuple[str | None, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Fetch and parse the files whose places come in, one after the other; runs on the cluster's machines."""
        settings = self.places.settings()
        lake, zone = Lake.open(settings, self.places.tables), connect(settings, None)
        for batch in batches:
            places: list[Any] = batch.column(0).to_pylist()
            for place in places:
                # Its own folder, gone before the next file: the disk that is needed is that of one file for each core.
                with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
                    item = fetch(zone, self.files[place], Path(folder))
                    answer = _told(item.fault) if item.fault else self._parsed(lake, item, self.hints[place])
                yield pa.RecordBatch.from_pylist([{"place": place, "answer": json.dumps(answer)}], _ANSWER)

    def _parsed(self, lake: Lake, item: Fetched, hint: str | None) -> dict[str, Any]:
        if item.content_hash is None:
            return {}
        table = lake.tables[staging_name(item.file.source)]
        try:
            parsed = parse(lake, self.contract, table, item.file, item.path, item.content_hash, hint=hint)
        except AuditFailed as error:
            return _told(error)
        return {"result": asdict(parsed.result), "staged": to_json(parsed.staged)}


def _told(error: Exception) -> dict[str, Any]:
    return {"fault": type(error).__name__, "says": str(error)}


def parse_on_cluster(platform: Platform, source: str, files: Sequence[File], hints: Sequence[str | None]) -> list[Fetched]:
    """Have files fetched and parsed by the engine's machines, each file by one of them; returns what came of each, in order.

    `hints` are those of `parse`. Raises `AuditFailed` as `parse` does, `Retryable` if the cluster gives up, and `Permanent` if its
    machines lack this package.
    """
    work = _Parsing(_Places.of(platform), platform.contracts[source], tuple(files), tuple(hints))
    count = len(files)
    try:
        # As many partitions as files: whichever core is free takes the next one.
        rows = platform.session.range(0, count, 1, count).mapInArrow(work, "place long, answer string").toArrow()
    except PySparkException as error:
        raise translated(error, platform.settings.spark) from error
    answers = {row["place"]: json.loads(row["answer"]) for row in rows.to_pylist()}
    return [_fetched(file, answers[place]) for place, file in enumerate(files)]


@dataclass(frozen=True, slots=True)
class _Writing:
    """Rows for a table."""

    places: _Places
    table: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write the rows that come in to files of their own; runs on the cluster's machines."""
        lake = Lake.open(self.places.settings(), self.places.tables)
        table = lake.tables[self.table]
        with PartitionWriter(lake, table, lake.fresh()) as writer:
            for batch in batches:
                writer.write(pa.Table.from_batches([batch]).cast(table.arrow))
        yield pa.RecordBatch.from_pylist([{"files": to_json(writer.files)}], _FILES)


def write_on_cluster(platform: Platform, rows: DataFrame, name: str) -> list[NewFile]:
    """Have rows computed and written to files of a table by the engine's machines. Raises as `parse_on_cluster`."""
    try:
        told = engine.typed(rows, platform.tables[name]).mapInArrow(_Writing(_Places.of(platform), name), "files string").toArrow()
    except PySparkException as error:
        raise translated(error, platform.settings.spark) from error
    texts: list[Any] = told["files"].to_pylist()
    return sorted((file for text in texts for file in from_json(text)), key=lambda file: file.path)


def _fetched(file: File, answer: Mapping[str, Any]) -> Fetched:
    if "fault" in answer:
        fault = _TOLD[answer["fault"]](answer["says"])
        if isinstance(fault, AuditFailed):
            raise fault
        return Fetched(file, _THERE, None, fault=fault)
    if not answer:
        return Fetched(file, _THERE, None)
    found = answer["result"]
    result = FileResult(**{**found, "header": tuple(found["header"])})
    return Fetched(file, _THERE, result.content_hash, parsed=Parsed(result, tuple(from_json(answer["staged"]))))


def translated(error: PySparkException, cluster: str) -> SalesmartError:
    """What an error of the cluster's means to people: `Permanent` if its Python lacks this package, else `Retryable`."""
    said = str(error)
    if "No module named" in said:
        missing = said.split("No module named", 1)[1].split("\n", 1)[0].strip()
        return Permanent(
            f"The Python of the cluster {cluster} lacks {missing}: install this version of salesmart on each of its machines, and say "
            "by PYSPARK_PYTHON which Python that is."
        )
    # What one of ours says on another machine comes as the last line of its stack trace; else Spark's first line has to do.
    found = _OURS.search(said)
    reason = found[1] if found else next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    return Retryable(f"The cluster {cluster} gave up: {reason[:_REASON_LENGTH]} Nothing was committed; the next run tries again.")
