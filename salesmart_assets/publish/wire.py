"""The connection to MySQL and MariaDB that sends rows from memory, and never a file.

`LOAD DATA LOCAL INFILE` lets the server name the file that the client shall send, and a hostile or hijacked server may name
any. Here a request is answered only while a load is under way, only under the name made up for it, and with bytes from
memory: no file is opened, whatever the server asks for, and no personal data is left behind on disk by a crash.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pymysql import err
from pymysql.connections import Connection
from pymysql.constants import CR

_FILE_REQUEST = b"\xfb"
_CHUNK = 1 << 16


class WireConnection(Connection):
    """A PyMySQL connection whose `LOAD DATA LOCAL INFILE` reads from memory."""

    _offered: tuple[bytes, Iterable[bytes]] | None = None
    _answer_expected = False

    @contextmanager
    def offer(self, parts: Iterable[bytes]) -> Iterator[str]:
        """Within the block, the server may ask once for the yielded name, and gets `parts`."""
        name = f"salesmart-{uuid.uuid4()}"
        self._offered = (name.encode(), parts)
        try:
            yield name
        finally:
            self._offered = None

    def _read_query_result(self, *args: Any, **kwargs: Any) -> Any:
        # A request for a file looks like a row whose first value is NULL: only the first packet of an answer can be one.
        self._answer_expected = True
        return super()._read_query_result(*args, **kwargs)  # type: ignore[misc]

    def _read_packet(self, *args: Any, **kwargs: Any) -> Any:
        first, self._answer_expected = self._answer_expected, False
        packet = super()._read_packet(*args, **kwargs)  # type: ignore[no-untyped-call]
        if not first or packet.get_all_data()[:1] != _FILE_REQUEST:
            return packet
        offered, self._offered = self._offered, None
        if offered is None or packet.get_all_data()[1:] != offered[0]:
            self._force_close()  # type: ignore[attr-defined]
            raise err.OperationalError(
                CR.CR_MALFORMED_PACKET,
                "The database server asked for a file of this machine that it was not offered. Nothing was sent and the connection "
                "was closed: make sure that the address is that of your own server.",
            )
        try:
            for part in offered[1]:
                for start in range(0, len(part), _CHUNK):
                    self.write_packet(part[start : start + _CHUNK])
        except BaseException:
            # A load cut short must not be taken for a whole one.
            self._force_close()  # type: ignore[attr-defined]
            raise
        self.write_packet(b"")
        return super()._read_packet(*args, **kwargs)  # type: ignore[no-untyped-call]
