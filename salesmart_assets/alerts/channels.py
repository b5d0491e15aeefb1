"""Channels: e-mail, a Slack-compatible webhook, any HTTP webhook. Each sends one message, or says why not.

What a channel says of a failure never holds its address's path or a password: both open the channel to whoever reads them.
"""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http.client import HTTPException
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from salesmart_assets.alerts.messages import Message
from salesmart_assets.errors import Retryable
from salesmart_assets.settings import Settings

_SECONDS = 8.0
"""How long a server may stay silent."""
_PORTS = {"smtp": 587, "smtps": 465}


class NotDelivered(Retryable):
    """A message did not arrive; the text says where it was sent to, and why not."""


class PartlyDelivered(NotDelivered):
    """Some of the recipients have it: trying again would tell those twice."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to people: its name, whom it reaches, in words that may be shown, and how it sends."""

    name: str
    to: str
    send: Callable[[Message], None]


def channels_of(settings: Settings) -> list[Channel]:
    """The channels that are set."""
    found = []
    if settings.alert_email_to:
        found.append(Channel("e-mail", ", ".join(settings.alert_email_to), lambda message: _mail(settings, message)))
    for name, secret, shape in (("slack", settings.alert_slack_url, _slack), ("webhook", settings.alert_webhook_url, Message.as_json)):
        if secret is not None and secret.get_secret_value():
            found.append(_hook(name, secret.get_secret_value(), shape))
    return found


def _mail(settings: Settings, message: Message) -> None:
    assert settings.alert_smtp_url is not None  # the settings see to it
    server = urlsplit(settings.alert_smtp_url.get_secret_value())
    host, port = server.hostname or "", server.port or _PORTS[server.scheme]
    user, password = unquote(server.username or ""), unquote(server.password or "")
    secure = ssl.create_default_context()
    try:
        mail = _letter(settings, message, user)
        if server.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_SECONDS, context=secure)
        else:
            connection = smtplib.SMTP(host, port, timeout=_SECONDS)
        with connection:
            if server.scheme == "smtp":
                connection.starttls(context=secure)
            if user:
                connection.login(user, password)
            refused = connection.send_message(mail)
    except ssl.SSLCertVerificationError as error:
        raise NotDelivered(
            f"{host}:{port}: its certificate is not trusted ({error.verify_message}). Where it is your own authority's, name that "
            "authority's file in SSL_CERT_FILE."
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise NotDelivered(f"{host}:{port} refuses every recipient: {_answers(error.recipients)}.") from None
    except smtplib.SMTPResponseException as error:
        raise NotDelivered(f"{host}:{port} answers {error.smtp_code} {_text(error.smtp_error)}.") from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotDelivered(f"{host}:{port} cannot be used: {str(error) or type(error).__name__}.") from None
    except ValueError as error:
        raise NotDelivered(f"{host}:{port} cannot be used: {type(error).__name__} in the address, the user or the password.") from None
    if refused:
        raise PartlyDelivered(f"{host}:{port} refuses some of the recipients: {_answers(refused)}.")


def _letter(settings: Settings, message: Message, user: str) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = f"[salesmart] {message.title}"
    mail["From"] = settings.alert_email_from or (user if "@" in user else settings.alert_email_to[0])
    mail["To"] = ", ".join(settings.alert_email_to)
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=socket.gethostname())
    # No answering machine should answer.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


def _answers(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {code} {_text(answer)}" for address, (code, answer) in refused.items())


def _text(answer: bytes | str) -> str:
    return " ".join((answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer).split())[:200]


def _slack(message: Message) -> dict[str, object]:
    text = f"*{message.title}*\n{message.text}"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


class _NoRedirect(HTTPRedirectHandler):
    """A webhook that has moved would get a GET without the message, and answer that all is well."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str) -> None:
        return None


def _hook(name: str, url: str, shape: Callable[[Message], dict[str, object]]) -> Channel:
    place = f"{urlsplit(url).hostname}"

    def send(message: Message) -> None:
        body = json.dumps(shape(message)).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "salesmart"}
        request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 (the settings let http and https pass)
        try:
            with build_opener(_NoRedirect, HTTPSHandler(context=ssl.create_default_context())).open(request, timeout=_SECONDS):
                return
        except HTTPError as error:
            error.close()
            raise NotDelivered(f"{place} answers {error.code} {_text(error.reason)}.") from None
        except URLError as error:
            raise NotDelivered(f"{place} cannot be reached: {error.reason}.") from None
        except OSError as error:
            raise NotDelivered(f"{place} cannot be used: {str(error) or type(error).__name__}.") from None
        except (HTTPException, ValueError) as error:
            # No host's name, or letters that no address has. Its text may quote the address.
            raise NotDelivered(f"{place} cannot be used: {type(error).__name__}.") from None

    return Channel(name, place, send)
