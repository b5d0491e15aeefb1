"""Which column of a file is which column of the contract.

Belongs here: names, in any order and case, aliases, and the policies on missing and extra columns. Does not belong here: values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salesmart_assets.contracts import Contract
from salesmart_assets.ingest.content import FileRejected

_DELIMITERS = {
    ",": "comma",
    ";": "semicolon",
    "\t": "tab",
    "|": "vertical bar",
    ":": "colon",
    "^": "caret",
    "~": "tilde",
    "\x01": "control-A",
}
_SHOWN = 40
"""Names of a header that a message shows."""


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file: `names` as they stand in it, `known` by the contract's name, `extra` by the file's; both give positions."""

    names: tuple[str, ...]
    known: dict[str, int]
    extra: dict[str, int]


def match(names: Sequence[str], contract: Contract) -> Header:
    """Find the contract's columns among the names of a file's header.

    Raises `FileRejected` for names that mean the same column twice, and for what the contract's policies forbid. Extra
    columns without a name are called `column_N` by their position.
    """
    spellings = contract.spellings()
    known: dict[str, int] = {}
    extra: dict[str, int] = {}
    shown = [name.strip() or f"column_{place + 1}" for place, name in enumerate(names)]
    means = [spellings.get(name.lower()) for name in shown]
    # A file without a header shows its first row here: names are only repeated in messages once one of them is known.
    for place, (name, meaning) in enumerate(zip(shown, means, strict=True)):
        found = extra if meaning is None else known
        first = found.setdefault(meaning or name, place)
        if first != place and any(means):
            raise FileRejected(
                "file.duplicate_column", f"{shown[first]} (column {first + 1}) and {name} (column {place + 1}) are the same column"
            )
    require(known, shown, contract)
    if extra and contract.on_extra_column == "reject_file":
        raise FileRejected("file.extra_column", f"the contract does not name {listed(list(extra))}")
    return Header(tuple(shown), known, extra)


def require(known: dict[str, int] | set[str], names: Sequence[str], contract: Contract) -> None:
    """Raise `FileRejected` where the contract wants a mandatory column and the file does not have it."""
    missing = [name for name in contract.mandatory if name not in known]
    if known and (not missing or contract.on_missing_column == "fill_null"):
        return
    which = f"the mandatory column {missing[0]} is missing" if len(missing) == 1 else f"the mandatory columns {listed(missing)} are missing"
    if not missing:
        which = "no column is there"
    if not known:
        which += "; no name in the first line is a column of the contract, is the header missing?"
    else:
        which += f"; header has: {listed(list(names))}"
    raise FileRejected("file.missing_column", which)


def other_delimiter(line: str, contract: Contract) -> str | None:
    """The sign that separates the names of a header, if it is another than the contract's; in words."""
    spellings = contract.spellings()

    def recognised(delimiter: str) -> int:
        return len({spellings[n] for n in (part.strip(' \t"').lower() for part in line.split(delimiter)) if n in spellings})

    best = max(_DELIMITERS, key=recognised)
    return _DELIMITERS[best] if best != contract.delimiter and recognised(best) > max(1, recognised(contract.delimiter)) else None


def delimiter_name(delimiter: str) -> str:
    """A delimiter in words, such as `comma`."""
    return _DELIMITERS.get(delimiter, repr(delimiter))


def listed(names: Sequence[str]) -> str:
    """Names for a message, no more than fit."""
    short = [name if len(name) <= 60 else f"{name[:60]}…" for name in names[:_SHOWN]]
    return ", ".join(short) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
