"""Trying again, but not for ever: files that failed too often are given up, and said to be."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from salesmart_assets.batch.platform import Platform
from salesmart_assets.ledger import File


def give_up(platform: Platform, busy: Collection[date] = ()) -> list[File]:
    """Give up files that were tried `max_attempts` times and never staged; a rebuild of their date takes them up again.

    Files that are staged are never given up: their rows are safe in the lake, and what is missing is tried until it works.
    The dates in `busy` have a run in progress, which may still succeed.
    """
    return platform.ledger.give_up(platform.settings.max_attempts, busy)
