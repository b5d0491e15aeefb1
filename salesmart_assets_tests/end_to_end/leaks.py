"""Looking for words that must be nowhere: in what was printed, in files, in Dagster's storage, and among the processes.

Belongs here: where a word could be, and how it would be hidden there. Does not belong here: which words (the tests).
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote


def spellings(word: str) -> set[bytes]:
    """A word as texts, addresses and JSON would have it."""
    escaped = word.encode("ascii", "backslashreplace").decode()
    return {text.encode() for text in (word, quote(word), quote(word, safe=""), escaped)}


def found_in(content: bytes, words: Collection[str]) -> set[str]:
    """The words that are in some bytes."""
    return {word for word in words if any(spelling in content for spelling in spellings(word))}


def leaks(folder: Path, words: Collection[str], besides: Collection[str] = ()) -> dict[str, set[str]]:
    """The words that files below a folder hold, by path; not those whose path begins as one of `besides`."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.startswith(tuple(besides)):
            continue
        content = path.read_bytes()
        if content.startswith(b"SQLite format 3"):
            content += b"\n".join(_values(path))
        if here := found_in(content, words):
            found[name] = here
    return found


def _values(path: Path) -> Iterator[bytes]:
    """Every value of an SQLite database; what is compressed, as Dagster's snapshots are, as it was before."""
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    yield content
                    if content.startswith(b"\x78"):
                        try:
                            yield zlib.decompress(content)
                        except zlib.error:
                            continue


def command_lines() -> str:
    """The command lines of all processes, as every user of the machine may read them."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return "\n".join(lines)
