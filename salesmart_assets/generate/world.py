"""The chain as it stands on a day: stores, products, sellers and customers.

Everything here is a pure function of (seed, volume, calendar day since `EPOCH`): no state is carried from day to day, so that
any day can be made alone. What happens during a day (receipts) does not belong here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from salesmart_assets.generate.arrow import Array, array
from salesmart_assets.generate.assortment import GROUPS, Assortment, assortment
from salesmart_assets.generate.chance import Ints, below, draw
from salesmart_assets.generate.people import People, people

EPOCH = date(2000, 1, 1)
FIRST_STORE = 121
_UNIX = date(1970, 1, 1).toordinal()
_NO_DAY = np.iinfo(np.int64).min


def day_number(day: date) -> int:
    """Days since `EPOCH`; negative before it."""
    return (day - EPOCH).days


def money(cents: Ints) -> Array:
    """Cents as decimal128(18,2), without a float on the way."""
    words = np.empty((len(cents), 2), dtype=np.int64)
    words[:, 0] = cents
    words[:, 1] = cents >> 63
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(words.data)])


def dates(days: Ints, missing: npt.NDArray[np.bool_] | None = None) -> Array:
    """Days since `EPOCH` as date32; NULL where `missing`."""
    return array((days + (EPOCH.toordinal() - _UNIX)).astype(np.int32), missing=missing).cast(pa.date32())


@dataclass(frozen=True, slots=True)
class Extent:
    """How large the chain is: a chain that sells more has more stores, products and customers.

    `new_customers` join every day, and as many who joined first are seen no more: the chain keeps its size.
    """

    stores: int
    products: int
    customers: int
    new_customers: int

    @classmethod
    def of(cls, rows: int) -> Extent:
        """The extent of a chain that sells `rows` lines a day. Bounded, so that the dimensions stay small beside the sales.

        >>> Extent.of(10_000)
        Extent(stores=14, products=500, customers=10000, new_customers=5)
        """
        customers = min(max(rows, 1_000), 300_000)
        return cls(
            stores=min(max(round(rows**0.5 / 7), 6), 400),
            products=min(max(rows // 20, 200), 5_000),
            customers=customers,
            new_customers=max(1, customers // 2_000),
        )


@dataclass(frozen=True, slots=True)
class Team:
    """The tree of sellers, in the order of their numbers (1, 2, …): head, regions, areas, one manager per store, sellers.

    `home` and `manager` are indexes (-1: none). `moves_every` is the days between two moves, 0 for who never moves.
    """

    home: Ints
    manager: Ints
    moves_every: Ints
    phase: Ints
    first_store_manager: int
    first_seller: int

    @property
    def ids(self) -> Ints:
        """Seller numbers."""
        return np.arange(1, len(self.home) + 1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class World:
    """One chain. The methods give its members on a day, as columns by the names of the contracts."""

    seed: int
    extent: Extent
    goods: Assortment
    people: People
    store_weights: npt.NDArray[np.float64]
    team: Team
    line_breaks: bool

    # Products ------------------------------------------------------------------------------------------------------

    def _price_step(self, day: int) -> tuple[Ints, Ints]:
        """For each product: how many price changes there were, and the day of the last one."""
        every = 20 + below(draw(self.seed, "price.every", self.goods.ids), 70)
        phase = below(draw(self.seed, "price.phase", self.goods.ids), every)
        step = (day + phase) // every
        return step, step * every - phase

    def price_cents(self, day: int) -> Ints:
        """The list price of each product on a day, in cents."""
        step, _ = self._price_step(day)
        # Up and down around a slow rise: each step differs from the one before.
        swing = np.where(step % 2 == 0, 0, 3 + below(draw(self.seed, "price.swing", self.goods.ids, step), 10))
        rise = np.clip(step, 0, 400) // 4
        cents = self.goods.base_cents * (100 + swing + rise) // 100
        return np.maximum(cents // 10 * 10 + 9, 9)

    def products(self, day: int, *, changed_only: bool = False) -> dict[str, Array]:
        """The products on a day, or those that changed on it."""
        step, since = self._price_step(day)
        chosen = np.flatnonzero(since == day) if changed_only else np.arange(len(step))
        ids, step, since = self.goods.ids[chosen], step[chosen], since[chosen]
        groups = self.goods.groups[chosen]
        cents = self.price_cents(day)[chosen]
        keeps = np.array([group.keeps for group in GROUPS])[groups]
        cost = self.goods.base_cents[chosen] * (55 + below(draw(self.seed, "product.margin", ids), 25)) // 100
        return {
            "product_id": array(ids),
            "name": self.goods.names.take(array(chosen)),
            "category": array([GROUPS[group].name for group in groups], pa.string()),
            "price": money(cents),
            "cost": money(np.minimum(cost, cents)),
            "stock_on_hand": array(below(draw(self.seed, "product.stock", ids, step), 900)),
            "expiry_date": dates(since + keeps, keeps == 0),
            "effective_date": dates(since),
        }

    # Stores --------------------------------------------------------------------------------------------------------

    def stores(self) -> dict[str, Array]:
        """The stores; they do not change."""
        ids = np.arange(self.extent.stores, dtype=np.int64) + FIRST_STORE
        opened = -1 - below(draw(self.seed, "store.opened", ids), 3_650)
        managers = self.team.ids[self.team.first_store_manager : self.team.first_seller]
        stars = 30 + below(draw(self.seed, "store.stars", ids), 20)
        return {
            "store_id": array(ids),
            "address": self.people.addresses("store", ids),
            "store_pincode": self.people.codes("store", ids),
            "store_manager_name": self.people.full_names("seller", managers),
            "store_opening_date": dates(opened),
            "reviews": array([f"{star // 10}.{star % 10} of 5 stars" for star in stars.tolist()], pa.string()),
            "effective_date": dates(opened),
        }

    # Sellers -------------------------------------------------------------------------------------------------------

    def seller_stores(self, day: int) -> tuple[Ints, Ints]:
        """For each seller: the index of the store (-1: none), and the day of the last move."""
        team = self.team
        every = np.maximum(team.moves_every, 1)
        step = np.where(team.moves_every > 0, (day + team.phase) // every, 0)
        since = np.where(team.moves_every > 0, step * every - team.phase, _NO_DAY)
        away = below(draw(self.seed, "seller.away", team.ids, step // 2), self.extent.stores - 1)
        away = (team.home + 1 + away) % self.extent.stores
        return np.where((team.moves_every > 0) & (step % 2 == 1), away, team.home), since

    def sellers(self, day: int, *, changed_only: bool = False) -> dict[str, Array]:
        """The sales team on a day, or those who moved store on it."""
        team = self.team
        store, since = self.seller_stores(day)
        # Who moves gets the manager of the new store.
        selling = np.arange(len(store)) >= team.first_seller
        manager = np.where(selling, team.first_store_manager + store, team.manager)
        joined = -1 - below(draw(self.seed, "seller.joined", team.ids), 3_000)
        effective = np.where(since == _NO_DAY, joined, np.maximum(since, joined))
        chosen = np.flatnonzero(since == day) if changed_only else np.arange(len(store))
        ids = team.ids[chosen]
        return {
            "sales_person_id": array(ids),
            "first_name": self.people.first_names("seller", ids),
            "last_name": self.people.last_names("seller", ids),
            "manager_id": array(manager[chosen] + 1, missing=manager[chosen] < 0),
            "is_manager": array(chosen < team.first_seller),
            "store_id": array(store[chosen] + FIRST_STORE, missing=store[chosen] < 0),
            "address": self.people.addresses("seller", ids),
            "pincode": self.people.codes("seller", ids),
            "joining_date": dates(joined[chosen]),
            "effective_date": dates(effective[chosen]),
        }

    # Customers -----------------------------------------------------------------------------------------------------

    def customer_numbers(self, day: int) -> range:
        """The numbers of those who are customers on a day; the last `new_customers` of them joined on it."""
        gone = self.extent.new_customers * (day + 1)
        return range(gone + 1, gone + self.extent.customers + 1)

    def customers(self, numbers: range) -> dict[str, Array]:
        """The customers of some consecutive numbers."""
        ids = np.arange(numbers.start, numbers.stop, dtype=np.int64)
        late = ids - self.extent.customers - 1
        joined = np.where(late >= 0, late // self.extent.new_customers, -1 - below(draw(self.seed, "customer.joined", ids), 2_500))
        return {
            "customer_id": array(ids),
            "first_name": self.people.first_names("customer", ids),
            "last_name": self.people.last_names("customer", ids),
            "address": self.people.addresses("customer", ids, line_breaks=self.line_breaks),
            "pincode": self.people.codes("customer", ids),
            "phone_number": self.people.phone_numbers("customer", ids),
            "customer_joining_date": dates(joined),
            "effective_date": dates(joined),
        }


@lru_cache(maxsize=4)
def world(seed: int, rows: int, line_breaks: bool = False) -> World:
    """The chain of a seed that sells about `rows` lines a day."""
    extent = Extent.of(rows)
    numbers = np.arange(extent.stores, dtype=np.int64)
    weights = 1.0 + 9.0 * (below(draw(seed, "store.size", numbers), 1_000_000) / 1_000_000) ** 3
    return World(seed, extent, assortment(seed, extent.products, line_breaks), people(seed), weights, _team(seed, weights), line_breaks)


def _team(seed: int, weights: npt.NDArray[np.float64]) -> Team:
    """Head → regions → areas → store managers → sellers; larger stores have more sellers."""
    stores = len(weights)
    regions = max(2, -(-stores // 40))
    areas = max(regions, -(-stores // 6))
    first_area = 1 + regions
    first_store_manager = first_area + areas
    staff = 3 + np.rint(weights * 1.7).astype(np.int64)
    everywhere = np.arange(stores, dtype=np.int64)
    sellers = np.repeat(everywhere, staff)
    nobody = np.full(first_store_manager, -1, dtype=np.int64)
    area_manager = 1 + np.arange(areas, dtype=np.int64) % regions
    home = np.concatenate([nobody, everywhere, sellers])
    manager = np.concatenate(
        [[-1], np.zeros(regions, dtype=np.int64), area_manager, first_area + everywhere % areas, first_store_manager + sellers]
    ).astype(np.int64)
    first_seller = first_store_manager + stores
    ids = np.arange(1, len(home) + 1, dtype=np.int64)
    # A third of the sellers move now and then, but the first two of a store never do: no store is ever without sellers.
    place = np.arange(len(sellers)) - np.repeat(np.cumsum(staff) - staff, staff)
    may_move = np.concatenate([np.zeros(first_seller, dtype=bool), place >= 2])
    moves = may_move & (below(draw(seed, "seller.moves", ids), 3) == 0)
    every = np.where(moves, 40 + below(draw(seed, "seller.every", ids), 120), 0)
    phase = below(draw(seed, "seller.phase", ids), np.maximum(every, 1))
    return Team(home, manager, every, phase, first_store_manager, first_seller)
