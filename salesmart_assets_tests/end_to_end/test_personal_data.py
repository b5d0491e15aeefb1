"""Personal data is whole in the tables, and hidden wherever people look in passing."""

from __future__ import annotations

import json

import pytest

from salesmart_assets.batch.rejections import without_personal_data
from salesmart_assets.contracts import load_contracts
from salesmart_assets_tests.end_to_end.conftest import HEADER, Installation
from salesmart_assets_tests.end_to_end.leaks import found_in, leaks

CUSTOMERS = "customer_id,first_name,last_name,address,pincode,phone_number,customer_joining_date"
SELLERS = "sales_person_id,first_name,last_name,manager_id,is_manager,store_id,address,pincode,joining_date"
STORES = "store_id,address,store_pincode,store_manager_name,store_opening_date"
BUYERS = {"Zebedee", "Quillfeather", "17 Plantain Walk", "555-0192-7733", "zq@plant.example", "Żółć"}
"""Of customers."""
STAFF = {"Marmaduke", "Oxenfree", "3 Thistledown Rise", "Peregrine Lovelace"}
"""Of sellers, and of a store's manager: reports name those who earn."""
BAD_SALE = "1,121,bread,2026-08-01,7,2.50,2,6.00"
GOOD = "1,Zebedee,Quillfeather,17 Plantain Walk,10001,555-0192-7733,2021-01-01"


def land(salesmart: Installation, source: str, name: str, *lines: str, encoding: str = "utf-8") -> None:
    path = salesmart.home.parent / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    salesmart("land", str(path), "--source", source, "--date", "2026-08-01")


def plant(salesmart: Installation) -> None:
    """Good rows, bad rows of every kind, and files that cannot be used, all with the same people in them."""
    land(
        salesmart,
        "customers",
        "rows.csv",
        f"{CUSTOMERS},email",
        f"{GOOD},zq@plant.example",
        "x,Zebedee,Quillfeather,17 Plantain Walk,10001,555-0192-7733,2021-01-01,zq@plant.example",
        "2,,Quillfeather,17 Plantain Walk,10001,555-0192-7733,2021-13-01,zq@plant.example",
        "3,Zebedee,Quillfeather,17 Plantain Walk, Zebedee,10001,555-0192-7733,2021-01-01,zq@plant.example",
        '4,Zebedee,"Quillfeather,17 Plantain Walk,10001,555-0192-7733,2021-01-01,zq@plant.example',
    )
    land(salesmart, "customers", "encoding.csv", CUSTOMERS, GOOD.replace("Zebedee", "Zebedée"), encoding="latin-1")
    person = {"customer_id": "x", "first_name": "Zebedee", "last_name": "Żółć", "address": "17 Plantain Walk", "pincode": "1"}
    rest = {"phone_number": "555-0192-7733", "customer_joining_date": "2021-01-01", "contact": {"mail": "zq@plant.example"}}
    line = json.dumps({**person, **rest}, ensure_ascii=False)
    land(salesmart, "customers", "lines.jsonl", line, line[:-1], line.replace('"x"', "[1]"))
    land(salesmart, "customers", "headless.csv", GOOD, GOOD)
    land(salesmart, "customers", "semicolons.csv", *(text.replace(",", ";") for text in (CUSTOMERS, GOOD)))
    land(salesmart, "customers", "no_phone.csv", CUSTOMERS.replace(",phone_number", ""), GOOD.replace(",555-0192-7733", ""))
    sellers = [f"{n},Marmaduke,Oxenfree,{boss},true,121,3 Thistledown Rise,10001,2020-01-01" for n, boss in ((7, 8), (8, 7), (9, 99))]
    land(salesmart, "sales_team", "team.csv", SELLERS, *sellers, sellers[0].replace("2020-01-01", "soon"))
    land(salesmart, "stores", "stores.csv", STORES, *[f"{n},1 High Street,1,Peregrine Lovelace,2015-01-01" for n in ("121", "x")])
    land(salesmart, "sales", "sales.csv", HEADER, "1,121,bread,2026-08-01,7,2.50,2,5.00", BAD_SALE)


def test_personal_data_is_whole_in_the_tables_alone(salesmart: Installation) -> None:
    """Personal data is whole in the tables, and hidden in what commands print, in logs, in the ledger and in Dagster's storage."""
    plant(salesmart)
    told = [salesmart("run", code=None), *(salesmart(*c) for c in (["status", "--json"], ["rejects"], ["rejects", "--json"], ["doctor"]))]
    printed = "\n".join(done.stdout + done.stderr for done in told)
    raw = {row["raw"] for row in json.loads(told[3].stdout)}
    assert {"x,•••,•••,•••,10001,•••,2021-01-01,•••", "2,,•••,•••,10001,•••,2021-13-01,•••", "•••", BAD_SALE} <= raw
    assert "x,•••,•••,•••,10001,•••,2021-01-01,•••" in told[2].stdout
    assert found_in(printed.encode(), BUYERS | STAFF) == set()
    tables = ("lake/", "marts.db", "s3/")
    assert leaks(salesmart.home, BUYERS | STAFF, besides=tables) == {}
    assert leaks(salesmart.home / "s3", BUYERS | STAFF)
    assert leaks(salesmart.home / "lake" / "reports", BUYERS) == {}
    assert "Zebedee Quillfeather" in {row["full_name"] for row in salesmart.tables()["database/customer_mart"]}
    assert found_in(salesmart("rejects", "--whole", "--json").stdout.encode(), BUYERS | STAFF) == BUYERS | STAFF


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ('5,Ann,"Fox, jr.",,1,,2021-01-01', "5,•••,•••,,1,,2021-01-01"),
        ('"5,0",Ann,Fox,,"a ""b""",,', '"5,0",•••,•••,,"a ""b""",,'),
        ("5,Ann,Fox", "•••"),
        ('5,Ann,"Fox,,1,,2021-01-01', "•••"),
        (
            '{"customer_id":5,"First_Name":"Ann","address":null,"pincode":1.50}',
            '{"customer_id":5,"First_Name":"•••","address":null,"pincode":1.50}',
        ),
        ('{"customer_id":[5],"more":{"mail":"ann"}}', '{"customer_id":[5],"more":"•••"}'),
        ('{"customer_id":5,"first_name":"Ann"', "•••"),
    ],
)
def test_what_is_hidden_of_a_text(raw: str, shown: str) -> None:
    """Of a text that can be taken apart the personal values are hidden, any other is hidden whole."""
    assert without_personal_data(raw, CUSTOMERS.split(","), load_contracts()["customers"]) == shown
