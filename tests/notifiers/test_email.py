"""E-mail against a real SMTP server on loopback."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any, ClassVar, cast

import anyio
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from structlog.testing import capture_logs

from resilience.errors import ConfigError, DeliveryError
from resilience.notifiers import from_config
from resilience.notifiers.email import EmailNotifier


class Mailbox:
    """Keeps what it gets; answers what it is told to."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answer = "250 OK"

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  as above
        if self.answer.startswith("250"):
            content = cast("bytes", envelope.content)
            self.messages.append(
                cast("EmailMessage", email.message_from_bytes(content, policy=email.policy.default))
            )
            self.recipients.append(list(envelope.rcpt_tos))
        return self.answer


class Counted(SMTP):
    """Knows which connections are open."""

    connected: ClassVar[set[SMTP]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.connected.discard(self)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def port(mailbox: Mailbox) -> AsyncIterator[int]:
    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        return AuthResult(success=data.login == b"me" and data.password == b"T0KEN", handled=False)

    server = await asyncio.get_running_loop().create_server(
        lambda: Counted(mailbox, authenticator=authenticate, auth_require_tls=False), "127.0.0.1", 0
    )
    yield server.sockets[0].getsockname()[1]
    server.close()
    with anyio.fail_after(30):  # what is still open when the loop ends would be another test's warning
        while Counted.connected:  # noqa: ASYNC110  its own end is not an event
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)


def make(number: int, **options: Any) -> EmailNotifier:
    given = {
        "host": "127.0.0.1",
        "port": number,
        "security": "none",
        "sender": "Alerts <alerts@shop.example>",
        "to": ["a@x.example", "b@x.example"],
    }
    return EmailNotifier("mail", **{**given, **options})


async def test_a_notification_is_one_message_to_all_recipients(mailbox: Mailbox, port: int, say: Any) -> None:
    await make(port).send(say.notification())
    [message] = mailbox.messages
    assert message["Subject"] == "[FIRING:1] Down"
    assert message["From"] == "Alerts <alerts@shop.example>"
    assert message["Message-ID"] == "<0123456789abcdef@shop.example>"
    assert mailbox.recipients == [["a@x.example", "b@x.example"]]
    content = message.get_content()
    assert "It is down" in content
    assert "https://runbooks.example/down" in content


async def test_the_messages_of_a_group_are_one_thread(mailbox: Mailbox, port: int, say: Any) -> None:
    notifier = make(port)
    await notifier.send(say.notification())
    await notifier.send(say.notification(say.alert(status="resolved"), key="fedcba"))
    assert len({message["References"] for message in mailbox.messages}) == 1
    assert len({message["Message-ID"] for message in mailbox.messages}) == 2


async def test_labels_cannot_add_headers_and_anything_is_cut_to_fit(
    mailbox: Mailbox, port: int, say: Any
) -> None:
    evil = {"alertname": "Down\r\nBcc: all@x.example"}
    await make(port).send(say.notification(say.alert(labels=evil), group=evil))
    await make(port).send(say.huge())
    assert mailbox.messages[0]["Bcc"] is None
    assert len(mailbox.messages[1]["Subject"]) <= 200
    broken = {"alertname": "Down \ud83d\0\x1b"}
    await make(port).send(say.notification(say.alert(labels=broken), group=broken))
    assert mailbox.messages[2]["Subject"] == "[FIRING:1] Down ?"


async def test_the_ids_of_a_message_are_well_formed(mailbox: Mailbox, port: int, say: Any) -> None:
    await make(port, sender="Alerts <alerts@shop.example>").send(say.notification())
    [message] = mailbox.messages
    raw = dict(message.raw_items())
    assert raw["Message-ID"].strip() == "<0123456789abcdef@shop.example>"
    assert raw["References"].strip().endswith("@shop.example>")
    assert raw["References"].count(">") == 1


async def test_a_recipient_that_is_refused_beside_others_is_named_in_the_log(
    mailbox: Mailbox, port: int, say: Any
) -> None:
    with capture_logs() as lines:
        await make(port, to=["a@x.example", "nobody@x.example"]).send(say.notification())
    assert mailbox.recipients == [["a@x.example"]]
    assert [(line["event"], line["recipients"]) for line in lines] == [
        ("recipients_refused", ["nobody@x.example"])
    ]


async def test_it_logs_in(mailbox: Mailbox, port: int, say: Any) -> None:
    await make(port, username="me", password="T0KEN").send(say.notification())
    assert len(mailbox.messages) == 1
    with pytest.raises(DeliveryError, match="SMTPAuthenticationError 535") as caught:
        await make(port, username="me", password="WR0NG").send(say.notification())
    assert not caught.value.retryable
    assert "WR0NG" not in str(caught.value)


@pytest.mark.parametrize(("answer", "retryable"), [("451 try later", True), ("554 never", False)])
async def test_a_reply_says_whether_to_try_again(
    answer: str, retryable: bool, mailbox: Mailbox, port: int, say: Any
) -> None:
    mailbox.answer = answer
    with pytest.raises(DeliveryError, match=answer[:3]) as caught:
        await make(port).send(say.notification())
    assert caught.value.retryable is retryable


async def test_recipients_that_are_refused_are_no_reason_to_try_again(port: int, say: Any) -> None:
    with pytest.raises(DeliveryError) as caught:
        await make(port, to="nobody@x.example").send(say.notification())
    assert not caught.value.retryable


async def test_a_server_that_is_not_there_may_come_back(refusing_port: int, say: Any) -> None:
    with pytest.raises(DeliveryError) as caught:
        await make(refusing_port).send(say.notification())
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"to": []}, "to must be a text or a list of at least one"),
        ({"to": "not an address"}, "to must be an e-mail address"),
        ({"sender": "a@b\r\nBcc: c@d"}, "sender must be an e-mail address"),
        ({"port": 0}, "port must be"),
        ({"security": "some"}, "security must be one of starttls, tls, none"),
        ({"timeout": 0}, "timeout must be"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make(25, **options)


def test_the_password_is_not_shown() -> None:
    notifier = from_config(
        "mail",
        {
            "email": {
                "host": "h",
                "sender": "a@b.example",
                "to": "c@d.example",
                "username": "u",
                "password": "T0KEN",
            }
        },
    )
    assert "T0KEN" not in repr(notifier) + repr(vars(notifier))
