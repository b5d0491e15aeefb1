"""Fetching: the bytes of one landed object on the disk of the machine that is to parse it.

Belongs here: which bytes they are, and why there are none. Does not belong here: what is done with them, and on which machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from salesmart_assets.batch.parsing import Parsed
from salesmart_assets.landing.faults import BucketFault, ObjectChanged, ObjectDenied, ObjectGone, StoreFault
from salesmart_assets.landing.zone import LandingZone
from salesmart_assets.ledger import File

FAULTS = (ObjectDenied, BucketFault, StoreFault)
"""Why a file can't be had now; the next run asks for it again."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file whose bytes were read. Without a hash there are none: `fault` says why not now; where it is None, they are gone for good.

    Its bytes are at `path` on the machine that read it; `parsed` is what came of it, where that machine has parsed it at once.
    """

    file: File
    path: Path
    content_hash: str | None
    fault: Exception | None = None
    parsed: Parsed | None = None


def fetch(zone: LandingZone, file: File, folder: Path) -> Fetched:
    """Bring exactly the object that is registered into a folder."""
    path = folder / str(file.file_id)
    with path.open("wb") as into:
        try:
            content_hash = zone.download_file(
                file.current_key, file.current_etag, file.size, file.current_version_id, into, bucket=file.bucket
            )
        except (ObjectGone, ObjectChanged):
            # Another identity is in its place, or nothing: what was listed can no longer be had. If it was
            # overwritten, the new object is listed by the next look and supersedes this one.
            return Fetched(file, path, None)
        except FAULTS as error:
            return Fetched(file, path, None, fault=error)
    return Fetched(file, path, content_hash)
