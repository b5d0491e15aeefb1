"""Telling: from what was found to messages that have arrived."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from datetime import datetime, timezone
from functools import cached_property

from salesmart_assets.alerts import causes, watch
from salesmart_assets.alerts.book import Book, Open, Waiting
from salesmart_assets.alerts.causes import Cause
from salesmart_assets.alerts.channels import Channel, NotDelivered, PartlyDelivered, channels_of
from salesmart_assets.alerts.messages import Message, grouped
from salesmart_assets.alerts.outcomes import RunOutcome
from salesmart_assets.errors import SalesmartError
from salesmart_assets.ledger import Ledger, Review
from salesmart_assets.logs import as_event
from salesmart_assets.settings import Settings

_log = logging.getLogger(__name__)
_PAUSES = (1.0, 2.0)
"""Seconds between the first tries of a message; after those it waits for a later turn."""
_TURN_SECONDS = 40.0
"""How long one turn of deliveries may take: a sensor's tick has a minute."""


class Alerts:
    """The alerts of one home; to be closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.channels: Sequence[Channel] = channels_of(settings)

    @cached_property
    def book(self) -> Book:
        """What is open and what waits, opened when it is first asked for."""
        return Book(self._settings.root / "alerts.db")

    def __enter__(self) -> Alerts:
        return self

    def __exit__(self, *_: object) -> None:
        if "book" in self.__dict__:
            self.book.close()

    def run_ended(self, outcome: RunOutcome) -> None:
        """Tell why a run failed, and which checks did.

        A run that succeeded ends what was told of all runs, and of its batches; where it did not go through the batches whole, only
        what was told of its job.
        """

        def ends(item: Open) -> bool:
            if not outcome.succeeded or item.kind not in ("run_failed", "check_failed"):
                return False
            mine = not outcome.job or item.key.startswith(f"run/{outcome.job}/")
            return not item.scope or (mine and item.scope in outcome.batch_dates)

        self._settle(causes.of_run(outcome), ends, outcome.run_id)

    def looked(self, error: SalesmartError | None) -> None:
        """Tell why nothing could be looked for; without an error, what was told of that has ended."""
        self._settle([] if error is None else [causes.of_look(error)], lambda item: item.key.startswith("look/") and error is None)

    def look(self, ledger: Ledger) -> None:
        """Tell what the ledger says: rejections, files given up, late batches, places that cannot be looked at; and how the day went."""
        if not self.channels:
            return
        now = datetime.now(timezone.utc)
        review = Review(ledger.engine)
        told = [item.key for item in self.book.open_causes()]
        found = watch.causes(review, self._settings, now, told)
        if not any(key.startswith("look/") for key in told):
            # Where nothing can be looked at, that is one cause, not one of each place.
            found += [causes.of_location(place, fault) for place, fault in ledger.locations.faults().items()]
        self._settle(found, lambda item: item.kind in ("rejected", "given_up", "late") or item.key.startswith("location/"))
        day = watch.day_of(self._settings, now)
        if day is not None:
            still = [item.title for item in self.book.open_causes() if item.kind != "daily"]
            self._settle([watch.of_day(review, now, day, still)], lambda item: item.kind == "daily")

    def deliver(self) -> None:
        """Send what waits, on all channels at once. What a channel does not take is told in the log, and waits for a later turn."""
        threads = [
            threading.Thread(target=copy_context().run, args=(self._deliver_on, channel), daemon=True, name="alert")
            for channel in self.channels
        ]
        ends = time.monotonic() + _TURN_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(ends - time.monotonic(), 0.0))

    def test(self) -> Iterable[tuple[Channel, str]]:
        """Send a message on each channel, once; with each, why it did not arrive, or nothing."""
        now = datetime.now(timezone.utc)
        what = "This is a test: alerts of salesmart arrive here."
        cause = Cause("test", "daily", "Test of the alerts", what, f"{self._settings.root}", "Nothing.")
        (message,) = grouped([cause], now, self._settings.ui_address)
        for channel in self.channels:
            try:
                channel.send(message)
            except NotDelivered as error:
                yield channel, str(error)
            else:
                yield channel, ""

    def _settle(self, found: Sequence[Cause], ends: Callable[[Open], bool], run_id: str = "") -> None:
        if not self.channels:
            if run_id:
                self.book.see(run_id)
            return

        def messages(new: Sequence[Cause]) -> list[Message]:
            return grouped(new, datetime.now(timezone.utc), self._settings.ui_address)

        self.book.settle(found, ends, messages, [channel.name for channel in self.channels], run_id)

    def _deliver_on(self, channel: Channel) -> None:
        while (waiting := self.book.take(channel.name)) is not None:
            if not self._delivered(channel, waiting):
                return

    def _delivered(self, channel: Channel, waiting: Waiting) -> bool:
        """Whether a message has left; if not, it waits for a later turn."""
        why = ""
        for pause in (*_PAUSES, None):
            try:
                channel.send(waiting.message)
            except PartlyDelivered as error:
                _log.warning("%s, %r: %s", channel.name, waiting.message.title, error, extra=as_event("alert.sent"))
            except NotDelivered as error:
                why = str(error)
                if pause is not None:
                    time.sleep(pause)
                continue
            else:
                _log.info("Told by %s: %s", channel.name, waiting.message.title, extra=as_event("alert.sent"))
            self.book.delivered(waiting)
            return True
        again = self.book.failed(waiting)
        if again is None:
            _log.error("%s, %r: given up after a day: %s", channel.name, waiting.message.title, why, extra=as_event("alert.lost"))
        else:
            told = "%s, %r: %s Trying again in %d s."
            _log.warning(told, channel.name, waiting.message.title, why, again, extra=as_event("alert.delayed"))
        return False
