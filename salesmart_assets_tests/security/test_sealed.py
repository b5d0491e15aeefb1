"""Encrypted values open with their key and for their setting, and in no other way."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from salesmart_assets.security import sealed
from salesmart_assets.security.sealed import CannotOpen, seal, unseal

KEY, OTHER = b"correct horse battery", b"another key altogether"
SETTING = "SALESMART_DATABASE_URL"
VALUE = "mysql+pymysql://ann:hidden-word-in-here@db/marts"


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keys that are derived at once: for tests with many salts."""
    monkeypatch.setattr(sealed, "_COST", 1 << 4)
    sealed._derived.cache_clear()
    yield
    sealed._derived.cache_clear()


def altered(text: str) -> list[str]:
    """The text with each of its signs changed, one at a time; and shortened and lengthened."""
    signs = [text[:n] + ("A" if sign != "A" else "B") + text[n + 1 :] for n, sign in enumerate(text)]
    return [*(s for s in signs if s.startswith("enc:")), text[:-1], text + "A", text + "=", f"{text} "]


def test_the_format_is_the_documented_one() -> None:
    """AES-256-GCM under scrypt (2^17, 8, 1), the name authenticated, salt and nonce in front: read as other programs write it."""
    salt, nonce = os.urandom(16), os.urandom(12)
    key = hashlib.scrypt(KEY, salt=salt, n=2**17, r=8, p=1, maxmem=2**28, dklen=32)
    body = salt + nonce + AESGCM(key).encrypt(nonce, VALUE.encode(), b"salesmart enc:v1:SALESMART_DATABASE_URL")
    text = "enc:v1:" + base64.urlsafe_b64encode(body).decode().rstrip("=")
    assert unseal(text, SETTING, [OTHER, KEY]) == VALUE


def test_a_value_is_never_encrypted_twice_alike(cheap: None) -> None:
    """Salt and nonce are drawn anew: equal values show no likeness, also where they share a salt to spare time."""
    made = [seal(VALUE, SETTING, KEY) for _ in range(3)] + [seal(VALUE, SETTING, KEY, b"s" * 16) for _ in range(3)]
    raw = [base64.urlsafe_b64decode(text[7:] + "==") for text in made]
    assert len({part[:16] for part in raw}) == 4
    assert len({part[16:28] for part in raw}) == 6
    assert len({part[28:] for part in raw}) == 6
    assert not any(KEY in part or VALUE.encode() in part for part in raw)


@given(value=st.text(), setting=st.sampled_from([SETTING, "SALESMART_COUPON_SECRET"]))
def test_any_text_comes_back(value: str, setting: str) -> None:
    """What was encrypted comes back as it was, whatever its signs; and under another setting's name it does not open."""
    text = seal(value, setting, KEY, b"one salt for all")
    assert text.isascii()
    assert len(text.split()) == 1
    assert unseal(text, setting, [KEY]) == value
    with pytest.raises(CannotOpen, match="for another setting"):
        unseal(text, "SALESMART_LEDGER_URL", [KEY])


def test_a_changed_sign_does_not_open(cheap: None) -> None:
    """Whichever sign of an encrypted value is changed, it does not open, and the error holds neither value nor key."""
    text = seal(VALUE, SETTING, KEY)
    for wrong in altered(text):
        with pytest.raises(CannotOpen) as caught:
            unseal(wrong, SETTING, [KEY])
        assert SETTING in str(caught.value)
        assert not any(part in str(caught.value) for part in ("hidden-word-in-here", KEY.decode(), text[7:]))


def test_another_key_does_not_open(cheap: None) -> None:
    """A wrong key is an error that says so."""
    with pytest.raises(CannotOpen, match="encrypted with another key"):
        unseal(seal(VALUE, SETTING, KEY), SETTING, [OTHER])


@pytest.mark.parametrize(
    "text", ["enc:v2:AAAA", "enc:", "enc:hidden-word-in-here", "enc:V1:AAAA", "enc:v1", "enc:v1:", "enc:v1:ä", "enc:v1:AAAA"]
)
def test_what_is_no_encrypted_value(text: str) -> None:
    """An unknown version, or what is no encrypted value at all, is an error that repeats nothing of it."""
    with pytest.raises(CannotOpen, match=SETTING) as caught:
        unseal(text, SETTING, [KEY])
    assert "hidden-word-in-here" not in str(caught.value)
    assert ("upgrade salesmart" in str(caught.value)) == (not text.startswith("enc:v1:"))
