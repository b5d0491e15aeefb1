"""Names and addresses: a bounded pool from Faker, made once per seed, from which any number of people are put together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from faker import Faker

from salesmart_assets.generate.arrow import Array, array, as_text, joined, looked_up, plain
from salesmart_assets.generate.chance import Ints, below, draw


@dataclass(frozen=True, slots=True)
class People:
    """The pool of one seed. Each method takes a kind of member (a tag) and their numbers, and gives one text for each."""

    seed: int
    first: Array
    last: Array
    streets: Array
    places: Array
    pincodes: Array

    def first_names(self, tag: str, ids: Ints) -> Array:
        """First names."""
        return self._pick(self.first, f"{tag}.first", ids)

    def last_names(self, tag: str, ids: Ints) -> Array:
        """Last names."""
        return self._pick(self.last, f"{tag}.last", ids)

    def full_names(self, tag: str, ids: Ints) -> Array:
        """First and last name, as `first_names` and `last_names` give them."""
        return joined(self.first_names(tag, ids), " ", self.last_names(tag, ids))

    def addresses(self, tag: str, ids: Ints, *, line_breaks: bool = False) -> Array:
        """Postal addresses, such as `812 Davis Ridge, Lake Tina, OH`; with `line_breaks` one in seven is on two lines."""
        number = as_text(array(1 + below(draw(self.seed, f"{tag}.house", ids), 999)))
        street = self._pick(self.streets, f"{tag}.street", ids)
        two_lines = (ids % 7 == 0) & line_breaks
        separator = plain(looked_up(two_lines, array([", ", "\n"])))
        place = self.places.take(array(self._place(tag, ids)))
        return joined(number, " ", street, separator, place)

    def codes(self, tag: str, ids: Ints) -> Array:
        """Postal codes of the places in `addresses`."""
        return self.pincodes.take(array(self._place(tag, ids)))

    def phone_numbers(self, tag: str, ids: Ints) -> Array:
        """Telephone numbers, such as `+1 555 0104217`."""
        return joined("+1 555 ", as_text(array(1_000_000 + below(draw(self.seed, f"{tag}.phone", ids), 9_000_000))))

    def _place(self, tag: str, ids: Ints) -> Ints:
        return below(draw(self.seed, f"{tag}.place", ids), len(self.places))

    def _pick(self, pool: Array, tag: str, ids: Ints) -> Array:
        return pool.take(array(below(draw(self.seed, tag, ids), len(pool))))


@lru_cache(maxsize=8)
def people(seed: int) -> People:
    """The pool of a seed: 300 first and 500 last names, 400 streets, 250 places."""
    faker = Faker("en_US", use_weighting=False)
    faker.seed_instance(seed)
    return People(
        seed,
        array([faker.first_name() for _ in range(300)]),
        array([faker.last_name() for _ in range(500)]),
        array([faker.street_name() for _ in range(400)]),
        array([f"{faker.city()}, {faker.state_abbr(include_territories=False)}" for _ in range(250)]),
        array([faker.numerify("#####") for _ in range(250)]),
    )
