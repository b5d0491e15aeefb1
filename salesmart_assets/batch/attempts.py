"""Trying again, but not for ever: files that failed too often are given up, and said to be."""

from __future__ import annotations

from salesmart_assets.batch.platform import Platform
from salesmart_assets.ledger import File


def give_up(platform: Platform) -> list[File]:
    """Give up files that were tried `max_attempts` times and never staged; a rebuild of their date takes them up again.

    Files that are staged are never given up: their rows are safe in the lake, and what is missing is tried until it works.
    """
    most = platform.settings.max_attempts
    hopeless = [f for f in platform.ledger.files(status="A", stages=("registered",)) if f.attempts >= most and f.superseded_by is None]
    for file in hopeless:
        cause = file.reason or "the run failed"
        platform.ledger.give_up([file.file_id], f"given up after {file.attempts} tries: {cause}")
    return hopeless
