"""Staging: the files of a batch become typed, contract-clean rows, and rejections.

Each staged Parquet file holds rows of one source file and says so in its name. New files are added and those of the
files they supersede are removed in one commit, so that an overwritten object is never counted twice, nor half.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from salesmart_assets.batch.fetching import Fetched, fetch
from salesmart_assets.batch.locations import Locations, locations_of
from salesmart_assets.batch.parsing import Origin, Parsed, parse
from salesmart_assets.batch.platform import SCRATCH, Platform
from salesmart_assets.batch.replay import for_mended_rows, is_replay, origin_of, still_rejected, unwrap
from salesmart_assets.batch.run import Report, Run
from salesmart_assets.contracts.tables import REJECTED_ROWS, SOURCE_OF, staging_name
from salesmart_assets.faultpoints import reach
from salesmart_assets.lake import Commit, DataFile, NewFile
from salesmart_assets.lake.committer import retrying
from salesmart_assets.lake.files import from_json
from salesmart_assets.landing.faults import StoreFault
from salesmart_assets.ledger import File, FileResult
from salesmart_assets.logs import carried

_GROUP = 16
"""Files that are fetched, parsed and committed together; bounds the disk that a large batch needs in passing."""
_SPREAD = 512
"""Those of a cluster, of which each machine holds a file for each core: so many keep all cores of a large one busy."""
_DIMENSION_OF = {source: name for name, source in SOURCE_OF.items()}


def stage(platform: Platform, source: str, run: Run) -> Report:
    """Read the batch's files of a source that are registered, and commit their rows; returns what came of them.

    A file that can't be had now, for itself alone, stays pending with the reason; the others go on.
    """
    ledger = platform.ledger
    mine = _linked(platform, source, run)
    locations = locations_of(platform)
    registered = [f for f in mine if f.status == "A" and f.stage == "registered" and f.superseded_by is None]
    waiting = [f for f in registered if not locations.awaits(f)]
    retract = [f for f in mine if f.superseded_by is not None and f.outcome != "superseded"]
    size = rows = 0
    version: int | None = None
    unread: list[str] = []
    for number, group in enumerate(_groups(waiting, _SPREAD if platform.on_cluster else _GROUP) or ([[]] if retract else [])):
        platform.say(f"{source}: reading {len(group)} of {len(waiting)} files")
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
            parsed, faults = _parse_group(platform, source, group, Path(folder), locations)
        unread += [f"{f.address}: {faults[f.file_id]}" for f in group if f.file_id in faults]
        had = [f for f in group if f.file_id not in faults]
        commit = _commit_group(platform, source, run, had, parsed, retract if number == 0 else [])
        version = commit.version
        size += sum(f.size for f in had)
        rows += commit.rows
    files = [f for f in ledger.files(source=source, batch_date=run.batch_date) if f.superseded_by is None]
    facts = {
        "files": len(files),
        "files_read_now": len(waiting) - len(unread),
        "bytes_read": size,
        "rows_read": sum(f.rows_read for f in files),
        "rows_accepted": sum(f.rows_accepted for f in files),
        "rows_rejected": sum(f.rows_rejected for f in files),
        "rows_duplicate": sum(f.rows_duplicate for f in files),
        "files_rejected": [f"{f.key}: {f.reason}" for f in files if f.outcome == "rejected"],
        "files_unread": unread,
    }
    return Report(rows=rows, bytes=size, version=version, slices=(run.batch_date.isoformat(),), facts=facts)


def _linked(platform: Platform, source: str, run: Run) -> list[File]:
    """The batch's files of a source, replays with the file whose rows they mend."""
    mine = platform.ledger.files(source=source, batch_date=run.batch_date)
    unlinked = {f.file_id: origin for f in mine if f.replay_of is None and (origin := origin_of(f.key)) is not None}
    if unlinked or any(f.replay_of is not None for f in mine):
        platform.ledger.link_replays(unlinked)
        mine = platform.ledger.files(source=source, batch_date=run.batch_date)
    return mine


def _groups(files: Sequence[File], most: int) -> list[list[File]]:
    """Files to be committed together; replays come after all others.

    Mended rows count for rows that their file, as it is read now, rejects: so that file comes first.
    """
    parts = [[f for f in files if is_replay(f.key) == replay] for replay in (False, True)]
    return [part[start : start + most] for part in parts for start in range(0, len(part), most)]


def keep_rejections(platform: Platform, run: Run) -> Report:
    """Commit the rejections of all staged files of the batch; a file's earlier rejections are replaced."""
    files = platform.ledger.files(batch_date=run.batch_date, status="A", stages=("staged",))
    # A file that stays as it was read before brings no new rejections: those it has stay as well.
    read = [f for f in files if f.rejected_files is not None]
    if not read:
        platform.ledger.rejections_kept([f.file_id for f in files])
        return Report(facts={"rows_rejected": 0})
    add = [item for f in read for item in from_json(f.rejected_files or "[]")]
    marks = {f.mark for f in read}

    def attempt() -> Commit:
        base = platform.lake.snapshot(REJECTED_ROWS.name)
        remove = [f for f in base.files if f.origin in marks and f.path not in {a.path for a in add}]
        present = {f.path for f in base.files}
        return platform.lake.committer(REJECTED_ROWS.name).commit(
            base,
            [a for a in add if a.path not in present],
            remove,
            slice_column="batch_date",
            slices={run.batch_date.isoformat()},
            run_id=run.run_id,
            lease=None,
        )

    commit = retrying(attempt)
    reach("rejections.committed")
    platform.ledger.rejections_kept([f.file_id for f in files])
    size = sum(f.size for f in add)
    return Report(rows=commit.rows, bytes=size, version=commit.version, facts={"rows_rejected": sum(f.rows for f in add)})


def _parse_group(
    platform: Platform, source: str, group: Sequence[File], folder: Path, locations: Locations
) -> tuple[list[Parsed], dict[int, str]]:
    """Fetch and parse files, several at a time; the same content counts once, for the file that was there first.

    Returns what was parsed, and by `file_id` why a file could not be read now. Raises that fault where no file can be read.
    """
    with ThreadPoolExecutor(platform.settings.workers, thread_name_prefix="parse", initializer=carried()) as pool:
        every = _fetch_group(platform, source, group, folder, locations, pool)
        fetched = [item for item in every if item.fault is None]
        faults = {item.file.file_id: str(item.fault) for item in every if item.fault is not None}
        platform.ledger.unread(faults)
        for item in every:
            if not fetched and isinstance(item.fault, StoreFault):
                raise item.fault
        copies: dict[int, File] = {}
        for item in fetched:
            # State sources may repeat: A, B, A again is three deliveries. Empty files are just empty.
            if item.content_hash is None or platform.contracts[source].is_state or item.file.size == 0 or is_replay(item.file.key):
                continue
            holder = platform.ledger.claim_content(source, item.content_hash, item.file.file_id)
            if holder != item.file.file_id:
                copies[item.file.file_id] = platform.ledger.file(holder)
        read = [item for item in fetched if item.file.file_id not in copies]
        parsed = {p.result.file_id: p for p in pool.map(lambda f: _parse(platform, source, f, locations), read)}
    for item in fetched:
        if item.file.file_id in copies:
            parsed[item.file.file_id] = _copy_of(item, copies[item.file.file_id], parsed)
    return [parsed[item.file.file_id] for item in fetched], faults


def _fetch_group(
    platform: Platform, source: str, group: Sequence[File], folder: Path, locations: Locations, pool: ThreadPoolExecutor
) -> list[Fetched]:
    """Bring files here, in order; or leave them to the cluster, where it parses. Mended rows are few, and need the ledger."""
    spread = [f for f in group if platform.on_cluster and not is_replay(f.key)]
    here = [f for f in group if f not in spread]
    every = {item.file.file_id: item for item in pool.map(lambda f: fetch(platform.zone, f, folder), here)}
    if spread:
        from salesmart_assets.batch.cluster import parse_on_cluster

        every |= {item.file.file_id: item for item in parse_on_cluster(platform, source, spread, [locations.hint(f) for f in spread])}
    return [every[f.file_id] for f in group]


def _copy_of(item: Fetched, original: File, parsed: dict[int, Parsed]) -> Parsed:
    """What becomes of a file with the same bytes as another: a duplicate if that one is loaded, else the same fate."""
    known = parsed.get(original.file_id)
    outcome = known.result.outcome if known else "loaded"
    rows = known.result.rows_read if known else original.rows_read
    if outcome != "loaded" and known is not None:
        return Parsed(replace(known.result, file_id=item.file.file_id), ())
    result = FileResult(
        item.file.file_id,
        "duplicate",
        f"file.duplicate: the same content as {original.address}, which counts",
        known.result.format if known else original.format,
        item.content_hash,
        rows_read=rows,
        rows_duplicate=rows,
        duplicate_of=original.file_id,
        rejected_files="[]",
    )
    return Parsed(result, ())


def _parse(platform: Platform, source: str, item: Fetched, locations: Locations) -> Parsed:
    file = item.file
    if item.parsed is not None:
        return item.parsed
    if item.content_hash is None:
        return _gone(file)
    table, contract = platform.tables[staging_name(source)], platform.contracts[source]
    if not is_replay(file.key):
        return parse(platform.lake, contract, table, file, item.path, item.content_hash, hint=locations.hint(file))
    if file.replay_of is None:
        reason = "file.replay: the file whose rows these are is not in this ledger; land that file, and replay what it rejects"
        return Parsed(FileResult(file.file_id, "rejected", reason, "json", item.content_hash, rejected_files="[]"), ())
    origin = platform.ledger.file(file.replay_of)
    try:
        rows = unwrap(item.path, still_rejected(platform, origin))
    except (ValueError, KeyError, TypeError):
        reason = "file.unreadable: these are no mended rows as `salesmart replay` lands them; replay them again"
        return Parsed(FileResult(file.file_id, "rejected", reason, "json", item.content_hash, rejected_files="[]"), ())
    contract = for_mended_rows(contract)
    return parse(platform.lake, contract, table, file, item.path, item.content_hash, Origin(origin.address, rows))


def _gone(file: File) -> Parsed:
    """What becomes of a file that can't be had any more: rejected if it was never read, else it stays as it was read then."""
    if file.content_hash is None or file.outcome is None:
        reason = "file.gone: the object was deleted or overwritten before it was read; land it again if it is needed"
        return Parsed(FileResult(file.file_id, "rejected", reason, None, None, rejected_files="[]"), ())
    known = FileResult(
        file.file_id,
        file.outcome,
        file.reason,
        file.format,
        file.content_hash,
        file.rows_read,
        file.rows_accepted,
        file.rows_rejected,
        file.rows_duplicate,
        file.rows_staged,
        file.duplicate_of,
        # Rejections that are in their table stay there; those that are not yet will be.
        file.rejected_files,
        tuple(json.loads(file.header or "[]")),
        file.control_sums,
    )
    return Parsed(known, (), kept=True)


def _commit_group(
    platform: Platform, source: str, run: Run, group: Sequence[File], parsed: Sequence[Parsed], retract: Sequence[File]
) -> Commit:
    """Commit what was staged and retract what is superseded, with the slices that both make stale marked before and after."""
    table = platform.tables[staging_name(source)]
    add = [f for p in parsed for f in p.staged]
    kept = {p.result.file_id for p in parsed if p.kept}
    marks = {f.mark for f in (*group, *retract) if f.file_id not in kept}
    touched: dict[str, set[str]] = {}

    def attempt() -> Commit:
        base = platform.lake.snapshot(table.name)
        remove = [f for f in base.files if f.origin in marks]
        if source == "sales":
            changed: list[NewFile | DataFile] = [*add, *remove]
            days = {d for f in changed if (d := f.value("sales_date")) is not None}
            touched["fact_sales"] = touched.get("fact_sales", set()) | days
        elif source in _DIMENSION_OF and (add or remove or (platform.contracts[source].delivery == "snapshot" and (group or retract))):
            # A snapshot says something by being there, even without a row: who is absent has left.
            touched[_DIMENSION_OF[source]] = {"all"}
        platform.ledger.touch(touched, run.batch_date)
        reach("staging.touched", table.name)
        return platform.lake.committer(table.name).commit(
            base, add, remove, slice_column="batch_date", slices={run.batch_date.isoformat()}, run_id=run.run_id, lease=None
        )

    commit = retrying(attempt)
    reach("staging.committed", table.name)
    platform.ledger.staged([p.result for p in parsed], [f.file_id for f in retract], commit.version, touched, run.batch_date)
    return commit
