"""Locations and their faults in the ledger's database."""

from __future__ import annotations

from dataclasses import replace

from salesmart_assets.ledger.locations import Location, SourceLocations
from salesmart_assets.ledger.schema import create
from salesmart_assets.publish.database import open_database

TILLS = Location("sales", "tills", "north/")
SHOUTED = Location("sales", "tills", "North/")


def test_locations_are_kept_by_source_bucket_and_prefix(database_url: str) -> None:
    """A location is entered once, keeps its time, and changes its hint and whether it is active; case tells places apart."""
    engine = open_database(database_url)
    create(engine)
    kept = SourceLocations(engine)
    for location in (TILLS, SHOUTED, Location("stores", "tills", "")):
        kept.save(location)
    first = kept.listed()
    assert [location.place for location in first] == [TILLS.place, SHOUTED.place, ("stores", "tills", "")]
    kept.save(replace(TILLS, active=False, format_hint="json"))
    assert kept.listed() == [replace(first[0], active=False, format_hint="json"), *first[1:]]
    engine.dispose()


def test_a_fault_keeps_its_beginning_until_it_is_over(database_url: str) -> None:
    """What is wrong with a location is noted from when it was first seen until the location is looked at again, or disabled."""
    engine = open_database(database_url)
    create(engine)
    kept = SourceLocations(engine)
    assert kept.note({TILLS: "busy", SHOUTED: "missing"}, []) == set()
    began = kept.faults()[TILLS.place].since
    assert kept.note({TILLS: "denied"}, []) == set()
    assert {place: fault.reason for place, fault in kept.faults().items()} == {TILLS.place: "denied", SHOUTED.place: "missing"}
    assert kept.faults()[TILLS.place].since == began
    assert kept.note({}, [TILLS]) == {TILLS}
    kept.save(replace(SHOUTED, active=False))
    assert kept.faults() == {}
    engine.dispose()
