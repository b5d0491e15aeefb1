"""Fuzzing of the ingestion kernel, guided by the code that each input reaches.

    python -m salesmart_assets_tests.fuzz.kernel --seconds 60

An input is a few bytes that choose the contract, the object's name and the size of a block, and then the file. What must
hold for every file is in `check`; an input for which it does not is kept in the corpus folder as `crash-…`. It begins
with the files of the tests' corpus. Belongs here: the target. Does not belong here: files with a known outcome.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["salesmart_assets.ingest"]):
        from salesmart_assets.ingest.kernel import FileReader, accepted_schema
else:
    from salesmart_assets.ingest.kernel import FileReader, accepted_schema

import pyarrow as pa

from salesmart_assets.contracts import Contract, load_contracts
from salesmart_assets_tests.ingest.corpus import CASES, contract_with

NAMES = ("a.csv", "a.jsonl", "a.parquet", "a", "a.csv.gz")
BLOCKS = (1, 3, 16, 64, 300, 1 << 12, 1 << 20)
CONTRACTS: tuple[Contract, ...] = (
    contract_with({}),
    contract_with({"delimiter": ";", "decimal_sign": ",", "on_missing_column": "fill_null"}),
    contract_with({"encoding": "cp1252", "on_extra_column": "drop"}),
    contract_with({"encoding": "utf-16-le", "delimiter": "\t"}),
    contract_with(
        {
            "columns": {
                "store_id": {"default": "5"},
                "total_cost": {"compute": "price * quantity"},
                "sales_date": {"date_formats": ["%m/%d/%Y %H:%M", "%Y%m%d", "%d %b %y"], "min": "2000-01-01"},
                "product_name": {"pattern": "[^!]*", "nullable": "true", "required": "false", "default": "x"},
                "moment": {"type": "timestamp", "description": "A moment."},
                "flag": {"type": "boolean", "description": "A truth.", "values": ["true"]},
                "big": {"type": "decimal(38,10)", "description": "A large number.", "max": "1000000000000"},
                "ratio": {"type": "decimal(38,38)", "description": "A small number.", "compute": "price / quantity"},
            }
        }
    ),
    contract_with({"rules": [], "on_extra_column": "reject_file", "max_rejected_rows": "3", "max_rejected_ratio": "0.5"}),
    load_contracts()["customers"],
    load_contracts()["sales_team"],
)
CHOICES = 3
"""Bytes at the beginning of an input that choose."""
MOST_BYTES = 1 << 15


class Broken(AssertionError):
    """Something that must hold for every file does not."""


def read(path: Path, name: str, contract: Contract, block_bytes: int) -> tuple[pa.Table, list[tuple[int, str, str]], tuple[object, ...]]:
    """The accepted rows, the rejections and the summary of a file, after looking at what must hold for each."""
    reader = FileReader(path, name, contract, block_bytes=block_bytes)
    batches = list(reader)
    accepted = pa.concat_tables([accepted_schema(contract).empty_table(), *(batch.accepted for batch in batches)]).combine_chunks()
    accepted.validate(full=True)
    rejections = [(r["source_row"], r["codes"], r["raw"]) for batch in batches for r in batch.rejections.to_pylist()]
    summary = reader.summary
    good, bad = accepted["source_row"].to_pylist(), [row for row, _, _ in rejections]
    if summary.rows_read != summary.rows_accepted + summary.rows_rejected:
        raise Broken(f"{summary}: read is not accepted + rejected")
    if good != sorted(good) or bad != sorted(bad):
        raise Broken("rows do not ascend")
    if not all(codes and raw is not None for _, codes, raw in rejections):
        raise Broken("a rejection without codes or text")
    for column in contract.table_columns():
        if not column.nullable and accepted[column.name].null_count:
            raise Broken(f"{column.name} is NULL in an accepted row")
    if summary.outcome == "loaded":
        if sorted(good + bad) != list(range(1, summary.rows_read + 1)):
            raise Broken("a row is lost, or there twice")
        if (len(good), len(bad)) != (summary.rows_accepted, summary.rows_rejected):
            raise Broken(f"{summary} does not count the rows that were handed out")
    elif summary.rows_accepted or (summary.outcome == "empty" and (good or bad)):
        raise Broken(f"{summary}: rows of a file that has none")
    if (summary.outcome == "rejected") != (summary.reason is not None):
        raise Broken(f"{summary}: a reason belongs to a rejected file")
    # How much had been read of a file that is given up depends on the blocks; its fate does not.
    told = (summary.outcome, summary.format)
    if summary.outcome == "rejected":
        return accepted.slice(0, 0), [], (*told, (summary.reason or "").partition(":")[0])
    return accepted, rejections, (*told, summary.header, summary.rows_read)


def check(data: bytes) -> None:
    """Raise whatever the kernel raises, or `Broken`, if the file in `data` is not dealt with as every file must be."""
    choices = data[:CHOICES].ljust(CHOICES, b"\0")
    contract = CONTRACTS[choices[0] % len(CONTRACTS)]
    name = NAMES[choices[1] % len(NAMES)]
    block_bytes = BLOCKS[choices[2] % len(BLOCKS)]
    content = _packed(data[CHOICES : CHOICES + MOST_BYTES], choices[2] // len(BLOCKS) % 5)
    # Small blocks of a large file only take time.
    block_bytes = max(block_bytes, len(content) // 200)
    with tempfile.NamedTemporaryFile(prefix="salesmart-fuzz-") as file:
        file.write(content)
        file.flush()
        whole = read(Path(file.name), name, contract, 8 << 20)
        cut = read(Path(file.name), name, contract, block_bytes)
    if whole[1:] != cut[1:] or not whole[0].equals(cut[0]):
        raise Broken(f"blocks of {block_bytes} bytes give another result: {cut[1:]} and not {whole[1:]}")


def _packed(content: bytes, how: int) -> bytes:
    """The file as it is, or compressed: changes to compressed bytes would reach nothing but the checksum."""
    if how == 1:
        return gzip.compress(content, 1, mtime=0)
    if how == 2:
        half = len(content) // 2
        return gzip.compress(content[:half], 1, mtime=0) + gzip.compress(content[half:], 1, mtime=0)
    if how == 3:
        return gzip.compress(content, 1, mtime=0)[:-9]
    return content


def seeds() -> list[bytes]:
    """Inputs to begin with: the corpus, each file under every contract that could mean it."""
    found = []
    for number, case in enumerate(CASES):
        if len(case.content) > MOST_BYTES:
            continue
        name = next((i for i, n in enumerate(NAMES) if case.name.endswith(n[1:]) and n != "a"), 3)
        choices = {0}
        if case.changes.get("delimiter") == ";":
            choices = {1}
        elif "encoding" in case.changes:
            choices = {2 if case.changes["encoding"] != "utf-16-le" else 3}
        elif case.changes:
            choices = {0, 4, 5}
        found += [bytes([choice, name, number % len(BLOCKS)]) + case.content for choice in choices]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for some seconds, beginning with the corpus and what a folder holds from earlier times; ends with 77 on a finding."""
    import atheris

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long")
    parser.add_argument("--corpus", type=Path, help="folder that keeps what was found; a temporary one without it")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="salesmart-fuzz-") as temporary:
        folder = options.corpus or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed-{number:04}").write_bytes(seed)
        limits = [
            f"-max_total_time={options.seconds}",
            f"-max_len={MOST_BYTES}",
            "-timeout=30",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={options.corpus or Path.cwd()}/", str(folder)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
