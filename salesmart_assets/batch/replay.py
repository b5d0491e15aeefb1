"""Replay: rejected rows go out to a file that people mend, and come back as objects of the landing zone.

A mended row lands in an object of its own for each file that it came in: `SOURCE/dt=DATE/replay/IDENTITY.jsonl`, with the
identity of that file in its name. So all that holds for objects holds for mended rows: they are taken by the next run, are
in the ledger, are archived, and are read again by a rebuild. A later replay of the same file lands under the same key, with
the rows of the earlier one, and supersedes it: each row counts once. When the file is superseded, its replay is, too.

Each line of the object is {"row": number in the file, "values": {column: text}}.
"""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from salesmart_assets.batch.locations import landing_place
from salesmart_assets.batch.platform import SCRATCH, Platform
from salesmart_assets.contracts import SOURCES, Contract
from salesmart_assets.contracts.tables import REJECTED_ROWS, staging_name
from salesmart_assets.errors import UsageError
from salesmart_assets.ingest.codes import explain
from salesmart_assets.ingest.json_lines import Number, Pairs, pairs_of, render
from salesmart_assets.ingest.quoting import End, scan, split
from salesmart_assets.lake.files import from_json
from salesmart_assets.landing.faults import ObjectGone
from salesmart_assets.ledger import File, Location

_KEY = re.compile(r"/dt=[0-9-]{10}/replay/([0-9a-f]{64})\.jsonl$")
_FILE, _ROW, _IDENTITY, _CODES, _MEANING, _RAW = "_source_file", "_source_row", "_identity", "_codes", "_what_is_wrong", "_raw"
_MOST = 2**31 - 1
"""Signs of one cell of an edited file."""
_BOOKKEEPING = (_FILE, _ROW, _IDENTITY, _CODES, _MEANING, _RAW)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written out: rejected rows, of how many files."""

    source: str
    rows: int
    files: int


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What came back: mended rows, the addresses they landed at, and rows whose file was replaced since."""

    rows: int
    landed: tuple[str, ...]
    outdated: int


@dataclass(frozen=True, slots=True)
class _Mended:
    """Mended rows of one file: values by column, by row number."""

    origin: File
    rows: dict[int, dict[str, str]]


def is_replay(key: str) -> bool:
    """Whether a landing key is that of mended rows."""
    return origin_of(key) is not None


def origin_of(key: str) -> str | None:
    """The identity of the file whose mended rows are at this key; None for any other object.

    >>> origin_of("landing/sales/dt=2026-03-01/replay/" + "0" * 64 + ".jsonl") == "0" * 64
    True
    """
    match_ = _KEY.search(key)
    return match_[1] if match_ else None


def still_rejected(platform: Platform, origin: File) -> frozenset[int]:
    """The numbers of the rows that a file has among the rejected ones, as it was read last."""
    if origin.superseded_by is not None:
        return frozenset()
    if origin.rejected_files is None:
        return frozenset(_of(platform, REJECTED_ROWS.name, {origin.mark}).select("source_row").collect()["source_row"].to_list())
    # They are written, but not yet in their table.
    root = platform.lake.uri(REJECTED_ROWS.name)
    paths = [f"{root}/{item.path}" for item in from_json(origin.rejected_files)]
    if not paths:
        return frozenset()
    rows = pl.scan_parquet(paths, storage_options=platform.lake.storage.options(), glob=False, hive_partitioning=False)
    return frozenset(rows.select("source_row").collect()["source_row"].to_list())


def for_mended_rows(contract: Contract) -> Contract:
    """The contract of mended rows: each is judged by itself. They are no file that one bad row, or many, could cost as a whole."""
    return contract.model_copy(update={"max_rejected_ratio": 1.0, "max_rejected_rows": None, "on_missing_column": "fill_null"})


def unwrap(path: Path, wanted: Collection[int]) -> list[int]:
    """Turn the object at `path` into plain JSON lines of its values, only of the rows `wanted`; returns their numbers in order."""
    numbers: list[int] = []
    plain = path.with_name(f"{path.name}.plain")
    with path.open("rb") as lines, plain.open("w", encoding="utf-8") as into:
        for line in lines:
            item = json.loads(line)
            if item["row"] in wanted:
                numbers.append(item["row"])
                into.write(json.dumps(item["values"], ensure_ascii=False) + "\n")
    plain.replace(path)
    return numbers


def replayed_rows(platform: Platform, source: str | None = None, batch_date: date | None = None) -> pl.DataFrame:
    """Which rejected rows were mended and read again: `origin` (file_id of the file they came in) and `source_row`."""
    found: list[pl.DataFrame] = []
    for each in SOURCES if source is None else (source,):
        files = platform.ledger.files(source=each, batch_date=batch_date, live_only=True)
        replays = {f.mark: f for f in files if f.replay_of is not None and f.outcome == "loaded"}
        for table in (staging_name(each), REJECTED_ROWS.name) if replays else ():
            rows = _of(platform, table, replays.keys()).select("file_id", "source_row").collect()
            origins = {f.file_id: f.replay_of for f in replays.values()}
            found.append(rows.select(pl.col("file_id").replace_strict(origins, return_dtype=pl.Int64).alias("origin"), "source_row"))
    return pl.concat(found).unique() if found else pl.DataFrame(schema={"origin": pl.Int64, "source_row": pl.Int64})


def write_out(platform: Platform, out: Path, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write rejected rows, as `rejections.rejected_rows` gives them, as a CSV file that people can edit.

    Columns: where a row came from and what is wrong with it (names that begin with `_`; to be left alone), then the
    columns of the contract and those that the files have besides, with the texts as they were delivered. A row whose text
    can't be split into the file's columns has it in `_raw` alone.
    """
    sources = sorted({str(row["source"]) for row in rows})
    if not rows:
        raise UsageError("No such row is rejected, so there is nothing to mend: `salesmart rejects` lists those that are.")
    if len(sources) > 1:
        raise UsageError(f"There are rejected rows of {', '.join(sources)}: name one with --source, for each has columns of its own.")
    contract = platform.contracts[sources[0]]
    held = {file_id: platform.ledger.file(file_id) for file_id in {int(row["file_id"]) for row in rows}}
    # The rows of a replay came in the file that it mends.
    files = {n: f if f.replay_of is None else platform.ledger.file(f.replay_of) for n, f in held.items()}
    headers = {n: tuple(json.loads(f.header or "[]")) for n, f in held.items()}
    extras = sorted({name for header in headers.values() for name in _extra_names(header, contract)})
    columns = [*contract.columns, *extras]
    scratch = out.with_name(f"{out.name}.part")
    with scratch.open("w", encoding="utf-8-sig", newline="") as handle:
        # Rows may hold personal data.
        scratch.chmod(0o600)
        writer = csv.writer(handle, quoting=csv.QUOTE_ALL)
        writer.writerow([*_BOOKKEEPING[:-1], *columns, _RAW])
        for row in rows:
            file = files[int(row["file_id"])]
            values = _values(str(row["raw"]), headers[int(row["file_id"])], contract)
            wrong = " ".join(_explained(code, contract) for code in str(row["codes"]).split(","))
            where = (file.address, row["source_row"], file.identity, row["codes"], wrong)
            writer.writerow([*where, *(values.get(c, "") for c in columns), "" if values else row["raw"]])
    scratch.replace(out)
    return Written(sources[0], len(rows), len(files))


def take_back(platform: Platform, path: Path) -> TakenBack:
    """Land the mended rows of a file that `write_out` wrote and people edited; the next run loads them.

    Rows that were taken out of the file stay rejected. Raises `UsageError` with the line for what can't be understood.
    """
    mended, outdated = _read(platform, path)
    places = {source: landing_place(platform, source) for source in {item.origin.source for item in mended.values()}}
    landed = []
    for item in mended.values():
        origin = item.origin
        assert origin.batch_date is not None
        name = f"replay/{origin.identity}.jsonl"
        place = places[origin.source]
        rows = {**_earlier(platform, origin, place), **item.rows}
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
            scratch = Path(folder, "rows.jsonl")
            with scratch.open("w", encoding="utf-8") as handle:
                handle.writelines(json.dumps({"row": n, "values": rows[n]}, ensure_ascii=False) + "\n" for n in sorted(rows))
            key = platform.zone.put(scratch, origin.source, origin.batch_date, name, bucket=place.bucket, prefix=place.prefix)
        landed.append(f"s3://{place.bucket}/{key}")
    return TakenBack(sum(len(item.rows) for item in mended.values()), tuple(sorted(landed)), outdated)


def _of(platform: Platform, table: str, marks: Collection[str]) -> pl.LazyFrame:
    """The rows of a staged table that are of some files, by their marks."""
    return platform.lake.snapshot(table).where(lambda f: f.origin in marks).scan()


def _explained(code: str, contract: Contract) -> str:
    try:
        return explain(code, contract)
    except KeyError:
        # A rule that the contract has no more.
        return code


def _extra_names(header: Sequence[str], contract: Contract) -> list[str]:
    spellings = contract.spellings()
    return [name for name in header if name.strip() and name.strip().lower() not in spellings and name not in _BOOKKEEPING]


def _values(raw: str, header: Sequence[str], contract: Contract) -> dict[str, str]:
    """The texts of a rejected row by column: of the contract by its name, of others by theirs; nothing where they can't be told."""
    spellings = contract.spellings()

    def named(name: str) -> str:
        return spellings.get(name.strip().lower(), name)

    if raw.lstrip(" \t").startswith("{"):
        pairs = pairs_of(raw) or Pairs()
        texts = {named(name): _text(value, named(name), contract) for name, value in pairs}
        # Which one of two values of a column is right, nobody knows.
        return texts if len(texts) == len(pairs) else {}
    record, delimiter = raw.encode(), contract.delimiter.encode()
    found = scan(record, delimiter)
    if found.end is not End.COMPLETE or found.values != len(header):
        return {}
    return {named(name): value.decode() for name, value in zip(header, split(record, delimiter), strict=True)}


def _text(value: Any, column: str, contract: Contract) -> str:
    """A JSON value as the text that a CSV file of the contract would have."""
    if value is None:
        return ""
    if isinstance(value, Number):
        known = contract.columns.get(column)
        numeric = known is not None and (known.column_type.decimal or known.type == "integer")
        return value.replace(".", contract.decimal_sign) if numeric else str(value)
    return value if isinstance(value, str) else render(value)


def _read(platform: Platform, path: Path) -> tuple[dict[str, _Mended], int]:
    """The mended rows of an edited file, by the identity of the file they came in; and how many are of files that were replaced."""
    mended: dict[str, _Mended] = {}
    open_rows: dict[str, frozenset[int]] = {}
    outdated = 0
    for line, row in _lines(path):
        place = f"{path.name}, line {line}"
        identity, number = row[_IDENTITY].strip(), row[_ROW].strip()
        if not re.fullmatch(r"[0-9a-f]{64}", identity) or not re.fullmatch(r"[0-9]+", number):
            raise UsageError(f"{place}: {_IDENTITY} and {_ROW} say which row this is and must stay as they were written.")
        if identity not in mended:
            origin = platform.ledger.by_identity(identity)
            if origin is None or origin.batch_date is None:
                raise UsageError(f"{place}: no file of this ledger has that {_IDENTITY}. Was the file written from another SALESMART_HOME?")
            mended[identity] = _Mended(origin, {})
            open_rows[identity] = still_rejected(platform, origin)
        item = mended[identity]
        if item.origin.superseded_by is not None:
            outdated += 1
        elif int(number) not in open_rows[identity]:
            raise UsageError(f"{place}: row {number} of {item.origin.address} is not among the rejected rows; take the line out.")
        elif int(number) in item.rows:
            raise UsageError(f"{place}: row {number} of {item.origin.address} is here twice; keep one of the lines.")
        else:
            contract = platform.contracts[item.origin.source]
            values = {k: v for k, v in row.items() if k not in _BOOKKEEPING}
            given = {k: v for k, v in values.items() if k in contract.columns or v}
            foreign = sorted(k for k in given if k.lower() not in contract.spellings())
            if foreign and contract.on_extra_column == "reject_file":
                raise UsageError(f"{place}: the contract does not name the column {foreign[0]}, and takes no other; take it out.")
            item.rows[int(number)] = given
    return {k: v for k, v in mended.items() if v.rows}, outdated


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of an edited file, with the line on which each ends: what spreadsheets write is understood, whatever the delimiter."""
    # A rejected row may be as long as any row, where the module's own limit is 128 KiB.
    csv.field_size_limit(_MOST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            first = handle.readline()
            delimiter = max(",;\t", key=first.count)
            handle.seek(0)
            reader = csv.reader(handle, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            twice = sorted({name for name in header if name and header.count(name) > 1})
            if twice:
                raise UsageError(f"{path.name}, line 1: the column {twice[0]} is here twice; keep one of them.")
            missing = [name for name in (_IDENTITY, _ROW) if name not in header]
            if missing:
                raise UsageError(
                    f"{path.name}, line 1: there is no column {missing[0]}. Take back a file that `salesmart replay --out` wrote."
                )
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise UsageError(f"{path.name}, line {reader.line_num}: {len(cells)} values for {len(header)} columns.")
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except FileNotFoundError:
        raise UsageError(f"{path} is no file: nothing was taken back.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is not UTF-8: save it as `CSV UTF-8`.") from None
    except csv.Error as error:
        raise UsageError(f"{path.name} is no CSV file that can be read: {error}.") from None


def _earlier(platform: Platform, origin: File, place: Location) -> dict[int, dict[str, str]]:
    """The rows that earlier replays of a file brought: from the object that waits, or from where the ledger says the last one is."""
    key = f"{place.prefix}dt={origin.batch_date}/replay/{origin.identity}.jsonl"
    known = [f for f in platform.ledger.replays_of(origin.file_id) if f.superseded_by is None]
    for bucket, earlier in ((place.bucket, key), *((f.bucket, f.current_key) for f in known)):
        try:
            body = platform.zone.read(earlier, bucket=bucket)
        except ObjectGone:
            continue
        with body:
            items = [json.loads(line) for line in body.iter_lines()]
        return {item["row"]: item["values"] for item in items}
    return {}
