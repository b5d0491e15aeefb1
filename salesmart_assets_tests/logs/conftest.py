"""The package's logger as a program finds it, before anything listens, and afterwards again."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from salesmart_assets.logs.files import LevelFiles


@pytest.fixture(autouse=True)
def log() -> Iterator[logging.Logger]:
    """The package's logger, without files."""
    logger = logging.getLogger("salesmart_assets")
    before, level, passes_on = list(logger.handlers), logger.level, logger.propagate
    logger.handlers = [h for h in before if not isinstance(h, LevelFiles)]
    yield logger
    for handler in logger.handlers:
        if isinstance(handler, LevelFiles):
            handler.close()
    logger.handlers = before
    logger.setLevel(level)
    logger.propagate = passes_on
