"""Only rows go over the wire: a server that asks for a file of this machine gets nothing."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest

from salesmart_assets.publish.wire import WireConnection

_QUERY = b"\x03"
_OK = b"\x00\x00\x00\x02\x00\x00\x00"
Answer = Callable[[bytes], bytes]


class HostileServer:
    """Speaks just enough of MySQL's protocol to let anybody in and to answer the next query with what it likes."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: _OK
        self.received: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            greeting = b"\x0a5.7.0\0" + struct.pack("<I", 1) + b"12345678\0" + b"\xff\xf7" + b"\x21\x02\x00" + b"\xff\x81\x15" + b"\0" * 10
            self._send(client, 0, greeting + b"123456789012\0mysql_native_password\0")  # pragma: allowlist secret
            self._packet(client)
            self._send(client, 2, _OK)
            while (packet := self._packet(client)) is not None:
                number, payload = packet
                self.received.append(payload)
                if payload[:1] == _QUERY:
                    self._send(client, 1, self.answer(payload[1:]) if b"LOAD DATA" in payload else _OK)
                elif not payload:
                    self._send(client, number + 1, _OK)

    def _send(self, client: socket.socket, number: int, payload: bytes) -> None:
        client.sendall(struct.pack("<I", len(payload))[:3] + bytes([number]) + payload)

    def _packet(self, client: socket.socket) -> tuple[int, bytes] | None:
        header = self._exactly(client, 4)
        payload = self._exactly(client, int.from_bytes(header[:3], "little")) if header else None
        return None if header is None or payload is None else (header[3], payload)

    def _exactly(self, client: socket.socket, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                part = client.recv(size - len(data))
            except OSError:
                return None
            if not part:
                return None
            data += part
        return data

    def close(self) -> list[bytes]:
        """Everything that the client sent."""
        self._thread.join(10)
        self._listener.close()
        return self.received


@pytest.fixture
def hostile() -> Iterator[HostileServer]:
    server = HostileServer()
    yield server
    server.close()


def _connect(server: HostileServer) -> WireConnection:
    return WireConnection(host="127.0.0.1", port=server.port, user="ann", password="", local_infile=True, ssl_disabled=True)


@pytest.mark.parametrize("offering", [True, False])
def test_no_file_is_sent_whatever_the_server_asks_for(hostile: HostileServer, tmp_path: Path, offering: bool) -> None:
    """A server that asks for a path of its choice, during a load or out of the blue, gets no byte, and the connection is closed."""
    secret = tmp_path / "secret"
    secret.write_text("the crown jewels")
    hostile.answer = lambda _: b"\xfb" + str(secret).encode()
    connection = _connect(hostile)
    with connection.cursor() as cursor, pytest.raises(pymysql.err.OperationalError, match="asked for a file of this machine"):
        if offering:
            with connection.offer([b"rows"]) as name:
                cursor.execute(f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE t")
        else:
            cursor.execute("SELECT 'LOAD DATA'")
    assert not connection.open
    sent = b"".join(hostile.close())
    assert b"jewels" not in sent
    assert b"rows" not in sent


def test_offered_rows_are_sent_once(hostile: HostileServer) -> None:
    """What was offered is sent whole under its name; a second request for it is refused."""
    hostile.answer = lambda query: b"\xfb" + query.split(b"'")[1]
    rows = b"row\n" * 50_000
    connection = _connect(hostile)
    with connection.cursor() as cursor, connection.offer([rows, b"end"]) as name:
        statement = f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE t"
        cursor.execute(statement)
        with pytest.raises(pymysql.err.OperationalError, match="asked for a file of this machine"):
            cursor.execute(statement)
    received = hostile.close()
    assert b"".join(part for part in received if part[:1] != _QUERY) == rows + b"end"


def test_rows_that_can_not_be_made_end_the_load(hostile: HostileServer) -> None:
    """If making the rows fails half way, the connection is closed: the server must not take them for all there are."""

    def failing() -> Iterator[bytes]:
        yield b"one row\n"
        raise ZeroDivisionError

    hostile.answer = lambda query: b"\xfb" + query.split(b"'")[1]
    connection = _connect(hostile)
    with connection.cursor() as cursor, pytest.raises(ZeroDivisionError), connection.offer(failing()) as name:
        cursor.execute(f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE t")
    assert not connection.open
    assert b"" not in hostile.close()
