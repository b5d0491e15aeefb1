"""Chance that can be asked again: every draw is a pure function of the seed and of what is drawn.

Two kinds live here. `draw` hashes (seed, tag, numbers) and makes the lasting facts of the chain: who lives where, when a
price changes. `words` gives a stream of random words for one block of receipts. Both use integers only, so the same
seed gives the same files on every machine and with every version of numpy.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_MASK = (1 << 64) - 1


def _mixed(value: Words) -> Words:
    """The finaliser of SplitMix64: a bijection of 64-bit words whose output looks random."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = value ^ (value >> np.uint64(31))
    return mixed


def draw(seed: int, tag: str, *keys: Ints | int) -> Words:
    """A random word per key; `keys` are broadcast against each other. The same arguments always give the same words."""
    with np.errstate(over="ignore"):
        word = _mixed(np.atleast_1d(np.uint64((seed & _MASK) ^ (zlib.crc32(tag.encode()) << 32))))
        for key in keys:
            word = _mixed(word ^ np.atleast_1d(np.asarray(key, dtype=np.int64)).view(np.uint64))
    return word


def below(word: Words, limit: Ints | int) -> Ints:
    """A whole number from 0 to `limit` - 1 out of each word."""
    number: Ints = (word % np.asarray(limit, dtype=np.uint64)).astype(np.int64)
    return number


def words(seed: int, stream: str, day: int, block: int, count: int) -> Words:
    """`count` random words of one stream of one block of one day (an ordinal)."""
    key = [seed & _MASK, zlib.crc32(stream.encode()), day, block]
    generator = np.random.PCG64(np.random.SeedSequence(key))
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def bits(word: Words, start: int, width: int) -> Ints:
    """The `width` bits of each word from bit `start` on, as a number."""
    number: Ints = ((word >> np.uint64(start)) & np.uint64((1 << width) - 1)).astype(np.int64)
    return number


def slots(weights: Sequence[float] | npt.NDArray[np.float64], size: int) -> Ints:
    """A table of `size` entries in which each index stands as often as its weight says: sampling becomes one look-up."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    return np.searchsorted(edges / edges[-1], (np.arange(size) + 0.5) / size, side="right").astype(np.int64)
