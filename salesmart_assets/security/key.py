"""The key of the encrypted settings: a passphrase from the environment, or a file outside the project.

A key file has a key on each line, the newest first. It has several only while `rotate` is at work: whatever moment a crash
picks, each value opens with one of them.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from salesmart_assets.errors import UsageError
from salesmart_assets.security.files import short_path, write_whole

_SHORTEST = 12
"""Signs of a passphrase: whoever has the file can try guesses without being seen."""
_KEY = re.compile(rb"[!-~]{32,}")
"""A key in a key file. What is shorter, or has blanks, was not made to be one: the heading of a PEM file is the same in all."""


@dataclass(frozen=True, slots=True)
class Key:
    """Where the key is from, in words, and its candidates, the newest first."""

    place: str
    candidates: tuple[bytes, ...] = field(repr=False)

    @property
    def newest(self) -> bytes:
        """What values are encrypted with."""
        return self.candidates[0]


def read_key(passphrase: str | None, key_file: Path, secrets_file: Path) -> Key:
    """The passphrase, where there is one, else what is in the key file.

    Raises `UsageError` where there is neither, and for a key file that lies in the project whose settings it protects.
    """
    if passphrase:
        return Key("the passphrase in SALESMART_SECRETS_PASSPHRASE", (of_passphrase(passphrase),))
    path = outside(key_file, secrets_file)
    try:
        lines = tuple(line for text in path.read_bytes().splitlines() if (line := text.strip()))
    except OSError as error:
        raise UsageError(
            f"There is no key for encrypted settings: {short_path(path)} cannot be read ({error.strerror}), and "
            "SALESMART_SECRETS_PASSPHRASE is not set. Bring the key from where it is kept; `salesmart secrets init` makes a new one, "
            "which opens nothing old."
        ) from None
    if not lines:
        raise UsageError(f"The key file {short_path(path)} is empty: bring the key from where it is kept.")
    if not all(map(_KEY.fullmatch, lines)):
        raise UsageError(
            f"The file {short_path(path)} holds no key: a key is a line of 32 signs or more, without blanks, as `salesmart secrets init` "
            "makes it."
        )
    return Key(short_path(path), lines)


def of_passphrase(passphrase: str) -> bytes:
    """A passphrase as a key. Raises `UsageError` for one that is too short to withstand guessing."""
    if len(passphrase) < _SHORTEST:
        raise UsageError(f"The passphrase of encrypted settings is too short: take at least {_SHORTEST} signs.")
    # The environment may hold any bytes.
    return passphrase.encode("utf-8", "surrogateescape")


def outside(key_file: Path, secrets_file: Path) -> Path:
    """The key file's absolute path. Raises `UsageError` where it lies with what it protects: a copy of the project would hold both."""
    path, folder = key_file.expanduser().resolve(), secrets_file.expanduser().resolve().parent
    project = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)
    if path.parent == folder or (project is not None and path.is_relative_to(project)):
        raise UsageError(
            f"The key file {path} lies in the project whose settings it protects: move it outside of {project or folder}, and name it "
            "with SALESMART_SECRETS_KEY_FILE."
        )
    return path


def make_key(path: Path) -> bool:
    """Write a new random key, readable by its owner only; False if there is a key file already, which stays."""
    if path.exists():
        return False
    write_keys(path, (_fresh(),))
    return True


def add_key(path: Path, key: Key) -> Key:
    """A new key in front of those in a key file, which still open what they opened."""
    added = Key(key.place, (_fresh(), *key.candidates))
    write_keys(path, added.candidates)
    return added


def old_keys(path: Path) -> Path:
    """Where the keys are kept that were in a key file before."""
    return path.with_name(f"{path.name}.old")


def keep_old(path: Path, key: Key) -> None:
    """Keep the keys of a key file that is about to get others: files of other projects may need them."""
    kept = old_keys(path)
    before = kept.read_bytes().split() if kept.exists() else ()
    write_keys(kept, tuple(dict.fromkeys((*key.candidates, *before))))


def write_keys(path: Path, keys: tuple[bytes, ...]) -> None:
    """Replace what is in a key file, at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, b"".join(key + b"\n" for key in keys), mode=0o600)


def open_to_others(path: Path) -> bool:
    """Whether others than its owner may read a file."""
    return os.name == "posix" and path.exists() and bool(path.stat().st_mode & 0o077)


def _fresh() -> bytes:
    return secrets.token_urlsafe(32).encode()
