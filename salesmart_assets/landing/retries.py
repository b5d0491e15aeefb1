"""Trying again: how long to wait between two requests for the same thing, and telling the log that it was needed.

boto3 tries each request several times by itself, with growing pauses drawn at random, and says nothing. Here it says so.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_log = logging.getLogger(__name__)
_BUSY = {429, 500, 502, 503, 504}


def tell_of_retries(client: S3Client) -> None:
    """Have every request of the client that failed in passing told in the log; doing it twice is once."""
    client.meta.events.register_first("needs-retry.s3", _tell, unique_id="salesmart-needs-retry")


def pause(seconds: float) -> float:
    """A pause of about so many seconds, drawn at random, so that those who were turned away together do not come back together."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 (no secret depends on it)


def tell(what: str, seconds: float) -> None:
    """Tell the log that something is tried again after a pause."""
    _log.warning("%s Trying again in %.1f s.", what, seconds)


def _tell(operation: Any, response: Any, attempts: int, caught_exception: BaseException | None, **_: Any) -> None:
    if caught_exception is not None:
        _log.warning("S3: %s, try %d: the connection was lost (%s).", operation.name, attempts, type(caught_exception).__name__)
    elif response is not None and response[0].status_code in _BUSY:
        code = response[1].get("Error", {}).get("Code", "")
        _log.warning("S3: %s, try %d: the store is busy (%d %s).", operation.name, attempts, response[0].status_code, code)
