"""What the tills print on a day: receipts of one to five lines, made block by block, each block alone.

A block is a fixed number of rows drawn from streams of its own, so memory is bounded and the rows of a day depend on nothing
but (world, day, number of the block).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from salesmart_assets.generate.arrow import Array, array, as_text, batch_of, joined, looked_up
from salesmart_assets.generate.assortment import GROUPS
from salesmart_assets.generate.chance import Ints, below, bits, draw, slots, words
from salesmart_assets.generate.world import FIRST_STORE, World, dates, day_number, money

BLOCK_ROWS = 131_072
PAYMENT_MODES = ("cash", "card", "UPI")
_PRODUCT_SLOTS = 65_536
_SLOTS = 64
_RECEIPTS_A_DAY = 10**10
_TILLS = 12
# Per cent off the list price: most lines are sold at it.
_DISCOUNTS = np.array([0] * 58 + [5] * 2 + [10] * 2 + [20, 25], dtype=np.int64)
_QUANTITIES = np.array([1] * 36 + [2] * 13 + [3] * 6 + [4] * 3 + [5] * 2 + [6] * 2 + [8, 10], dtype=np.int64)
_LINES = np.array([1] * 24 + [2] * 17 + [3] * 12 + [4] * 7 + [5] * 4, dtype=np.int64)
_WEEKEND_LINES = np.array([1] * 15 + [2] * 17 + [3] * 15 + [4] * 10 + [5] * 7, dtype=np.int64)
# Of 1,024 receipts, 20 arrive a day late and 5 two days late.
_LATE = np.array([2] * 5 + [1] * 20 + [0] * 999, dtype=np.int64)
_LAGS = 3


@dataclass(frozen=True, slots=True)
class Till:
    """Everything that is true for all receipts of one batch date, as tables to look up.

    The first index of `price_cents` and `sellers` is the lag: days between the sale and the batch date.
    """

    world: World
    day: date
    first_customer: int
    visits: Ints
    home_store: Ints
    visited_store: Ints
    products: Ints
    price_cents: Ints
    sellers: Ints
    lines: Ints
    tills: Ints

    def rows(self, block: int, count: int) -> pa.RecordBatch:
        """The first `count` rows (at most `BLOCK_ROWS`) of a block, with all columns of a receipt line."""
        seed, ordinal = self.world.seed, self.day.toordinal()
        word = words(seed, "receipt", ordinal, block, count)
        ends = np.cumsum(self.lines[bits(word, 32, 6)])
        receipts = int(np.searchsorted(ends, count)) + 1
        word, ends = word[:receipts], ends[:receipts]
        other = words(seed, "place", ordinal, block, receipts)
        starts = np.concatenate([[0], ends[:-1]])
        lines = np.minimum(ends, count) - starts
        receipt = np.repeat(np.arange(receipts, dtype=np.int32), lines)

        customer = self.visits[(bits(word, 0, 32) * len(self.visits)) >> 32]
        elsewhere = bits(word, 48, 4) == 0
        store = np.where(elsewhere, self.visited_store[bits(other, 0, 12)], self.home_store[customer])
        lag = _LATE[bits(word, 38, 10)]
        seller = self.sellers[lag, store, bits(word, 58, 6)]
        till = store * _TILLS + below(other >> np.uint64(12), self.tills[store])
        payment = np.array([0] * 18 + [1] * 26 + [2] * 20, dtype=np.int64)[bits(word, 52, 6)]

        item = words(seed, "line", ordinal, block, count)
        product = self.products[bits(item, 0, 16)]
        quantity = _QUANTITIES[bits(item, 16, 6)]
        cents = (self.price_cents[lag[receipt], product] * (100 - _DISCOUNTS[bits(item, 22, 6)]) + 50) // 100
        line = np.arange(count, dtype=np.int64) - starts[receipt] + 1

        stores = np.arange(self.world.extent.stores, dtype=np.int64) + FIRST_STORE
        tills = [f"{number}-{place:02d}" for number in stores.tolist() for place in range(1, _TILLS + 1)]
        columns = {
            "customer_id": looked_up(receipt, array(customer + self.first_customer)),
            "store_id": looked_up(store[receipt], array(stores)),
            "product_name": looked_up(product, self.world.goods.names),
            "sales_date": looked_up(lag[receipt], dates(day_number(self.day) - np.arange(_LAGS, dtype=np.int64))),
            "sales_person_id": looked_up(receipt, array(seller)),
            "price": money(cents),
            "quantity": array(quantity),
            "total_cost": money(cents * quantity),
            "transaction_id": looked_up(receipt, self._numbers(block, receipts)),
            "line_number": array(line),
            "product_id": looked_up(product, array(self.world.goods.ids)),
            "payment_mode": looked_up(payment[receipt], array(PAYMENT_MODES)),
            "pos_id": looked_up(till[receipt], array(tills)),
        }
        return batch_of(columns)

    def _numbers(self, block: int, receipts: int) -> Array:
        """Receipt numbers: unique over all days and stores, because they begin with the batch date."""
        first = int(self.day.strftime("%Y%m%d")) * _RECEIPTS_A_DAY + block * BLOCK_ROWS + 1
        return joined("R", as_text(array(np.arange(first, first + receipts))))


def open_till(world: World, day: date) -> Till:
    """The tables of one batch date."""
    number = day_number(day)
    weekend = day.weekday() >= 5
    quarter = (day.month - 1) // 3
    customers = np.asarray(world.customer_numbers(number), dtype=np.int64)
    # A few come fifty times as often as most: a long tail, and the same people all year.
    loyalty = 1.0 / (0.02 + below(draw(world.seed, "customer.loyalty", customers), 1_000_000) / 1_000_000)
    store_slots = slots(world.store_weights, 4_096)
    demand = np.array([group.season[quarter] * (group.weekend if weekend else 1.0) for group in GROUPS])
    return Till(
        world=world,
        day=day,
        first_customer=int(customers[0]),
        visits=slots(loyalty, 8 * len(customers)),
        home_store=store_slots[below(draw(world.seed, "customer.store", customers), 4_096)],
        visited_store=store_slots,
        products=slots(world.goods.popularity * demand[world.goods.groups], _PRODUCT_SLOTS),
        price_cents=np.stack([world.price_cents(number - lag) for lag in range(_LAGS)]),
        sellers=np.stack([_sellers(world, number - lag, day) for lag in range(_LAGS)]),
        lines=_WEEKEND_LINES if weekend else _LINES,
        tills=np.clip(np.rint(world.store_weights).astype(np.int64) + 1, 2, _TILLS),
    )


def _sellers(world: World, number: int, day: date) -> Ints:
    """For each store, `_SLOTS` seller numbers to choose from: who sells well this month stands in more of them."""
    store, _ = world.seller_stores(number)
    ids = world.team.ids
    month = day.year * 12 + day.month
    weight = 1.0 + below(draw(world.seed, "seller.month", ids, month), 1_000) / 250
    # A store's manager serves now and then.
    weight[: world.team.first_seller] = 0.4
    table: npt.NDArray[np.int64] = np.empty((world.extent.stores, _SLOTS), dtype=np.int64)
    for place in range(world.extent.stores):
        there = np.flatnonzero(store == place)
        table[place] = ids[there][slots(weight[there], _SLOTS)]
    return table
