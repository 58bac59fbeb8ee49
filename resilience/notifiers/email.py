"""E-mail over SMTP; needs the extra `email`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Clock, Notification, Notifier
from resilience.core.secret import Secret
from resilience.core.validate import choice, hostname, integer, number, shown, text
from resilience.errors import ConfigError, DeliveryError, MissingExtra
from resilience.notifiers._options import build, one_or_more
from resilience.notifiers._text import cut, describe, moment, title
from resilience.notifiers._worker import in_worker

__all__ = ["EmailNotifier", "from_config"]

_SUBJECT = 200
_BODY = 100_000  # characters
# RFC 5321, 4.2.1: a 5yz reply is permanent. A 4yz reply is transient, and so is what is no SMTP reply at all.
_PERMANENT = range(500, 600)


@named_options
class EmailNotifier:
    """Sends one message for each notification; all of a group are one thread.

    Args:
        name: the channel's name.
        host: the SMTP server.
        sender: the From address.
        to: the recipients' addresses, at least one.
        port: 1..65535; 587 by default.
        security: `starttls` (the default), `tls` (from the first byte, usually port 465) or `none`.
        username: for a server that asks for it.
        password: with it.
        timeout: seconds for one attempt, above 0; 30 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; the password is not shown.
        MissingExtra: aiosmtplib is not installed.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str,
        sender: str,
        to: str | Sequence[str],
        port: int = 587,
        security: str = "starttls",
        username: str | None = None,
        password: str | Secret | None = None,
        timeout: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        try:
            import aiosmtplib  # noqa: PLC0415  optional
        except ImportError:
            raise MissingExtra("aiosmtplib", "email") from None
        self._smtp = aiosmtplib
        self.name: str = text("name", name)
        self._host = hostname("host", host)
        self._port = integer("port", port, high=65_535)
        self._security = choice("security", security, ("starttls", "tls", "none"))
        self._sender = _address("sender", sender)
        self._to = [_address("to", each) for each in one_or_more("to", to)]
        self._username = None if username is None else text("username", username)
        self._password = None if password is None else Secret(password, option="password")
        self._timeout = number("timeout", timeout, above=0)
        self._clock = clock

    def __repr__(self) -> str:
        return f"EmailNotifier({self.name!r}, host={self._host!r})"

    async def send(self, notification: Notification) -> None:
        """Send the message."""
        message = await in_worker(self._composed, notification)
        try:
            refused, _ = await self._smtp.send(
                message,
                sender=parseaddr(self._sender)[1],
                recipients=[parseaddr(each)[1] for each in self._to],
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=None if self._password is None else self._password.reveal(),
                use_tls=self._security == "tls",
                start_tls=self._security == "starttls",
                timeout=self._timeout,
            )
        except self._smtp.SMTPRecipientsRefused as error:
            raise self._failed(error, [each.code for each in error.recipients]) from None
        except self._smtp.SMTPResponseException as error:
            raise self._failed(error, [error.code]) from None
        except (self._smtp.SMTPException, OSError, ValueError) as error:
            raise self._failed(error, []) from None
        if refused:  # the others have it: to send it again would tell them twice
            log(__name__).warning("recipients_refused", channel=self.name, recipients=sorted(refused))

    def _failed(self, error: Exception, codes: Sequence[int]) -> DeliveryError:
        # The reply's text may hold what was sent; its code says enough.
        answer = f" {codes[0]}" if codes else ""
        permanent = bool(codes) and all(code in _PERMANENT for code in codes)
        return DeliveryError(f"{self.name}: {type(error).__name__}{answer}", retryable=not permanent)

    def _composed(self, notification: Notification) -> bytes:
        return self._message(notification).as_bytes(policy=SMTP)

    def _message(self, notification: Notification) -> EmailMessage:
        domain = parseaddr(self._sender)[1].rpartition("@")[2]
        thread = hashlib.sha256(notification.group_key.encode("utf-8", "replace")).hexdigest()[:32]
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        # Header lines must not be continued by what a label holds.
        message["Subject"] = " ".join(cut(title(notification), _SUBJECT).split())
        message["Date"] = format_datetime(datetime.fromtimestamp(notification.at, UTC))
        message["Message-ID"] = f"<{notification.key}@{domain}>"
        message["References"] = f"<{thread}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(_text(notification).encode("utf-8", "replace").decode())
        return message


def _text(notification: Notification) -> str:
    """The alerts one after another, as many as there is room for, and how many are left out."""
    parts: list[str] = []
    room = _BODY
    for alert in notification.alerts:
        part = f"{describe(alert, notification.external_url)}\nsince {moment(alert.started)}"
        room -= len(part)
        if parts and room < 0:
            break
        parts.append(cut(part, _BODY))
    if more := len(notification.alerts) - len(parts):
        parts.append(f"and {more} more")
    return "\n\n".join(parts)


def _address(option: str, value: object) -> str:
    """Return an e-mail address, with or without a name before it, or refuse it."""
    found = parseaddr(value)[1] if isinstance(value, str) else ""
    try:
        Address(addr_spec=found)
    except (ValueError, IndexError, MessageError):  # which of them depends on the version of Python
        found = ""
    if "@" not in found or any(character in str(value) for character in "\r\n"):
        message = f"{option} must be an e-mail address, got {shown(value)}"
        raise ConfigError(message)
    return str(value)


def from_config(name: str, setting: object, *, clock: Clock | None = None) -> Notifier:
    """Read `email: {host: ..., sender: ..., to: [...], port: ..., security: ..., username: ..., password: ...}`."""
    return build(EmailNotifier, name, setting, clock=clock)
