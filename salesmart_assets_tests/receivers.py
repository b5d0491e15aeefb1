"""Those who get alerts, for real on this machine: a mail server with TLS and a password, and a web server that answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "robot@shop.example", "pass: word/1"
REFUSED = "nobody@shop.example"


@dataclass
class MailServer:
    """A mail server: what arrived, and who logged in. `address` is what `SALESMART_ALERT_SMTP_URL` is set to."""

    address: str
    authority: Path
    """The certificate of the authority that its own is from."""
    arrived: list[EmailMessage] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 (the library's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Sequence[str]
    ) -> str:
        if not session.authenticated:
            return "530 log in first"
        if address == REFUSED:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 (the library's name)
        found = message_from_bytes(bytes(envelope.content or b""), policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.arrived.append(found)
        self.secure.append(session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        self.logins.append(good)
        return AuthResult(success=good, handled=False)


@contextmanager
def mail_server(folder: Path, *, implicit: bool = False, tls: bool = True, password: str = PASSWORD) -> Iterator[MailServer]:
    """A mail server on this machine that takes mail over TLS only, from who knows its password; `tls=False` offers no TLS."""
    authority = trustme.CA()
    folder.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = MailServer("", folder / "authority.pem")
    asks: dict[str, Any] = {"authenticator": server.authenticate, "hostname": "127.0.0.1", "port": 0}
    if implicit:
        asks |= {"ssl_context": context, "auth_require_tls": False}
    elif tls:
        asks |= {"tls_context": context, "require_starttls": True}
    else:
        asks |= {"auth_require_tls": False}
    controller = _Controller(server, **asks)
    controller.start()
    try:
        secret = password.replace(" ", "%20").replace("/", "%2F").replace(":", "%3A")
        scheme = "smtps" if implicit else "smtp"
        server.address = f"{scheme}://{USER.replace('@', '%40')}:{secret}@localhost:{controller.port}"
        yield server
    finally:
        controller.stop()


class _Controller(Controller):
    """The library's controller, on a port that the system chooses."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@dataclass
class WebServer:
    """A web server: the bodies that it was sent. It answers with `answers`, one after another, and then 200; None: not at all."""

    address: str = ""
    answers: list[int | None] = field(default_factory=list)
    asked: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def titles(self) -> list[str]:
        return [body["title"] for body in self.got]


@contextmanager
def web_server(*answers: int | None) -> Iterator[WebServer]:
    """A web server on this machine; what it answers with 200 has arrived."""
    server = WebServer(answers=list(answers))
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                server.asked += 1
                answer = server.answers.pop(0) if server.answers else 200
                if answer == 200:
                    server.got.append(json.loads(body))
            if answer is None:
                server.release.wait(60)
                return
            self.send_response(answer)
            self.send_header("Location", f"{server.address}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the library's name)
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        server.address = f"http://127.0.0.1:{listening.server_port}/hooks/hidden-word"
        try:
            yield server
        finally:
            server.release.set()
            listening.shutdown()
            thread.join()
