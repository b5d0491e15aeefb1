"""Names and addresses: a bounded pool from Faker, made once per seed, from which any number of people are put together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from faker import Faker

from salesmart_assets.generate.chance import Ints, below, draw


@dataclass(frozen=True, slots=True)
class People:
    """The pool of one seed. Each method takes a kind of member (a tag) and their numbers, and gives one text for each."""

    seed: int
    first: pa.StringArray
    last: pa.StringArray
    streets: pa.StringArray
    places: pa.StringArray
    pincodes: pa.StringArray

    def first_names(self, tag: str, ids: Ints) -> pa.StringArray:
        """First names."""
        return self._pick(self.first, f"{tag}.first", ids)

    def last_names(self, tag: str, ids: Ints) -> pa.StringArray:
        """Last names."""
        return self._pick(self.last, f"{tag}.last", ids)

    def full_names(self, tag: str, ids: Ints) -> pa.StringArray:
        """First and last name, as `first_names` and `last_names` give them."""
        return pc.binary_join_element_wise(self.first_names(tag, ids), self.last_names(tag, ids), " ")

    def addresses(self, tag: str, ids: Ints, *, line_breaks: bool = False) -> pa.StringArray:
        """Postal addresses, such as `812 Davis Ridge, Lake Tina, OH`; with `line_breaks` one in seven is on two lines."""
        number = pc.cast(pa.array(1 + below(draw(self.seed, f"{tag}.house", ids), 999)), pa.string())
        street = self._pick(self.streets, f"{tag}.street", ids)
        two_lines = (ids % 7 == 0) & line_breaks
        separator = pa.DictionaryArray.from_arrays(pa.array(two_lines.astype(np.int8)), pa.array([", ", "\n"])).cast(pa.string())
        place = self.places.take(pa.array(self._place(tag, ids)))
        return pc.binary_join_element_wise(number, " ", street, separator, place, "")

    def codes(self, tag: str, ids: Ints) -> pa.StringArray:
        """Postal codes of the places in `addresses`."""
        return self.pincodes.take(pa.array(self._place(tag, ids)))

    def phone_numbers(self, tag: str, ids: Ints) -> pa.StringArray:
        """Telephone numbers, such as `+1 555 0104217`."""
        number = 10_000_000 + below(draw(self.seed, f"{tag}.phone", ids), 10_000_000)
        digits = pc.utf8_slice_codeunits(pc.cast(pa.array(number), pa.string()), 1)
        return pc.binary_join_element_wise("+1 555 ", digits, "")

    def _place(self, tag: str, ids: Ints) -> Ints:
        return below(draw(self.seed, f"{tag}.place", ids), len(self.places))

    def _pick(self, pool: pa.StringArray, tag: str, ids: Ints) -> pa.StringArray:
        return pool.take(pa.array(below(draw(self.seed, tag, ids), len(pool))))


@lru_cache(maxsize=8)
def people(seed: int) -> People:
    """The pool of a seed: 300 first and 500 last names, 400 streets, 250 places."""
    faker = Faker("en_US", use_weighting=False)
    faker.seed_instance(seed)
    return People(
        seed,
        pa.array([faker.first_name() for _ in range(300)]),
        pa.array([faker.last_name() for _ in range(500)]),
        pa.array([faker.street_name() for _ in range(400)]),
        pa.array([f"{faker.city()}, {faker.state_abbr(include_territories=False)}" for _ in range(250)]),
        pa.array([faker.numerify("#####") for _ in range(250)]),
    )
