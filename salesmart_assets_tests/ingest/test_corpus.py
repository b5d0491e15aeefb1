"""Every file of the corpus comes to what is written beside it, in blocks of any size."""

from __future__ import annotations

from dataclasses import replace

import pytest

from salesmart_assets.ingest.codes import COLUMN_CODES, FILE_CODES, ROW_CODES
from salesmart_assets_tests.ingest.corpus import CASES, DOCUMENT, Case, with_table
from salesmart_assets_tests.ingest.reading import read


@pytest.mark.parametrize("block_bytes", [1 << 10, 8 << 20])
@pytest.mark.parametrize("case", CASES, ids=[f"{case.group}: {case.title}" for case in CASES])
def test_every_kind_of_broken_file_has_its_outcome(case: Case, block_bytes: int) -> None:
    """Each kind of broken file has a decided outcome: its rows read, accepted and rejected, and all codes of each rejected row."""
    # Blocks much smaller than a value of megabytes would only take time.
    block_bytes = max(block_bytes, len(case.content) // 100)
    found = read(case.content, case.name, case.contract, block_bytes=block_bytes)
    assert found.summary.outcome == case.outcome, found.summary
    assert found.summary.rows_read == found.summary.rows_accepted + found.summary.rows_rejected
    if case.outcome == "rejected":
        assert (found.summary.reason or "").partition(":")[0] == case.code
    else:
        assert found.summary.rows_read == case.rows_read
        assert (found.accepted_rows, found.codes) == (list(case.accepted), dict(case.rejected))
        for column, values in case.values.items():
            assert found.accepted[column].to_pylist() == list(values)


@pytest.mark.parametrize(
    "case", [case for case in CASES if len(case.content) < 1 << 14], ids=[c.title for c in CASES if len(c.content) < 1 << 14]
)
def test_blocks_of_every_size_give_the_same_for_the_corpus(case: Case) -> None:
    """Where blocks are cut changes nothing, for any broken file."""
    whole = read(case.content, case.name, case.contract)
    for block_bytes in (1, 2, 7, 64, 333):
        cut = read(case.content, case.name, case.contract, block_bytes=block_bytes)
        if case.outcome == "rejected":
            # How far a file was read before it was given up, and what it was named for, may differ; its fate does not.
            assert (cut.summary.outcome, cut.summary.format) == (whole.summary.outcome, whole.summary.format)
            whole_code, cut_code = ((found.summary.reason or "").partition(":")[0] for found in (whole, cut))
            assert whole_code == cut_code
        else:
            assert replace(cut, accepted=cut.accepted.combine_chunks()) == replace(whole, accepted=whole.accepted.combine_chunks())


def test_titles_tell_cases_apart() -> None:
    """No two files of the corpus have one title in a group."""
    assert len({(case.group, case.title) for case in CASES}) == len(CASES)


def test_the_documentation_shows_the_corpus() -> None:
    """The table of docs/ingestion.md says what becomes of every file of the corpus."""
    text = DOCUMENT.read_text("utf-8")
    assert with_table(text) == text, "run: python -m salesmart_assets_tests.ingest.corpus"


def test_the_documentation_names_every_code() -> None:
    """Every code of a rejection stands in docs/ingestion.md."""
    text = DOCUMENT.read_text("utf-8")
    for code in (*(f"{kind}:COLUMN" for kind in COLUMN_CODES), *ROW_CODES, *FILE_CODES):
        assert f"`{code}`" in text, code
