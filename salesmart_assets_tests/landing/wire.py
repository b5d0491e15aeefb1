"""A wire between a client and a real store that does to requests what networks, proxies and overloaded stores do."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from typing_extensions import Self

Trouble = Literal["busy", "stall", "cut", "reset", "short", "ExpiredToken", "InvalidAccessKeyId", "AccessDenied", "NoSuchBucket"]
_STATUS = {"busy": 503, "ExpiredToken": 400, "InvalidAccessKeyId": 403, "AccessDenied": 403, "NoSuchBucket": 404}
_CODE = {"busy": "SlowDown"}
_OF_BODIES = ("cut", "reset", "short")


@dataclass
class _Fault:
    trouble: Trouble
    times: int
    on: re.Pattern[str]


@dataclass
class BadWire:
    """A wire to a store: everything goes through, but for the troubles that it is told to make."""

    url: str = ""
    stall_seconds: float = 3.0
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""
    _faults: list[_Fault] = field(default_factory=list)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def does(self, trouble: Trouble, times: int = 1_000_000, on: str = "") -> None:
        """Make this trouble for the next requests whose "METHOD /path?query" matches the pattern `on`.

        busy: 503 SlowDown; stall: no answer; cut: the connection closes within the body; reset: it is reset there; short: half a body,
        with the length of a half; else the store's answer of that code. cut, reset and short befall answers with a body only.
        """
        self._faults.append(_Fault(trouble, times, re.compile(on)))

    def heal(self) -> None:
        """Make no trouble any more."""
        self._faults.clear()

    def next_trouble(self, request: str, *, bodies: bool) -> Trouble | None:
        """The trouble that is due for a request."""
        with self._mutex:
            for fault in self._faults:
                if fault.times and fault.on.search(request) and (fault.trouble in _OF_BODIES) is bodies:
                    fault.times -= 1
                    return fault.trouble
        return None

    @classmethod
    @contextmanager
    def to(cls, store: str) -> Iterator[Self]:
        """A wire to the store at this address."""
        wire = cls()
        server = _Server(wire, store.removeprefix("http://").rstrip("/"))
        wire.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def forward(self) -> None:
        asked = f"{self.command} {self.path}"
        self.server.wire.asked.append(asked)
        body = self._body()
        trouble = self.server.wire.next_trouble(asked, bodies=False)
        if trouble == "stall":
            time.sleep(self.server.wire.stall_seconds)
            self.close_connection = True
            return
        if trouble is not None:
            self._refuse(trouble)
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect", "transfer-encoding", "content-length"):
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self._answer(asked, answer, content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, asked: str, answer: http.client.HTTPResponse, content: bytes) -> None:
        trouble = self.server.wire.next_trouble(asked, bodies=True) if content and self.command == "GET" else None
        half = content[: len(content) // 2]
        length = str(len(half if trouble == "short" else content))
        if self.command == "HEAD":
            length = answer.headers.get("Content-Length", "0")
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(half if trouble else content)
        self.wfile.flush()
        if trouble == "reset":
            # Closed with nothing to wait for, a connection is reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif trouble == "cut":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self, trouble: Trouble) -> None:
        code = _CODE.get(trouble, trouble)
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.send_response(_STATUS[trouble])
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = forward  # noqa: N815 (names that the base class looks for)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    def __init__(self, wire: BadWire, target: str) -> None:
        self.wire = wire
        self.target = target
        super().__init__(("127.0.0.1", 0), _Forward)

    def handle_error(self, *_: object) -> None:
        """A client that has gone away is part of the game."""

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """No orderly end before the close, which would make a reset one."""
        self.close_request(request)
