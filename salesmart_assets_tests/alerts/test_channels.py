"""What arrives, and what is said when it does not: with real servers on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from salesmart_assets.alerts import channels
from salesmart_assets.alerts.causes import Cause
from salesmart_assets.alerts.channels import Channel, NotDelivered, PartlyDelivered, channels_of
from salesmart_assets.alerts.messages import Message, again, grouped
from salesmart_assets.errors import UsageError
from salesmart_assets.settings import Settings
from salesmart_assets_tests.receivers import PASSWORD, REFUSED, USER, MailServer, WebServer, mail_server, web_server

CAUSE = Cause("k", "rejected", "File a<b>.csv was rejected whole", "file.header: é & <x>", "s3://b/k", "Land it again.", "run-1", "")
(MESSAGE,) = grouped([CAUSE], datetime(2026, 8, 1, 12, tzinfo=timezone.utc), "https://ui.example")


def only(**given: object) -> Channel:
    (channel,) = channels_of(Settings.load(**given))
    return channel


def test_mail_arrives_over_tls(mail: MailServer) -> None:
    """An e-mail arrives over TLS, by STARTTLS and by TLS from the start, and says what happened, where, what to do, and where to look."""
    to = ("ann@shop.example", "bob@shop.example")
    only(alert_email_to=",".join(to), alert_smtp_url=mail.address).send(MESSAGE)
    (arrived,) = mail.arrived
    assert mail.secure == [True]
    assert mail.logins == [True]
    assert arrived["Subject"] == "[salesmart] File a<b>.csv was rejected whole"
    assert (arrived["From"], arrived["To"]) == (USER, ", ".join(to))
    assert arrived.get_content().replace("\r\n", "\n") == (
        "File a<b>.csv was rejected whole\n\n"
        "What happened: file.header: é & <x>\nWhere: s3://b/k\nWhat to do: Land it again.\nLook: https://ui.example/runs/run-1\n"
    )


def test_mail_goes_to_no_server_that_is_not_trusted(mail: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail server whose certificate is not trusted gets neither the password nor the mail."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotDelivered, match=r"^localhost:\d+: its certificate is not trusted \(.*SSL_CERT_FILE"):
        only(alert_email_to="ann@shop.example", alert_smtp_url=mail.address).send(MESSAGE)
    assert (mail.logins, mail.arrived) == ([], [])


def test_mail_is_never_sent_without_tls(tmp_path: Path) -> None:
    """A mail server that offers no TLS gets neither the password nor the mail."""
    with mail_server(tmp_path, tls=False) as mail:
        with pytest.raises(NotDelivered, match="STARTTLS"):
            only(alert_email_to="ann@shop.example", alert_smtp_url=mail.address).send(MESSAGE)
        assert (mail.logins, mail.arrived) == ([], [])


def test_refusals_of_the_mail_server_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password and unknown recipients are told as the server says them; those who are known get the mail, once."""
    with mail_server(tmp_path, password="hidden-word") as mail:
        monkeypatch.setenv("SSL_CERT_FILE", str(mail.authority))
        with pytest.raises(NotDelivered, match="answers 535") as told:
            only(alert_email_to="ann@shop.example", alert_smtp_url=mail.address).send(MESSAGE)
        assert "hidden-word" not in str(told.value)
        right = mail.address.replace("hidden-word", PASSWORD.replace(" ", "%20").replace("/", "%2F"))
        with pytest.raises(PartlyDelivered, match=r"some of the recipients: nobody@shop\.example: 550 nobody of that name"):
            only(alert_email_to=f"ann@shop.example,{REFUSED}", alert_smtp_url=right).send(MESSAGE)
        with pytest.raises(NotDelivered, match="every recipient"):
            only(alert_email_to=REFUSED, alert_smtp_url=right).send(MESSAGE)
        assert len(mail.arrived) == 1


def test_hooks_get_json(web: WebServer) -> None:
    """A Slack-compatible webhook gets a text in which no sign of the message is taken for markup; any other gets all that is known."""
    only(alert_slack_url=web.address).send(MESSAGE)
    only(alert_webhook_url=web.address).send(MESSAGE)
    slack = {"text": f"*{MESSAGE.title}*\n{MESSAGE.text}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    first, second = web.got
    assert first == slack
    assert second == MESSAGE.as_json()
    assert second["causes"][0].items() >= {"key": "k", "where": "s3://b/k", "link": "https://ui.example/runs/run-1"}.items()


@pytest.mark.parametrize(("answer", "says"), [(500, "answers 500"), (404, "answers 404"), (302, "answers 302")])
def test_what_a_hook_refuses_is_not_taken_for_delivered(answer: int, says: str) -> None:
    """Any answer but success is a failure, a redirect included; what is told of it keeps the address's path to itself."""
    with web_server(answer) as web:
        with pytest.raises(NotDelivered, match=f"127.0.0.1 {says}") as told:
            only(alert_webhook_url=web.address).send(MESSAGE)
        assert "hidden-word" not in str(told.value)
        assert web.asked == 1


@contextmanager
def silent() -> Iterator[int]:
    """A server that takes connections and says nothing; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_server_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing, or is not there, is given up after a while, on every channel."""
    monkeypatch.setattr(channels, "_SECONDS", 0.2)
    with silent() as port:
        addresses = {
            "alert_webhook_url": f"http://127.0.0.1:{port}/hidden-word",
            "alert_slack_url": f"https://127.0.0.1:{port}/hidden-word",
        }
        told = [only(**{name: address}) for name, address in addresses.items()]
        told += [only(alert_email_to="ann@shop.example", alert_smtp_url=f"{scheme}://127.0.0.1:{port}") for scheme in ("smtp", "smtps")]
        for channel in told:
            with pytest.raises(NotDelivered, match="timed out") as error:
                channel.send(MESSAGE)
            assert "hidden-word" not in str(error.value)
    with pytest.raises(NotDelivered, match="refused"):
        told[0].send(MESSAGE)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/hidden-wörd", "https://a..b/hidden-wörd", f"http://{'x' * 70}.example/hidden-wörd"]
)
def test_an_address_that_is_none_is_told_as_a_failure(address: str) -> None:
    """A webhook's address that no server can have is a message that did not arrive, and it is not repeated."""
    with pytest.raises(NotDelivered, match="cannot be used") as told:
        only(alert_webhook_url=address).send(MESSAGE)
    assert "wörd" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"alert_email_to": "ann@shop.example"}, "ALERT_EMAIL_TO cannot be used: it needs a mail server in SALESMART_ALERT_SMTP_URL"),
        ({"alert_email_to": "ann", "alert_smtp_url": "smtp://h"}, "SALESMART_ALERT_EMAIL_TO"),
        ({"alert_smtp_url": "http://ann:hidden-word@h"}, "SALESMART_ALERT_SMTP_URL"),
        ({"alert_smtp_url": "smtp://ann:hidden-word@h:port"}, "SALESMART_ALERT_SMTP_URL"),
        ({"alert_slack_url": "hooks.example/hidden-word"}, "SALESMART_ALERT_SLACK_URL"),
        ({"alert_webhook_url": "https://ann:hidden-word@h/"}, "SALESMART_ALERT_WEBHOOK_URL"),
        ({"alert_webhook_url": "file:///hidden-word"}, "SALESMART_ALERT_WEBHOOK_URL"),
        ({"alert_deadlines": "sale=30"}, "SALESMART_ALERT_DEADLINES"),
        ({"alert_deadlines": "sales=soon"}, "SALESMART_ALERT_DEADLINES"),
        ({"alert_daily_at": "noon"}, "SALESMART_ALERT_DAILY_AT"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(given: dict[str, object], says: str) -> None:
    """A wrong setting of the alerts is told by its name, and without what may be secret in it."""
    with pytest.raises(UsageError, match=says) as told:
        Settings.load(**given)
    assert "hidden-word" not in str(told.value)


def test_a_message_is_kept_as_it_is() -> None:
    """A message that waits in the book comes out of it as it went in; of very many causes it takes the first hundred along."""
    many: list[Message] = grouped([CAUSE] * 250, datetime.now(timezone.utc), "https://ui.example")
    assert [again(message.kept()) for message in many] == many
    assert many[0].title == "250 causes of rejected rows and files"
    assert many[0].text.endswith("And 230 more: `salesmart status` and `salesmart logs --level error` list them.")
    assert len(many[0].causes) == 100
