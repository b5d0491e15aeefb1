"""Alerts in a home of their own, told to receivers on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from salesmart_assets.settings import Settings
from salesmart_assets_tests.receivers import MailServer, WebServer, mail_server, web_server


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests."""
    for name in [n for n in os.environ if n.startswith("SALESMART_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server that answers all with 200, unless told otherwise."""
    with web_server() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, web: WebServer) -> Settings:
    """A home whose alerts go to the web server."""
    return Settings.load(home=tmp_path / "home", alert_webhook_url=web.address, ui_url="https://ui.example/")


@pytest.fixture(params=["starttls", "implicit"])
def mail(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server whose authority is trusted: one test run by STARTTLS, one with TLS from the first byte on."""
    with mail_server(tmp_path / "mail", implicit=request.param == "implicit") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        yield server
