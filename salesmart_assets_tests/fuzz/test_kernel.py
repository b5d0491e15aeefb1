"""The fuzzer's check, over the files that it begins with and some hundred changes to them."""

from __future__ import annotations

import random

import pytest

from salesmart_assets_tests.fuzz.kernel import CHOICES, CONTRACTS, check, seeds

PIECES = (
    b'"',
    b'""',
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    b"1e3",
    b"-",
    b"99999999999999999999",
)


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The seed with one to four places of its file changed: cut, doubled, exchanged or overwritten."""
    data = bytearray(seed)
    data[0] = chance.randrange(len(CONTRACTS))
    for _ in range(chance.randint(1, 4)):
        begin = chance.randint(CHOICES, len(data))
        end = min(len(data), begin + chance.choice((0, 1, 1, 2, 8, 40)))
        other = chance.randint(CHOICES, len(data))
        data[begin:end] = chance.choice(
            (b"", bytes(data[begin:end]) * 2, chance.choice(PIECES), bytes(data[other : other + 20]), chance.randbytes(2))
        )
    return bytes(data)


def test_the_seeds_hold() -> None:
    """What must hold for every file holds for each file of the corpus, under the contracts of the fuzzer."""
    for seed in seeds():
        check(seed)


@pytest.mark.parametrize("number", range(6))
def test_changed_seeds_hold(number: int) -> None:
    """Whatever is changed in a file, it is read, counted and typed, in blocks of any size, and no error gets out."""
    chance = random.Random(number)
    kept = seeds()
    for _ in range(60):
        check(mutated(chance.choice(kept), chance))
