"""Mail over TLS, to a real server with a certificate of an authority that is trusted, or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme
from aiosmtpd.smtp import SMTP, Envelope, Session

from resilience.core.ports import Notification, NotifiedAlert
from resilience.errors import DeliveryError
from resilience.notifiers.email import EmailNotifier

ALERT = NotifiedAlert("f", "firing", {"alertname": "Down"}, {}, 0.0, None)
NOTICE = Notification("key", "mail", "firing", {}, (ALERT,), 0.0)
Serve = Callable[[str], Awaitable[int]]


class Mailbox:
    def __init__(self) -> None:
        self.encrypted: list[bool] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def serve(authority: trustme.CA, mailbox: Mailbox) -> AsyncIterator[Serve]:
    running: list[asyncio.Server] = []

    async def start(security: str) -> int:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        implicit = security == "tls"
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(mailbox, tls_context=None if implicit else context),
            "127.0.0.1",
            0,
            ssl=context if implicit else None,
        )
        running.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in running:
        server.close()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have OpenSSL's defaults trust the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def notifier(port: int, security: str) -> EmailNotifier:
    return EmailNotifier(
        "mail", host="127.0.0.1", port=port, security=security, sender="a@example.org", to="b@example.org"
    )


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_encrypted_to_a_server_that_is_trusted(
    serve: Serve, mailbox: Mailbox, trusted: None, security: str
) -> None:
    await notifier(await serve(security), security).send(NOTICE)
    assert mailbox.encrypted == [True]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_nothing_is_sent_to_a_server_that_nobody_vouches_for(
    serve: Serve, mailbox: Mailbox, security: str
) -> None:
    with pytest.raises(DeliveryError, match="mail: "):
        await notifier(await serve(security), security).send(NOTICE)
    assert mailbox.encrypted == []
