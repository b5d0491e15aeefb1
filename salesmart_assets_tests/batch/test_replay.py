"""Rejected rows are mended and come back: each counts once, and leaves with its file."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from salesmart_assets.batch import rejections, replay
from salesmart_assets.batch.platform import Platform
from salesmart_assets.errors import UsageError
from salesmart_assets_tests.batches import HEADER, Batches, Tables, accounted, load, load_pending, tables

DAY = "2026-08-01"
GOOD = "1,121,bread,2026-07-31,1,2.50,2,5.00,red"
BAD_QUANTITY = "1,121,oil,2026-07-31,1,2.50,x,5.00,blue"
RAGGED = "1,121,tea,2026-07-31,1,2.50,2"
FILE = "\n".join([f"{HEADER},colour", GOOD, BAD_QUANTITY, RAGGED]) + "\n"

Row = dict[str, str]


@pytest.fixture
def loaded(batches: Batches, platform: Platform) -> Platform:
    """An installation with a file of which two rows are rejected."""
    batches.land(platform, FILE, "sales", DAY, "a.csv")
    load_pending(platform)
    return platform


def mend(platform: Platform, path: Path, change: Callable[[list[Row]], list[Row]], *, delimiter: str = ",") -> replay.TakenBack:
    """Write rejected rows out, edit them, and give them back."""
    replay.write_out(platform, path, rejections.rejected_rows(platform, replayed=True).to_dicts())
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    with path.open("w", encoding="utf-8", newline="") as handle:
        changed = change(rows)
        writer = csv.DictWriter(handle, list(changed[0] if changed else rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(changed)
    return replay.take_back(platform, path)


def of(row_number: int, **values: str) -> Callable[[list[Row]], list[Row]]:
    """Keep one row, with other values."""
    return lambda rows: [{**row, **values} for row in rows if row["_source_row"] == str(row_number)][-1:]


MENDED_TEA = {
    "customer_id": "1",
    "store_id": "121",
    "product_name": "tea",
    "sales_date": "2026-07-31",
    "sales_person_id": "1",
    "price": "2.50",
    "quantity": "2",
    "total_cost": "5.00",
}


def sold(found: Tables) -> list[tuple[str, int, int]]:
    return sorted((row["product_name"], row["source_row"], row["quantity"]) for row in found["fact_sales"])


def open_rows(platform: Platform) -> list[int]:
    return rejections.rejected_rows(platform)["source_row"].to_list()


def test_rejected_rows_go_out_to_be_edited(loaded: Platform, tmp_path: Path) -> None:
    """The file has each rejected row with its place, what is wrong, and its texts in the contract's and the file's own columns."""
    path = tmp_path / "fix.csv"
    written = replay.write_out(loaded, path, rejections.rejected_rows(loaded).to_dicts())
    assert (written.source, written.rows, written.files) == ("sales", 2, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(encoding="utf-8-sig", newline="") as handle:
        first, second = csv.DictReader(handle)
    assert (first["_source_row"], first["_codes"], first["quantity"], first["colour"], first["_raw"]) == (
        "2",
        "type:quantity",
        "x",
        "blue",
        "",
    )
    assert (second["_source_row"], second["_codes"], second["product_name"], second["_raw"]) == ("3", "row.ragged", "", RAGGED)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_mended_row_carries_its_origin(loaded: Platform, tmp_path: Path, delimiter: str) -> None:
    """A mended row is in the tables with the file and the row it came from, and is no longer among the rejected ones."""
    taken = mend(loaded, tmp_path / "fix.csv", of(2, quantity="2"), delimiter=delimiter)
    assert taken.rows == 1
    load_pending(loaded)
    found = tables(loaded)
    assert sold(found) == [("bread", 1, 2), ("oil", 2, 2)]
    assert {row["source_file"] for row in found["fact_sales"]} == {"s3://salesmart/landing/sales/dt=2026-08-01/a.csv"}
    assert [row["additional_columns"] for row in found["fact_sales"]] == ['{"colour":"red"}', '{"colour":"blue"}']
    assert open_rows(loaded) == [3]
    assert rejections.rejected_rows(loaded, replayed=True)["source_row"].to_list() == [2, 3]
    assert accounted(loaded)


def test_replayed_twice_counts_once(loaded: Platform, tmp_path: Path) -> None:
    """However often a row is replayed, it counts once, as it came back last; what other replays brought stays."""
    for quantity in ("2", "2", "3"):
        mend(loaded, tmp_path / "fix.csv", of(2, quantity=quantity, total_cost=str(2.5 * int(quantity))))
        load_pending(loaded)
    mend(loaded, tmp_path / "fix.csv", of(3, **MENDED_TEA))
    load_pending(loaded)
    assert sold(tables(loaded)) == [("bread", 1, 2), ("oil", 2, 3), ("tea", 3, 2)]
    assert open_rows(loaded) == []
    assert accounted(loaded)


def test_two_replays_before_a_run(loaded: Platform, tmp_path: Path) -> None:
    """Two replays of different rows that no run came between are both loaded."""
    mend(loaded, tmp_path / "fix.csv", of(2, quantity="2"))
    mend(loaded, tmp_path / "fix.csv", of(3, **MENDED_TEA))
    load_pending(loaded)
    assert sold(tables(loaded)) == [("bread", 1, 2), ("oil", 2, 2), ("tea", 3, 2)]


def test_a_row_that_is_still_bad_is_rejected_again(loaded: Platform, tmp_path: Path) -> None:
    """A mended row is held to the contract like any other: what is still wrong is told, in the place of what was."""
    mend(loaded, tmp_path / "fix.csv", of(2, quantity="0"))
    load_pending(loaded)
    rows = rejections.rejected_rows(loaded).to_dicts()
    assert [(row["source_row"], row["codes"]) for row in rows] == [(2, "min:quantity,row.total_mismatch"), (3, "row.ragged")]
    mend(loaded, tmp_path / "fix.csv", of(2, quantity="2"))
    load_pending(loaded)
    assert open_rows(loaded) == [3]


@pytest.mark.parametrize("waiting", [False, True])
def test_mended_rows_leave_with_their_file(batches: Batches, loaded: Platform, tmp_path: Path, waiting: bool) -> None:
    """When the file is superseded, its mended rows leave in the same run, also when they were never loaded."""
    mend(loaded, tmp_path / "fix.csv", of(2, quantity="2"))
    if not waiting:
        load_pending(loaded)
    batches.land(loaded, "\n".join([f"{HEADER},colour", GOOD, GOOD.replace("bread", "milk")]) + "\n", "sales", DAY, "a.csv")
    load_pending(loaded)
    assert sold(tables(loaded)) == [("bread", 1, 2), ("milk", 2, 2)]
    assert open_rows(loaded) == []
    assert accounted(loaded)
    outdated = replay.take_back(loaded, tmp_path / "fix.csv")
    assert (outdated.rows, outdated.outdated) == (0, 1)


def test_a_rebuild_keeps_mended_rows(loaded: Platform, tmp_path: Path) -> None:
    """A rebuild of the date reads the file and its mended rows again, and gives the same tables."""
    mend(loaded, tmp_path / "fix.csv", of(2, quantity="2"))
    load_pending(loaded)
    before = tables(loaded)
    load(loaded, date.fromisoformat(DAY), rebuild=True)
    assert tables(loaded) == before


def test_a_row_that_its_contract_takes_now_counts_once(batches: Batches, tmp_path: Path) -> None:
    """A row that was mended, and that a new contract accepts as it was, counts once after a rebuild."""
    with batches.platform() as platform:
        batches.land(platform, FILE.replace("x,5.00", "0,5.00"), "sales", DAY, "a.csv")
        load_pending(platform)
        mend(platform, tmp_path / "fix.csv", of(2, quantity="2"))
        load_pending(platform)
    with batches.platform() as platform:
        sales = platform.contracts["sales"]
        quantity = sales.columns["quantity"].model_copy(update={"min": None})
        platform.contracts["sales"] = sales.model_copy(update={"columns": {**sales.columns, "quantity": quantity}, "rules": ()})
        load(platform, date.fromisoformat(DAY), rebuild=True)
        assert sold(tables(platform)) == [("bread", 1, 2), ("oil", 2, 0)]
        assert accounted(platform)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of(2, _identity="?"), "line 2: _identity and _source_row"),
        (of(2, _identity="0" * 64), "line 2: no file of this ledger has that _identity"),
        (of(2, _source_row="1"), "line 2: row 1 of .* is not among the rejected rows"),
        (lambda rows: [rows[0], rows[0]], "line 3: row 2 of .* is here twice"),
    ],
)
def test_what_cannot_be_understood_is_told_by_line(
    loaded: Platform, tmp_path: Path, change: Callable[[list[Row]], list[Row]], said: str
) -> None:
    """A file that can't be taken back is refused with its line, and nothing lands."""
    with pytest.raises(UsageError, match=said):
        mend(loaded, tmp_path / "fix.csv", change)
    assert list(loaded.zone.list_any("landing/")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a,b\n1,2\n", "line 1: there is no column _identity"),
        (b"_identity,_source_row\n1\n", "line 2: 1 values for 2 columns"),
        (b'_identity,_source_row\n"1\n', "no CSV file"),
        (b"_identity,_source_row,price,price\n", "line 1: the column price is here twice"),
        (b"_identity,_source_row\n\xff,1\n", "not UTF-8"),
        (b"", "line 1: there is no column _identity"),
    ],
)
def test_a_file_that_is_none_of_ours(loaded: Platform, tmp_path: Path, text: bytes, said: str) -> None:
    """Any other file is refused with one sentence."""
    path = tmp_path / "other.csv"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=said):
        replay.take_back(loaded, path)


def test_an_object_that_only_looks_like_mended_rows(batches: Batches, loaded: Platform) -> None:
    """An object under a replay's name that holds something else, or of a file nobody knows, is rejected whole."""
    origin = loaded.ledger.files()[0]
    for identity in (origin.identity, "0" * 64):
        batches.land(loaded, "[]\n", "sales", DAY, f"replay/{identity}.jsonl")
    load_pending(loaded)
    reasons = sorted(str(f.reason).split(":")[0] for f in loaded.ledger.files() if f.outcome == "rejected")
    assert reasons == ["file.replay", "file.unreadable"]


def test_limits_of_a_file_are_none_of_mended_rows(batches: Batches, platform: Platform, tmp_path: Path) -> None:
    """A mended row that is still bad is rejected by itself: what other replays brought stays, whatever the contract allows a file."""
    sales = platform.contracts["sales"]
    limits = {"max_rejected_ratio": 0.7, "max_rejected_rows": 2, "on_extra_column": "reject_file"}
    platform.contracts["sales"] = sales.model_copy(update=limits)
    batches.land(platform, "\n".join([HEADER, GOOD[:-4], BAD_QUANTITY[:-5], BAD_QUANTITY[:-5]]) + "\n", "sales", DAY, "a.csv")
    load_pending(platform)
    mend(platform, tmp_path / "fix.csv", of(2, quantity="2"))
    load_pending(platform)
    platform.contracts["sales"] = sales.model_copy(update={**limits, "max_rejected_ratio": 0.0})
    mend(platform, tmp_path / "fix.csv", of(3))
    load_pending(platform)
    assert sold(tables(platform)) == [("bread", 1, 2), ("oil", 2, 2)]
    assert open_rows(platform) == [3]
    assert accounted(platform)
    with pytest.raises(UsageError, match="line 2: the contract does not name the column remark"):
        mend(platform, tmp_path / "fix.csv", of(3, quantity="2", remark="till"))


def test_what_json_can_hold_goes_out_too(batches: Batches, platform: Platform, tmp_path: Path) -> None:
    """A name of two values and what no text can hold are left to people; names with an underscore and digits stay as delivered."""
    good = {"customer_id": 1, "store_id": 121, "product_name": "oil", "sales_date": "2026-07-31", "sales_person_id": 1}
    row = json.dumps(good | {"price": 2.5, "quantity": "x", "total_cost": 5, "_till": {"no": 7}}).replace("2.5", "2.50")
    lines = [row, row[:-1] + ', "price": 3}', row.replace("oil", "\\ud800"), row.replace("oil", "\\u0000"), row.replace('"x"', "2")]
    batches.land(platform, "\n".join(lines) + "\n", "sales", DAY, "a.jsonl")
    load_pending(platform)
    path = tmp_path / "fix.csv"
    replay.write_out(platform, path, rejections.rejected_rows(platform).to_dicts())
    with path.open(encoding="utf-8-sig", newline="") as handle:
        first, *others = csv.DictReader(handle)
    assert (first["price"], first["_till"], first["_raw"]) == ("2.50", '{"no":7}', "")
    assert [(other["price"], other["_raw"]) for other in others] == [("", line) for line in lines[1:4]]
    mend(platform, path, of(1, quantity="2"))
    load_pending(platform)
    assert open_rows(platform) == [2, 3, 4]
    assert {row["additional_columns"] for row in tables(platform)["fact_sales"]} == {'{"_till":{"no":7}}', '{"_till":"{\\"no\\":7}"}'}


def test_long_values_come_back(batches: Batches, platform: Platform, tmp_path: Path) -> None:
    """A row may be as long as any row of a file."""
    batches.land(platform, f"{HEADER},colour\n{BAD_QUANTITY}{'!' * 300_000}\n", "sales", DAY, "a.csv")
    load_pending(platform)
    assert mend(platform, tmp_path / "fix.csv", of(1, quantity="2")).rows == 1
