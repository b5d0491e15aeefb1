"""What is wrong with a contract is told when it is loaded: the file, the line, and the fix, in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from salesmart_assets.batch.platform import Platform
from salesmart_assets.contracts import SOURCES, build_tables, load_contracts
from salesmart_assets.contracts import load as loading
from salesmart_assets.contracts.load import parse_contract
from salesmart_assets.errors import ContractError
from salesmart_assets.ingest.judge import check_contract
from salesmart_assets.settings import Settings

PACKAGED = {source: (Path(loading.__file__).parent / f"{source}.yaml").read_text("utf-8") for source in SOURCES}
SALES = PACKAGED["sales"]
JARGON = re.compile(
    r"extra inputs|valid (?:tuple|string|integer|dictionary|number|boolean)|Input should|pydantic|Value error|Traceback|NoneType",
    re.IGNORECASE,
)


def said(text: str, source: str = "sales") -> tuple[int, str]:
    """The line and the sentence that a contract's fault is told with."""
    with pytest.raises(ContractError) as raised:
        parse_contract(text, "own.yaml", source, check_contract)
    message = str(raised.value)
    match = re.fullmatch(r"own\.yaml, line (\d+): (.+[.?])", message, re.DOTALL)
    assert match, message
    assert not JARGON.search(message), message
    assert not message.endswith(("?.", "..")), message
    return int(match[1]), match[2]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def swap(old: str, new: str) -> Callable[[str], str]:
    def changed(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return changed


def without(column: str) -> Callable[[str], str]:
    return lambda text: "".join(line for line in text.splitlines(keepends=True) if not line.startswith(f"  {column}:"))


def also(text: str) -> Callable[[str], str]:
    return lambda contract: contract + text


FAULTS: dict[str, tuple[Callable[[str], str], str | int, str]] = {
    # name: (change, the text of the line that is named or its number, a part of the sentence)
    "a misspelt key": (also("max_rejected_ration: 0.1\n"), "max_rejected_ration", "did you mean max_rejected_ratio?"),
    "a misspelt key of a column": (swap("min: 0", "mim: 0"), "mim: 0", "columns.price.mim: there is no such key: did you mean min?"),
    "a misspelt key that is needed": (swap("columns:", "colums:"), "colums:", "did you mean columns?"),
    "a key that is far from all others": (also("zzz: 1\n"), "zzz", "use source, description, columns"),
    "a key twice": (also("delivery: events\n"), 22 + 1, "delivery stands here a second time, first in line 3"),
    "a column twice": (also("columns:\n"), 23, "columns stands here a second time"),
    "a key twice within braces": (swap("min: 1,", "min: 1, min: 2,"), "min: 2", "columns.quantity.min stands here a second time"),
    "a tab": (swap("  store_id:", "\tstore_id:"), "\tstore_id", "there is a tab in it"),
    "no YAML": (swap("{type: integer", "{type: [integer"), 6, "this is not YAML"),
    "a special sign without quotes": (swap('"Customer who bought."', "@home"), "@home", "quote values with special signs"),
    "a binary file": (also("\x01"), 1, "plain UTF-8 text"),
    "nothing": (lambda _: "", 1, "the file is empty: a contract is a mapping that begins with `source: sales`"),
    "comments only": (lambda _: "# to do\n", 1, "the file is empty"),
    "a list": (lambda _: "- source: sales\n", 1, "a contract is a mapping"),
    "two documents": (also("---\na: 1\n"), "---", "this is not YAML"),
    "a value that contains itself": (lambda text: "x: &x [*x]\n" + text, 1, "too deep"),
    "another source": (swap("source: sales", "source: stores"), "source: stores", "it says source stores, but is the contract of sales"),
    "an unknown source": (swap("source: sales", "source: sale"), "source: sale", "did you mean sales?"),
    "a missing key": (
        swap("description: Lines of the receipts that the tills of all stores print, one row each.\n", ""),
        1,
        "the key description is missing",
    ),
    "a key of a column that is missing": (
        swap('min: 1, description: "Units sold."', "min: 1"),
        "min: 1",
        "columns.quantity: the key description is missing",
    ),
    "nothing after a colon": (also("delimiter:\n"), "delimiter:", "nothing stands after the colon"),
    "text for a list": (swap("[till_id]", "till_id"), "till_id", "'till_id' is no list"),
    "a list for a text": (swap('"Units sold."', "[a, b]"), "[a, b]", "no plain text"),
    "text for a mapping": (lambda text: text.partition("columns:")[0] + "columns: 5\n", "columns: 5", "no mapping"),
    "text for a column": (swap("  pos_id: {", "  x: 7\n  pos_id: {"), "x: 7", "columns.x: '7' is no mapping"),
    "a tag": (swap("min: 1", "min: !!int 1"), "!!int", "a tag such as !!int has no use here"),
    "neither true nor false": (swap("required: true", "required: perhaps"), "perhaps", "neither true nor false"),
    "no number": (also("max_rejected_ratio: many\n"), "many", "'many' is no number"),
    "a number too large": (also("max_rejected_ratio: 10\n"), "ratio: 10", "too large: the most is 1"),
    "a number too small": (also("max_rejected_rows: -1\n"), "rows: -1", "too small: the least is 0"),
    "half a row": (also("max_rejected_rows: 1.5\n"), "rows: 1.5", "no whole number"),
    "an unknown choice": (also("on_extra_column: keeep\n"), "keeep", "did you mean keep?"),
    "an unknown type": (swap("type: date", "type: datum"), "datum", "unknown type 'datum': use integer, string, date"),
    "an impossible decimal": (
        swap('"decimal(18,2)", required: true, description', '"decimal(2,18)", required: true, description'),
        "decimal(2,18)",
        "precision",
    ),
    "a delimiter of two signs": (also('delimiter: ", "\n'), "delimiter", "use one ASCII sign"),
    "a delimiter that is no ASCII": (also('delimiter: "§"\n'), "delimiter", "use one ASCII sign"),
    "a quote for a delimiter": (also("delimiter: '\"'\n"), "delimiter", "cannot separate values"),
    "a letter for a delimiter": (also("delimiter: x\n"), "delimiter", "cannot separate values"),
    "one sign for two things": (also("delimiter: .\n"), "delimiter", "both a point"),
    "an unknown encoding": (also("encoding: utf-9\n"), "encoding", "use a name such as utf-8"),
    "an encoding that is none of texts": (also("encoding: rot13\n"), "encoding", "not known"),
    "an unknown date format": (swap("type: date", 'type: date, date_formats: ["%Q"]'), "%Q", "cannot be read"),
    "a date format without a year": (swap("type: date", 'type: date, date_formats: ["%d/%m"]'), "%d/%m", "does not tell a day"),
    "a date format in other signs": (swap("type: date", "type: date, date_formats: [DD/MM/YYYY]"), "DD/MM", "use %Y for the year"),
    "date formats of a number": (swap("min: 1", 'date_formats: ["%Y-%m-%d"]'), "%Y-%m", "has no date format"),
    "a broken pattern": (
        swap("type: string, aliases: [till_id]", 'type: string, pattern: "(", aliases: [till_id]'),
        'pattern: "("',
        "no regular expression",
    ),
    "a limit that is no value": (
        swap("min: 0", "min: cheap"),
        "cheap",
        "columns.price.min: 'cheap' is no value of the column's type, decimal(18,2)",
    ),
    "a limit that is no day": (swap("type: date", "type: date, min: 2026-02-30"), "2026-02-30", "no value of the column's type, date"),
    "limits that exclude each other": (swap("min: 1", "min: 5, max: 4"), "max: 4", "above the largest"),
    "a limit of a truth value": (swap("pos_id: {type: string", "pos_id: {type: boolean, min: true"), "min: true", "no smallest or largest"),
    "a listed value that is none": (swap("min: 1", "values: [1, two]"), "two", "columns.quantity.values[2]: 'two' is no value"),
    "a default that is no value": (swap("min: 1", "default: some"), "default: some", "no value of the column's type"),
    "a default that breaks a rule": (swap("min: 1", "min: 1, default: 0"), "default: 0", "breaks the column's own rule `min`"),
    "a default that no table can hold": (
        swap("type: date", "type: date, default: 9999-12-31"),
        "9999-12-31",
        "breaks the column's own rule `range`",
    ),
    "an empty default": (swap("min: 1", 'default: ""'), "default", "no value: give one"),
    "a default and a computed value": (swap("min: 1", "default: 1, compute: customer_id"), "compute", "not both"),
    "half an expression": (swap("min: 1", 'compute: "customer_id *"'), "compute", "it ends where a column or a number should follow"),
    "an expression with other signs": (swap("min: 1", 'compute: "customer_id % 2"'), "compute", "'% 2' has no meaning"),
    "an expression over an unknown column": (swap("min: 1", "compute: prise"), "prise", "there is no column 'prise'"),
    "an expression over itself": (swap("min: 1", "compute: quantity + 1"), "compute", "itself computed"),
    "an expression over a text": (swap("min: 1", "compute: product_name"), "compute", "product_name is a string"),
    "a rule that does not compile": (swap("<= 0.01", "<="), "expression:", "rules[1].expression: "),
    "a rule over an unknown column": (swap("price * quantity)", "prise * quantity)"), "expression:", "prise"),
    "a rule that judges no rows": (
        swap("abs(total_cost - price * quantity) <= 0.01", "sum(price) > 1"),
        "expression:",
        "compare columns of one row",
    ),
    "a rule with a name that is taken": (swap("total_mismatch", "ragged"), "ragged", "a meaning of its own"),
    "a rule with an odd name": (swap("total_mismatch", "Total!"), "Total!", "lower-case letters"),
    "two rules of one name": (
        also('  - {name: total_mismatch, expression: "price > 0", message: "none"}\n'),
        "rules:",
        "the same name",
    ),
    "a mandatory column that is missing": (
        without("price"),
        "columns:",
        'the column price is missing, and the tables cannot do without it: add `price: {type: "decimal(18,2)"',
    ),
    "a mandatory column, misspelt": (
        swap("  customer_id:", "  custmer_id:"),
        "custmer_id",
        "the column customer_id is missing: did you mean customer_id?",
    ),
    "a type that the tables cannot hold": (swap("store_id: {type: integer", "store_id: {type: string"), "store_id: {", "use integer"),
    "money with too many places": (swap('"decimal(18,2)"', '"decimal(18,4)"'), "decimal(18,4)", "at most 16 digits"),
    "a mandatory column that may be empty": (
        swap("quantity: {type: integer, required: true,", "quantity: {type: integer,"),
        "quantity:",
        "set `required: true`",
    ),
    "a column with a name of the platform": (swap("pos_id:", "list_price:"), "list_price", "used by the platform"),
    "a column with a name for no table": (swap("pos_id:", "Pos Id:"), "Pos Id", "give 'Pos Id' as an alias"),
    "an alias that means two columns": (swap("till_id", "PRICE"), "PRICE", "would mean both 'price' and 'pos_id'"),
    "a key column that is missing": (swap("line_number]", "lines]"), "lines]", "'lines' is not among the columns"),
    "a key without the day": (swap("[store_id, sales_date, ", "[store_id, "), "business_key", "add sales_date to the key"),
    "a natural key of sales": (also("natural_key: store_id\n"), "natural_key", "only dimensions have one"),
    "a delivery of another kind": (swap("delivery: events", "delivery: changes"), "delivery", "write `events`"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_told_with_line_and_fix(name: str) -> None:
    """Whatever is wrong with a contract is told when it is loaded, with the file, the line and the fix, in words of the language."""
    change, place, sentence = FAULTS[name]
    text = change(SALES)
    line, told = said(text)
    assert sentence in told
    assert line == (place if isinstance(place, int) else line_of(text, place))


def test_dimensions_keep_what_the_tables_need() -> None:
    """The contract of a dimension keeps its natural key and the columns that the marts show."""
    for source in SOURCES[1:]:
        text = PACKAGED[source]
        natural = f"natural_key: {load_contracts()[source].natural_key}\n"
        assert "write `natural_key: " in said(text.replace(natural, ""), source)[1]
    assert "the column phone_number is missing" in said(without("phone_number")(PACKAGED["customers"]), "customers")[1]
    assert "use integer" in said(PACKAGED["stores"].replace("store_id: {type: integer", "store_id: {type: string"), "stores")[1]


def test_packaged_contracts_can_be_applied() -> None:
    """The packaged contracts pass every check."""
    for source, text in PACKAGED.items():
        assert parse_contract(text, f"{source}.yaml", source, check_contract) == load_contracts()[source]


def test_a_folder_is_looked_at_whole(tmp_path: Path) -> None:
    """A folder of contracts replaces those it has; a file that is the contract of nothing, or no text, is told."""
    (tmp_path / "sales.yaml").write_text("\ufeff" + SALES.replace("min: 1,", "min: 2,"), "utf-8")
    contracts = load_contracts(tmp_path, check_contract)
    assert contracts["sales"].columns["quantity"].min == "2"
    assert contracts["stores"] == load_contracts()["stores"]
    (tmp_path / "store.yaml").write_text("", "utf-8")
    with pytest.raises(ContractError, match=r"store\.yaml is the contract of no source.*Did you mean stores\.yaml\?"):
        load_contracts(tmp_path)
    (tmp_path / "store.yaml").rename(tmp_path / "stores.yaml")
    (tmp_path / "stores.yaml").write_bytes(b"source: stores\ndescription: L\xe4den\n")
    with pytest.raises(ContractError, match=r"stores\.yaml, line 2: this is not UTF-8"):
        load_contracts(tmp_path)
    (tmp_path / "stores.yaml").unlink()
    (tmp_path / "stores.yaml").mkdir()
    with pytest.raises(ContractError, match=r"stores\.yaml cannot be read"):
        load_contracts(tmp_path)
    with pytest.raises(ContractError, match="not a folder"):
        load_contracts(tmp_path / "nowhere")


def test_work_begins_with_a_check(tmp_path: Path) -> None:
    """A rule that cannot be applied is told before any file is read, and before anything is opened."""
    (tmp_path / "sales.yaml").write_text(SALES.replace("price * quantity)", "prise * quantity)"), "utf-8")
    with Platform(Settings.load(home=tmp_path / "home", contracts=str(tmp_path))) as platform:
        with pytest.raises(ContractError, match=r"sales\.yaml, line 21: rules\[1\]\.expression: .*prise"):
            _ = platform.contracts
    assert not (tmp_path / "home" / "lake").exists()


def test_values_are_taken_as_they_stand() -> None:
    """`NO` is no truth value and `007` no number: what stands in a contract is text until a column's type says otherwise."""
    text = SALES.replace("pos_id: {type: string", "pos_id: {type: string, values: [NO, 007, 1.10, ~, yes, 2026-01-01], default: 007")
    column = parse_contract(text.replace(", ~,", ","), "own.yaml", "sales", check_contract).columns["pos_id"]
    assert (column.values, column.default) == (("NO", "007", "1.10", "yes", "2026-01-01"), "007")


def test_added_columns_reach_the_tables() -> None:
    """A column that a user adds to a contract is a column of staging and fact, with its type and meaning."""
    text = SALES.replace("  pos_id:", '  weight: {type: "decimal(9,3)", description: "Kilograms."}\n  pos_id:')
    tables = build_tables({**load_contracts(), "sales": parse_contract(text, "own.yaml", "sales")})
    assert tables["stg_sales"].column("weight") == tables["fact_sales"].column("weight")
    assert tables["fact_sales"].column("weight").description == "Kilograms."


@settings(max_examples=300, deadline=None)
@given(
    cut=st.integers(0, len(SALES)),
    length=st.integers(0, 30),
    text=st.text(max_size=12)
    | st.sampled_from(["\t", "{", "}", "[", ":", "- ", "&a ", "*a", "!!int ", "null", "? ", "|\n", "<<: ", "%", "\0", "'"]),
)
def test_any_text_is_a_contract_or_a_sentence(cut: int, length: int, text: str) -> None:
    """Whatever is changed in a contract, it is a contract still or its fault is told with file and line."""
    changed = SALES[:cut] + text + SALES[cut + length :]
    try:
        parse_contract(changed, "own.yaml", "sales", check_contract)
        told = "own.yaml, line "
    except ContractError as error:
        told = str(error)
    assert told.startswith("own.yaml, line ")
    assert not JARGON.search(told)
