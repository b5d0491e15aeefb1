"""Settings as they were given: each in the clear or as a reference, by environment or in the file of encrypted settings.

A value in the environment comes before one in the file. Belongs here: which value of a setting counts, and opening it. Does not
belong here: what a setting means.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from salesmart_assets.errors import UsageError
from salesmart_assets.security import vaults
from salesmart_assets.security.key import Key, read_key
from salesmart_assets.security.sealed import MARK, unseal
from salesmart_assets.security.secrets_file import SecretsFile

FILE, KEY_FILE, PASSPHRASE = "SALESMART_SECRETS_FILE", "SALESMART_SECRETS_KEY_FILE", "SALESMART_SECRETS_PASSPHRASE"
DEFAULT_FILE, DEFAULT_KEY_FILE = Path("salesmart.secrets"), Path("~/.config/salesmart/secrets.key")
IN_THE_CLEAR = frozenset({FILE, KEY_FILE, PASSPHRASE})
"""What opens the other settings can itself be neither encrypted nor in a vault."""
_REGION, _DEFAULT_REGION = "SALESMART_S3_REGION", "us-east-1"


@dataclass(frozen=True)
class Given:
    """The values of an installation's settings, by variable, as they stand in the environment and in the file."""

    environment: Mapping[str, str] = field(repr=False)
    file: SecretsFile

    @classmethod
    def read(cls, known: Collection[str], *, may_lack_file: bool = False) -> Given:
        """What is given for the variables `known`.

        Raises `UsageError` for a file that is not what it should be, or that is named and not there, unless it `may_lack_file`.
        """
        stated = {upper: value for name, value in os.environ.items() if (upper := name.upper()) in known and value}
        for name in sorted(IN_THE_CLEAR & stated.keys()):
            if vaults.is_reference(stated[name]):
                raise UsageError(f"{name} opens the other settings: it can itself be neither encrypted nor in a vault.")
        path = Path(stated.get(FILE, DEFAULT_FILE)).expanduser().absolute()
        if FILE in stated and not path.is_file() and not may_lack_file:
            raise UsageError(f"{FILE} names {path}, which is no file: correct it, or make one with `salesmart secrets init`.")
        return cls(stated, SecretsFile.read(path, set(known) - IN_THE_CLEAR))

    @property
    def references(self) -> dict[str, str]:
        """The values that are encrypted or in a vault, by variable."""
        stated = {name: value for name, value in self.environment.items() if vaults.is_reference(value)}
        return {**{name: value for name, value in self.file.values.items() if name not in self.environment}, **stated}

    @property
    def key_file(self) -> Path:
        """Where the key is, if it is no passphrase. Raises `UsageError` where no place is named and the user has no home."""
        try:
            return Path(self.environment.get(KEY_FILE, DEFAULT_KEY_FILE)).expanduser().absolute()
        except RuntimeError:
            raise UsageError(f"This user has no home folder to look for the key in: name the key's file with {KEY_FILE}.") from None

    @property
    def has_passphrase(self) -> bool:
        """Whether the key is a passphrase."""
        return PASSPHRASE in self.environment

    @cached_property
    def key(self) -> Key:
        """The key of the encrypted values. Raises `UsageError` where there is none."""
        return read_key(self.environment.get(PASSPHRASE), self.key_file, self.file.path)

    def open(self, variable: str, open_client: vaults.OpenSecretsManager = vaults.open_secrets_manager) -> str:
        """The value of a setting in the clear; `open_client` makes the client of AWS Secrets Manager.

        Raises `UsageError` for one that can't be opened, and `Unreachable` for a vault that does not give it.
        """
        text = self.references.get(variable)
        if text is None:
            return self.environment[variable]
        if text.startswith(MARK):
            return unseal(text, variable, self.key.candidates)
        region = self.environment.get(_REGION, _DEFAULT_REGION)
        return vaults.fetch(text, variable, _DEFAULT_REGION if vaults.is_reference(region) else region, open_client)
