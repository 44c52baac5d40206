"""Where messages go: mail by SMTP, JSON to a webhook, text to ntfy or what speaks like it."""

from __future__ import annotations

import json
import smtplib
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import TYPE_CHECKING

from home.alerts.settings import Mail, Post
from home.http_call import CallError, call, token

if TYPE_CHECKING:
    from home.alerts.outbox import Message

TIMEOUT_S = 30.0
# What is refused for good would hold up all that comes after it.
REFUSED = (400, 413, 415, 422)
URGENT = ("disk low", "lost", "dead", "silent", "source fails")


class SinkError(Exception):
    """A sink did not take a message; it is tried again."""


class RefusedError(SinkError):
    """A sink will never take this message."""


def deliver(sink: Mail | Post, message: Message, *, home: str) -> None:
    """Hand a message over; ``home`` tells this home's messages from another's."""
    try:
        if isinstance(sink, Mail):
            _mail(sink, message, home)
        else:
            _post(sink, message, home)
    except CallError as error:
        raise SinkError(str(error)) from error


def _post(sink: Post, message: Message, home: str) -> None:
    ident = f"{home}-{message.id}"
    headers = {"X-Message-Id": ident}
    if sink.token_file is not None:
        headers["Authorization"] = f"Bearer {token(sink.token_file)}"
    if sink.kind == "ntfy":
        body = _text(message).encode()
        headers |= {
            "Content-Type": "text/plain; charset=utf-8",
            "Title": _ascii(message.title),
            "Priority": "high" if message.kind in URGENT else "default",
            "Tags": message.kind.replace(" ", "-"),
        }
    else:
        values = {
            "id": ident, "kind": message.kind, "device": message.device or None,
            "time_ms": message.at, "text": message.title,
        }  # fmt: skip
        body = json.dumps(values, separators=(",", ":")).encode()
        headers["Content-Type"] = "application/json"
    answer = call("POST", sink.url, headers=headers, body=body, most=1 << 20)
    if answer.status in REFUSED:
        raise RefusedError(f"{sink.name}: {answer.status}")
    if not answer.good:
        raise SinkError(f"{sink.name}: {answer.status}")


def _mail(sink: Mail, message: Message, home: str) -> None:
    letter = EmailMessage()
    letter["Subject"] = message.title
    letter["From"] = Address("Home", addr_spec=sink.sender)
    letter["To"] = ", ".join(sink.to)
    letter["Date"] = datetime.fromtimestamp(message.at / 1000, UTC)
    # The same at every try, so a mailbox can tell a repeat.
    letter["Message-ID"] = f"<{home}-{message.id}@{sink.sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(_text(message))
    context = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(sink.host, sink.port, timeout=TIMEOUT_S, context=context)
            if sink.security == "tls"
            else smtplib.SMTP(sink.host, sink.port, timeout=TIMEOUT_S)
        ) as server:
            if sink.security == "starttls":
                server.starttls(context=context)
            if sink.user and sink.password_file is not None:
                server.login(sink.user, token(sink.password_file))
            server.send_message(letter)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise SinkError(f"{sink.name}: {error}") from error


def _text(message: Message) -> str:
    when = datetime.fromtimestamp(message.at / 1000, UTC)
    return f"{message.title}\n\n{when:%Y-%m-%d %H:%M:%S} UTC\n"


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\n", " ")
