"""The file of encrypted settings: lines `SALESMART_NAME=enc:v1:…` that people can read, compare and commit.

A value may also say where in a vault it is. In the clear nothing may stand there: a secret that was committed once is public.
Blank lines and those that begin with `#` are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from salesmart_assets.errors import UsageError
from salesmart_assets.security.files import write_whole
from salesmart_assets.security.vaults import is_reference

HEADING = """\
# Settings of salesmart, encrypted: this file may be committed, its key may not.
# `salesmart secrets encrypt NAME` adds one, `salesmart secrets check` tells whether each opens.
"""
_LINE = re.compile(r"(SALESMART_[A-Z0-9_]+)=(\S+)")


@dataclass(frozen=True, slots=True)
class SecretsFile:
    """The lines of the file at `path`, and the value of each setting in it, as it stands there."""

    path: Path
    lines: tuple[str, ...]
    values: Mapping[str, str]

    @classmethod
    def read(cls, path: Path, known: Collection[str]) -> SecretsFile:
        """The file at `path`; empty where there is none.

        Raises `UsageError` with the line for what is no encrypted setting of those `known`. It repeats no value.
        """
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return cls(path, (), {})
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The file of encrypted settings {path} cannot be read ({type(error).__name__}).") from None
        values: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            place, found = f"{path}, line {number}", _LINE.fullmatch(line.strip())
            if found is None:
                raise UsageError(f"{place}: this is no line of the kind SALESMART_NAME=enc:v1:…")
            name, value = found.groups()
            if name not in known:
                raise UsageError(f"{place}: {name} is no setting that can stand here. `salesmart doctor` shows the names.")
            if name in values:
                raise UsageError(f"{place}: {name} is here twice; take one of the lines out.")
            if not is_reference(value):
                raise UsageError(f"{place}: {name} is in the clear. Take the line out, and run: salesmart secrets encrypt {name}")
            values[name] = value
        return cls(path, tuple(text.splitlines()), values)

    def write(self, values: Mapping[str, str]) -> None:
        """Replace the file, at once: each of `values` in the line of its name, new ones at the end."""
        lines = list(self.lines) or HEADING.splitlines()
        places = {found[1]: n for n, line in enumerate(lines) if (found := _LINE.fullmatch(line.strip()))}
        for name, value in values.items():
            if name in places:
                lines[places[name]] = f"{name}={value}"
            else:
                lines.append(f"{name}={value}")
        write_whole(self.path, "".join(f"{line}\n" for line in lines).encode(), mode=0o644)
