"""Encrypted values: `enc:v1:…`, which may be committed, and opens only with the key and for the setting it was made for.

AES-256-GCM under a key derived with scrypt; salt and nonce are random and stand in front of the ciphertext, the key never
does. The setting's name is authenticated along with the value, so that a value can't be moved to another setting. No message
holds a value or a part of a key.
"""

from __future__ import annotations

import base64
import binascii
import functools
import os
from collections.abc import Sequence

from salesmart_assets.errors import UsageError

MARK = "enc:"
_VERSION = f"{MARK}v1:"
SALT_BYTES = 16
_NONCE_BYTES, _TAG_BYTES = 12, 16
# 128 MiB and some 0.3 s for each guess: what OWASP asks of scrypt.
_COST, _BLOCK, _LANES = 1 << 17, 8, 1


class CannotOpen(UsageError):
    """An encrypted value that cannot be read: another key, a changed or moved value, a version of a newer salesmart."""


def seal(value: str, setting: str, key: bytes, salt: bytes | None = None) -> str:
    """The value encrypted for a setting, as one line of ASCII. Values that share a `salt` cost one derivation of the key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = salt or os.urandom(SALT_BYTES), os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_derived(key, salt)).encrypt(nonce, value.encode(), _bound_to(setting))
    return _VERSION + base64.urlsafe_b64encode(salt + nonce + sealed).decode().rstrip("=")


def unseal(text: str, setting: str, keys: Sequence[bytes]) -> str:
    """The value of a setting, opened with the first of the keys that fits. Raises `CannotOpen`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce, sealed = _parts(text, setting)
    for key in keys:
        try:
            return AESGCM(_derived(key, salt)).decrypt(nonce, sealed, _bound_to(setting)).decode()
        except InvalidTag:
            continue
    raise CannotOpen(
        f"{setting} cannot be decrypted: it was encrypted with another key, or for another setting, or was changed since. "
        f"Give the key that it was encrypted with, or encrypt it again: `salesmart secrets encrypt {setting}`."
    )


def salt_of(text: str, setting: str) -> bytes:
    """The salt of an encrypted value, for others to share. Raises `CannotOpen`."""
    return _parts(text, setting)[0]


def _parts(text: str, setting: str) -> tuple[bytes, bytes, bytes]:
    """Salt, nonce and ciphertext."""
    if not text.startswith(_VERSION):
        raise CannotOpen(
            f"{setting} is encrypted in a version that this salesmart does not know, which is not `{_VERSION}`: upgrade salesmart, "
            f"or encrypt it again: `salesmart secrets encrypt {setting}`."
        )
    body = text.removeprefix(_VERSION)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    # The last sign has bits to spare: only the one spelling that `seal` writes is taken.
    if len(raw) < SALT_BYTES + _NONCE_BYTES + _TAG_BYTES or base64.urlsafe_b64encode(raw).decode().rstrip("=") != body:
        raise CannotOpen(f"The encrypted value of {setting} is damaged: encrypt it again: `salesmart secrets encrypt {setting}`.")
    return raw[:SALT_BYTES], raw[SALT_BYTES : SALT_BYTES + _NONCE_BYTES], raw[SALT_BYTES + _NONCE_BYTES :]


def _bound_to(setting: str) -> bytes:
    return f"salesmart {_VERSION}{setting}".encode()


@functools.lru_cache(maxsize=64)
def _derived(key: bytes, salt: bytes) -> bytes:
    """The AES key: derived once in a process for each salt."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=_COST, r=_BLOCK, p=_LANES).derive(key)
