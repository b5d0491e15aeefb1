"""Small files: written so that they are there whole or not at all, also after a crash, and named as people name them."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Replace the file at `path`, at once; `mode` are its rights."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def short_path(path: Path) -> str:
    """A path as people write it: as seen from the current folder, or from their home."""
    places = {"": Path.cwd()}
    with suppress(RuntimeError):  # a user without a home, as in some containers
        places["~/"] = Path.home()
    for prefix, place in places.items():
        if path.is_relative_to(place):
            return f"{prefix}{path.relative_to(place)}"
    return str(path)
