"""Moving an object of the built-in endpoint by its file: renamed in the folder that the endpoint serves, no byte is copied.

Belongs here: what is done to files of that folder. Does not belong here: deciding what is moved, and where to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from salesmart_assets.landing.faults import ObjectChanged

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _State(NamedTuple):
    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """The file of an object, as it was when it was looked at."""

    path: Path
    state: _State

    @classmethod
    def of(cls, folder: Path, key: str) -> ObjectFile | None:
        """The file of a key under the bucket's folder; None if there is none.

        Nor for a key that is no plain path, for which the endpoint has names of its own.
        """
        parts = key.split("/")
        if "\0" in key or any(part in ("", ".", "..") for part in parts):
            return None
        path = folder.joinpath(*parts)
        return cls(path, _state(path)) if path.is_file() and not path.is_symlink() else None

    @property
    def last_modified(self) -> datetime:
        """When it was written, as precise as the endpoint's listing tells it."""
        return _EPOCH + timedelta(milliseconds=self.state.modified_ns // 1_000_000)

    def rename(self, folder: Path, key: str) -> bool:
        """Give the file the place of a key that is free; False, and nothing is changed, where that can't be done.

        Raises `ObjectChanged` if the file is not the one that was looked at. The new one then stays where it is.
        """
        target = folder / key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Taken first, by a file of nothing: renaming alone would replace what another process has just moved there.
            target.touch(exist_ok=False)
        except OSError:
            return False
        try:
            self.path.replace(target)
        except OSError:
            target.unlink()
            return False
        if _state(target) != self.state:
            # It was overwritten between the look and the renaming. What was overwritten since in its turn is gone, as on any store.
            try:
                self.path.hardlink_to(target)
                target.unlink()
            except FileExistsError:
                target.unlink()
            except OSError:  # a file system without links
                target.replace(self.path)
            raise ObjectChanged(f"{self.path.name} was overwritten while it was moved.")
        self._tidy(folder)
        return True

    def _tidy(self, folder: Path) -> None:
        """Take away the folders that held nothing else, as the endpoint does when it deletes."""
        for parent in self.path.parents:
            if parent == folder:
                return
            try:
                parent.rmdir()
            except OSError:
                return  # something else is in it, or has just landed


def _state(path: Path) -> _State:
    found = path.stat()
    return _State(found.st_ino, found.st_size, found.st_mtime_ns)
