"""What `salesmart secrets` does: making a key and a file, adding values, changing the key, and telling whether each value opens."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from salesmart_assets.errors import SalesmartError, UsageError
from salesmart_assets.security.files import short_path
from salesmart_assets.security.given import IN_THE_CLEAR, Given
from salesmart_assets.security.key import add_key, keep_old, make_key, of_passphrase, outside, write_keys
from salesmart_assets.security.sealed import MARK, SALT_BYTES, CannotOpen, salt_of, seal, unseal


@dataclass(frozen=True, slots=True)
class Checked:
    """A setting that is encrypted, in a vault, or a secret in the clear; where it stands; and why it does not open, if it does not."""

    setting: str
    place: str
    kind: str
    fault: str = ""


@contextmanager
def alone(given: Given) -> Iterator[None]:
    """Change the file while nobody else does; what is `given` is to be read once more then. Another one is waited for."""
    handle = os.open(given.file.path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def begin(given: Given) -> bool:
    """Make the file of encrypted settings, if there is none, and a key file, unless a passphrase is the key; True for a new key."""
    made = not given.has_passphrase and make_key(outside(given.key_file, given.file.path))
    _ = given.key  # a passphrase that is too short, or a key file that is empty, is told now
    if not given.file.path.exists():
        given.file.write({})
    return made


def encrypt(given: Given, setting: str, value: str) -> None:
    """Put a setting's value into the file, encrypted.

    Raises `UsageError` for a setting that must stay in the clear, and `CannotOpen` if the key is not that of the other values.
    """
    if setting in IN_THE_CLEAR:
        raise UsageError(f"{setting} opens the other settings: it can itself not be encrypted.")
    if not value:
        raise UsageError("There is no value: nothing was encrypted.")
    others = {name: text for name, text in _encrypted(given).items() if name != setting}
    # After a rotation that was cut off, the key of the other values is not the newest.
    keys = given.key.candidates
    found = next(((key, salt_of(text, name)) for key in keys for name, text in others.items() if _opens(text, name, key)), None)
    if others and found is None:
        raise CannotOpen(
            f"The key, {given.key.place}, opens no other value of {short_path(given.file.path)}, and one key must open all: bring the key "
            "that does; if it is lost, take the lines of the others out and encrypt them again, too."
        )
    key, salt = found or (given.key.newest, None)
    given.file.write({setting: seal(value, setting, key, salt)})


def rotate(given: Given, passphrase: str) -> int:
    """Encrypt every value of the file with a new key, and return how many there are.

    The new key is `passphrase` where the old one is a passphrase, and a random one in the key file otherwise; the old one is kept
    beside it, since it may open the file of another project. The file is replaced at once: it holds all old values or all new ones.
    Raises `CannotOpen`, and changes nothing, if one of them does not open.
    """
    elsewhere = [name for name, text in given.environment.items() if text.startswith(MARK)]
    if elsewhere:
        raise UsageError(
            f"{elsewhere[0]} is encrypted in the environment, which can't be changed from here: move it to {short_path(given.file.path)}."
        )
    values = {name: unseal(text, name, given.key.candidates) for name, text in _encrypted(given).items()}
    salt = os.urandom(SALT_BYTES)
    # Until the file is replaced a key file has both, so that a crash leaves nothing that does not open.
    new = of_passphrase(passphrase) if given.has_passphrase else add_key(given.key_file, given.key).newest
    given.file.write({name: seal(value, name, new, salt) for name, value in values.items()})
    if not given.has_passphrase:
        keep_old(given.key_file, given.key)
        write_keys(given.key_file, (new,))
    return len(values)


def check(given: Given, secret: Collection[str]) -> list[Checked]:
    """Whether each encrypted value opens and each vault gives its own; and which of the `secret` settings are in the clear."""
    found = []
    for name, text in sorted(given.references.items()):
        kind = "encrypted" if text.startswith(MARK) else f"in a vault ({text.partition(':')[0]})"
        fault = ""
        try:
            given.open(name)
        except SalesmartError as error:
            fault = str(error)
        place = "environment" if name in given.environment else short_path(given.file.path)
        found.append(Checked(name, place, kind, fault))
    clear = sorted(name for name in given.environment if name in secret and name not in given.references)
    return found + [Checked(name, "environment", "in the clear") for name in clear]


def _opens(text: str, setting: str, key: bytes) -> bool:
    try:
        unseal(text, setting, (key,))
    except CannotOpen:
        return False
    return True


def _encrypted(given: Given) -> Mapping[str, str]:
    """The encrypted values of the file, by setting."""
    return {name: text for name, text in given.file.values.items() if text.startswith(MARK)}
