"""What is read all at once comes out as if it had been read one by one."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings

from salesmart_assets.contracts import ContractColumn
from salesmart_assets.ingest import delimited
from salesmart_assets.ingest.values import Parser, Unfit
from salesmart_assets_tests.ingest.reading import HEADER, ROW, read

PIECES = st.sampled_from(
    [
        ROW,
        "1,121,Tea",
        "1,121",
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        '2,122,"Tea, black"',
        '1,"TV 5""",',
        "é",
        "x",
        "\0",
        "\udcff",
    ]
)
LINES = st.lists(
    st.sampled_from([ROW, ROW.replace("Tea", '"Tea, black"'), ROW.replace("Tea", '"TV 5"""'), "1,121,Tea", f"{ROW},9", "", "  ", '1,"a']),
    max_size=12,
)
TEXTS = LINES.flatmap(lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines))) | st.lists(
    PIECES, max_size=20
).map("".join)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS, block_bytes=st.sampled_from([64, 300, 8 << 20]))
@example(text=f'{ROW}\n1,121,"Tea\n2,122,Oil",2026-03-01,7,1.50,2,3.00\n{ROW}', block_bytes=8 << 20)
@example(text=f'1,"\n2,"\n{ROW}\n', block_bytes=8 << 20)
@example(text=f"{ROW}\r\n{ROW}\n{ROW}\r", block_bytes=8 << 20)
def test_a_block_that_is_read_at_once_gives_what_its_lines_give(text: str, block_bytes: int) -> None:
    content = f"{HEADER}\n{text}".encode("utf-8", "surrogateescape")
    fast = read(content, block_bytes=block_bytes)
    with patch.object(delimited, "_PATIENCE", 0):
        slow = read(content, block_bytes=block_bytes)
    assert fast == slow


def numbers(column: ContractColumn) -> st.SearchStrategy[str]:
    scale = column.column_type.decimal[1] if column.column_type.decimal else 0
    if scale > 30:
        return st.sampled_from(["", "0", "0.5", "1", "two", f"0.{'1' * 38}", f"0.{'1' * 39}"])
    plain = st.decimals(-(10**6), 10**6, places=scale).map(lambda number: f"{number:f}")
    wide = st.integers(0, 10**20).map(str) | st.decimals(0, 10**17, places=scale).map(lambda number: f"{number:f}")
    return plain | wide | st.sampled_from(ODD)


# The last line looks as a number of two decimal places does, from its end.
ODD = [
    *("", " ", "1.", ".5", "1.5", "01.50", "+1", "-0", "1e3", "0x1F", "1.500", "1.005", "NaN", "two", "1,5", "٣"),
    *(".50", "-.50", "-.00", "-0.00", "-1.50", "+1.50", "0x1.50", "1e.50", "1..50", " 1.50", "1.5 ", "1.-5", "99999999999999999.50"),
]


@st.composite
def columns(draw: st.DrawFn) -> tuple[ContractColumn, list[str | None]]:
    column = ContractColumn.model_validate(
        {
            "type": draw(st.sampled_from(["integer", "decimal(18,2)", "decimal(18,0)", "decimal(9,4)", "decimal(38,38)"])),
            "description": "A number.",
        }
    )
    scale = column.column_type.decimal[1] if column.column_type.decimal else 0
    if scale > 30 or draw(st.booleans()):
        return column, draw(st.lists(numbers(column) | st.none(), max_size=30))
    alike = st.decimals(0, 10 ** draw(st.integers(1, 17)), places=scale).map(lambda number: f"{number:f}")
    return column, draw(st.permutations(draw(st.lists(alike, max_size=30)) + draw(st.lists(st.sampled_from(ODD), max_size=1))))


@settings(max_examples=400, deadline=None)
@given(given_column=columns())
def test_numbers_that_are_read_a_column_at_a_time_are_those_read_one_by_one(given_column: tuple[ContractColumn, list[str | None]]) -> None:
    column, texts = given_column
    parser = Parser(column, ".")
    values: list[Any] = []
    faults: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        values.append(None)
        if text is None or not text.strip(" \t"):
            continue
        try:
            values[place] = parser.one(text)
        except Unfit as unfit:
            faults.setdefault(unfit.kind, []).append(place)
    # A slice begins inside its buffers, as a column of a table may.
    for array in (pa.array(texts, pa.string()), pa.array(["7", *texts], pa.string())[1:]):
        found = parser.all(array)
        assert found.values.to_pylist() == values
        assert {kind: np.sort(places).tolist() for kind, places in found.faults.items() if len(places)} == faults
