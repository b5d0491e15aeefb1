"""Is everything there? Every setting, and whether each part answers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from pydantic import SecretStr

from salesmart_assets.alerts.tell import Alerts
from salesmart_assets.batch.locations import locations_of
from salesmart_assets.batch.platform import Platform
from salesmart_assets.errors import SalesmartError, UsageError
from salesmart_assets.publish.bulk import bulk_load_method
from salesmart_assets.publish.database import describe
from salesmart_assets.settings import PREFIX, Settings

_MASK = "********"
_DATABASES = ("database_url", "ledger_url", "dagster_url")
"""Of these all but the password is shown: it says where the data is."""
_TOKEN = re.compile(r"(?<=;token=)[^;]+", re.IGNORECASE)
"""What a Spark Connect server asks for, in its address."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the installation and what it says of itself."""

    name: str
    ok: bool
    says: str


def settings_table(settings: Settings) -> list[dict[str, object]]:
    """Every setting: its variable, its value with secrets masked, and what it means."""
    rows: list[dict[str, object]] = []
    for name, item in type(settings).model_fields.items():
        value = getattr(settings, name)
        if settings.is_secret(name) and value:
            secret = value.get_secret_value() if isinstance(value, SecretStr) else ""
            value = describe(secret) if name in _DATABASES and secret else _MASK
        elif isinstance(value, tuple):
            value = "; ".join(entry if isinstance(entry, str) else _pairs(entry.model_dump()) for entry in value)
        elif isinstance(value, dict):
            value = _pairs(value)
        rows.append(
            {"setting": PREFIX + name.upper(), "value": "" if value is None else _TOKEN.sub(_MASK, str(value)), "meaning": item.description}
        )
    return rows


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def examine(settings: Settings) -> Iterator[Part]:
    """Ask each part in turn; a part that does not answer says why."""
    with Platform(settings) as platform:
        parts: dict[str, Callable[[Platform], str]] = {
            "home": _home,
            "contracts": lambda p: f"{len(p.contracts)} contracts, {len(tuple(p.tables))} tables",
            "landing zone": _landing,
            "lake": _lake,
            "ledger": ledger_part,
            "database": _database,
            "engine": _engine,
            "java": _java,
            "alerts": _alerts,
        }
        for name, ask in parts.items():
            try:
                yield Part(name, True, _TOKEN.sub(_MASK, ask(platform)))
            except (SalesmartError, sa.exc.SQLAlchemyError, OSError) as error:
                yield Part(name, False, _TOKEN.sub(_MASK, str(error).splitlines()[0]))


def _home(platform: Platform) -> str:
    root = platform.settings.root
    root.mkdir(parents=True, exist_ok=True)
    probe = root / f"probe-{uuid.uuid4().hex}"
    probe.touch()
    probe.unlink()
    free = shutil.disk_usage(root).free
    return f"{root} can be written to, {free / 1e9:.0f} GB free"


def _landing(platform: Platform) -> str:
    zone = platform.zone
    archive = platform.settings.archive
    locations = locations_of(platform)
    for reason in locations.refused.values():
        raise UsageError(reason)
    buckets = sorted({location.bucket for location in locations.used})
    for location in locations.used:
        zone.check(location.bucket, location.prefix)
    safe = [bucket for bucket in buckets if archive == "always" or (archive == "auto" and zone.can_archive_safely(bucket))]
    where = f"{platform.settings.landing} answers" if buckets == [zone.bucket] else f"{', '.join(buckets)} answer"
    kept = "are archived" if safe == buckets else f"of {', '.join(safe)} are archived" if safe else "stay where they are"
    return f"{where}; finished objects {kept}"


def _lake(platform: Platform) -> str:
    """Whether two writers can be told apart: the second commit of the same version must be refused."""
    uri = f"{platform.lake.root}/probe-{uuid.uuid4().hex}"
    storage = platform.lake.storage.options()
    table = platform.tables["rejected_rows"]
    first = DeltaTable.create(uri, schema=table.arrow, storage_options=storage)
    late = DeltaTable(uri, storage_options=storage)
    quiet = CommitProperties(max_commit_retries=0)
    try:
        first.alter.set_table_description("first", commit_properties=quiet)
        try:
            late.alter.set_table_description("late", commit_properties=quiet)
        except CommitFailedError:
            return f"{platform.lake.root} answers; conditional put holds: a late commit is refused"
        raise SalesmartError(f"{platform.lake.root} lets two writers commit the same version: use a store with conditional put.")
    finally:
        platform.lake.filesystem.delete_dir(uri.removeprefix("s3://"))


def ledger_part(platform: Platform) -> str:
    """What the ledger says of itself. Raises `UsageError` if it is not that of the lake."""
    files = platform.ledger.files()
    if not files and (last := platform.last_number()):
        raise UsageError(platform.told_of_empty_ledger(last))
    waiting = sum(f.status == "A" for f in files)
    slices = len(platform.ledger.pending())
    return f"{describe(platform.settings.ledger_database_url)}: {len(files)} files, {waiting} not finished, {slices} slices pending"


def _database(platform: Platform) -> str:
    published = platform.publisher.published()
    method = {"load_data": "LOAD DATA LOCAL INFILE", "insert": "multi-row INSERT"}[bulk_load_method(platform.marts)]
    return f"{describe(platform.settings.marts_url)}: tables can be made, bulk load by {method}, {len(published)} slices published"


def _engine(platform: Platform) -> str:
    version = platform.session.sql("select 1 as one").collect()[0]["one"]
    return f"{platform.settings.spark} answers ({version})"


def _java(platform: Platform) -> str:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        if platform.settings.spark.startswith(("local", "spark://")):
            raise SalesmartError("Apache Spark needs Java 17 or newer, and there is none: install it or set SALESMART_SPARK=sail.")
        return "not there, and not needed by this engine"
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    lines = (answer.stderr or answer.stdout).splitlines()
    return lines[0] if lines else java


def _alerts(platform: Platform) -> str:
    with Alerts(platform.settings) as alerts:
        if not alerts.channels:
            return "nobody is told: no channel is set"
        told = "; ".join(f"{channel.name} to {channel.to}" for channel in alerts.channels)
        return f"{told}. {len(alerts.book.open_causes())} causes are open, {alerts.book.undelivered()} messages wait"
