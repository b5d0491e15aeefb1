"""The products of the chain: names, groups and base prices. What they cost on a day is the world's business."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from salesmart_assets.generate.arrow import Array, array
from salesmart_assets.generate.chance import Ints, below, draw


@dataclass(frozen=True, slots=True)
class Group:
    """A product group: its lowest and highest base price in cents, what it sells, and how long its goods keep (days, 0: for ever).

    `season` is how much better it sells in each quarter of the year, `weekend` on Saturdays and Sundays.
    """

    name: str
    cents: tuple[int, int]
    goods: tuple[str, ...]
    keeps: int
    season: tuple[float, float, float, float]
    weekend: float


GROUPS = (
    Group("Grocery", (99, 1499), ("Rice", "Coffee", "Pasta", "Olive oil", "Honey", "Lentils", "Muesli", "Tea"), 240, (1, 1, 1, 1.1), 1.0),
    Group("Dairy", (79, 899), ("Milk", "Yoghurt", "Butter", "Cheese", "Cream", "Curd"), 110, (1, 1.05, 1.1, 1), 1.0),
    Group("Bakery", (59, 699), ("Bread", "Rolls", "Cake", "Biscuits", "Crackers"), 95, (1, 1, 1, 1.2), 1.2),
    Group("Beverages", (89, 2499), ("Orange juice", "Mineral water", "Lemonade", "Iced tea", "Cider"), 300, (0.8, 1.2, 1.5, 0.9), 1.3),
    Group("Household", (149, 4999), ("Detergent", "Sponge set", "Candles", "Light bulb", "Storage box"), 0, (1.1, 1, 0.9, 1.1), 1.0),
    Group("Personal care", (129, 3999), ("Shampoo", "Soap", "Toothpaste", "Sun cream", "Hand cream"), 360, (0.9, 1.1, 1.2, 0.9), 0.9),
    Group("Clothing", (799, 14999), ("T-shirt", "Jeans", "Pullover", "Socks", "Rain jacket", "Scarf"), 0, (0.9, 1, 0.9, 1.4), 1.5),
    Group("Toys", (499, 8999), ("Puzzle", "Building blocks", "Board game", "Soft bear", "Kite"), 0, (0.7, 0.9, 1, 2.2), 1.6),
    Group(
        "Electronics", (999, 89999), ("Headphones", "Charger", "Radio", "Desk lamp", "Keyboard", "Television"), 0, (0.9, 0.9, 1, 1.7), 1.4
    ),
)
_KINDS = ("Classic", "Organic", "Premium", "Family", "Light", "Basic", "Mountain", "Coastal", "Golden", "Fresh", "Urban", "Royal", "Simple")
_WEIGHTS = ("100 g", "250 g", "500 g", "750 g", "1 kg", "2 kg", "twin pack", "family pack")
_SIZES = ("small", "medium", "large", "XL", "blue", "red", 'black, 12"', "green")
FIRST_PRODUCT = 1


@dataclass(frozen=True, slots=True)
class Assortment:
    """All products, in the order of their numbers; the first are the ones that sell best."""

    names: Array
    groups: Ints
    base_cents: Ints
    popularity: npt.NDArray[np.float64]

    @property
    def ids(self) -> Ints:
        """Product numbers."""
        return np.arange(FIRST_PRODUCT, FIRST_PRODUCT + len(self.groups), dtype=np.int64)


@lru_cache(maxsize=8)
def assortment(seed: int, count: int, line_breaks: bool) -> Assortment:
    """The assortment of a seed: `count` products with names of their own, popular by rank with a long tail.

    A few names hold commas and quotes; with `line_breaks` one in fifty also holds a line break.
    """
    numbers = np.arange(count, dtype=np.int64)
    groups = below(draw(seed, "product.group", numbers), len(GROUPS))
    goods, kinds, sizes = (draw(seed, f"product.{part}", numbers) for part in ("good", "kind", "size"))
    names: dict[str, None] = {}
    for number in range(count):
        group = GROUPS[groups[number]]
        good, kind = group.goods[int(goods[number]) % len(group.goods)], _KINDS[int(kinds[number]) % len(_KINDS)]
        size = (_WEIGHTS if group.keeps else _SIZES)[int(sizes[number]) % 8]
        joint = "\n" if line_breaks and number % 50 == 7 else ", " if number % 29 == 3 else " "
        name = f"{kind} {good}{joint}{size}"
        # The name alone must tell a product, because a till may not know its number.
        names[name if name not in names else f"{name} No. {number + FIRST_PRODUCT}"] = None
    lowest, highest = (np.array([group.cents[i] for group in GROUPS])[groups] for i in (0, 1))
    share = below(draw(seed, "product.price", numbers), 1_000_000) / 1_000_000
    # Cheap goods are the most; prices end in 9.
    cents = (lowest + (highest - lowest) * share**3).astype(np.int64) // 10 * 10 + 9
    return Assortment(array(list(names)), groups, cents, np.asarray(1.0 / (numbers + 4.0) ** 0.9, dtype=np.float64))
