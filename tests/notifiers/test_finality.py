"""Answers and errors of each channel: which are final, and after which the receiver may have got the message."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from resilience.errors import DeliveryError
from resilience.notifiers import from_config
from resilience.notifiers.email import EmailNotifier

CHANNELS: dict[str, dict[str, Any]] = {
    "alertmanager": {},
    "discord": {},
    "pagerduty": {"routing_key": "k" * 32},
    "slack": {},
    "teams": {},
    "webhook": {},
}

# status -> (retryable, may have got it)
STATUSES = {
    300: (False, False),
    400: (False, False),
    401: (False, False),
    403: (False, False),
    404: (False, False),
    408: (True, False),
    410: (False, False),
    413: (False, False),
    422: (False, False),
    425: (True, False),
    429: (True, False),
    500: (True, True),
    502: (True, True),
    503: (True, True),
    504: (True, True),
    599: (True, True),
}


async def fails(kind: str, url: str, say: Any, **options: Any) -> DeliveryError:
    notifier: Any = from_config("c", {kind: {"url": url, **CHANNELS[kind], **options}})
    try:
        with pytest.raises(DeliveryError) as caught:
            await notifier.send(say.notification())
    finally:
        await notifier.close()
    return caught.value


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_status_says_whether_to_send_again(kind: str, receiver: Any, say: Any) -> None:
    found = {}
    for status in STATUSES:
        receiver.answers = [web.Response(status=status)]
        error = await fails(kind, receiver.url, say)
        found[status] = (error.retryable, error.reached)
    assert found == STATUSES


GARBLED = {
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "bad status": b"HTTP/1.1 abc OK\r\n\r\n",
    "binary": b"\x00\xff\xfe\x16\x03\x01",
    "nothing": b"",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.mark.parametrize("how", GARBLED)
async def test_an_answer_that_is_garbled_is_not_final(how: str, say: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GARBLED[how])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        error = await fails("slack", f"http://127.0.0.1:{port}/", say)
    finally:
        server.close()
    assert error.retryable
    assert error.reached


@pytest.mark.parametrize(
    ("error", "retryable", "reached"),
    [
        (aiohttp.ServerDisconnectedError(), True, True),
        (aiohttp.ClientPayloadError(), True, True),
        (aiohttp.ClientOSError(), True, True),
        (TimeoutError(), True, True),
        (ConnectionResetError(), True, True),
        (ValueError("garbled"), True, True),
        (aiohttp.InvalidUrlRedirectClientError("x"), True, True),
        (aiohttp.InvalidUrlClientError("x"), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_an_error_of_the_client_says_whether_to_send_again(
    error: Exception, retryable: bool, reached: bool, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier: Any = from_config("c", {"slack": "http://receiver.example/"})

    async def post(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(notifier._client, "post", post)
    with pytest.raises(DeliveryError) as caught:
        await notifier.send(say.notification())
    assert (caught.value.retryable, caught.value.reached) == (retryable, reached)


async def test_a_connection_that_is_refused_is_tried_again_and_reached_nobody(
    refusing_port: int, say: Any
) -> None:
    error = await fails("slack", f"http://127.0.0.1:{refusing_port}/", say)
    assert (error.retryable, error.reached) == (True, False)


# what an SMTP server says, at which point -> final
REPLIES = {
    ("greeting", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"): False,
    ("greeting", b"\x16\x03\x01\x00\xff\xfe\r\n"): False,
    ("greeting", b"421 too busy\r\n"): False,
    ("greeting", b"554 no\r\n"): True,
    ("greeting", b""): False,
    ("mail", b"HTTP/1.1 502 Bad Gateway\r\n"): False,
    ("mail", b"451 later\r\n"): False,
    ("mail", b"550 never\r\n"): True,
    ("mail", b"999 what\r\n"): False,
    ("mail", b"hello\r\n"): False,
    ("mail", b""): False,
}


@pytest.mark.parametrize(("point", "reply"), REPLIES, ids=repr)
async def test_only_a_reply_from_500_to_599_of_a_mail_server_is_final(
    point: str, reply: bytes, say: Any
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply if point == "greeting" else b"220 mail.example\r\n")
        while point == "mail" and (line := await reader.readline()):
            if line.upper().startswith(b"MAIL"):
                writer.write(reply)
                break
            writer.write(b"250 mail.example\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    notifier = EmailNotifier(
        "c", host="127.0.0.1", port=port, security="none", sender="a@x.example", to="b@x.example", timeout=20
    )
    try:
        with pytest.raises(DeliveryError) as caught:
            await notifier.send(say.notification())
    finally:
        server.close()
    assert caught.value.retryable is not REPLIES[point, reply]


@pytest.mark.parametrize(
    ("codes", "final"), [([550], True), ([550, 551], True), ([550, 451], False), ([-1], False), ([], False)]
)
async def test_recipients_that_are_refused_are_final_where_all_replies_are(
    codes: list[int], final: bool, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = EmailNotifier("c", host="h", sender="a@x.example", to="b@x.example")
    refused = [notifier._smtp.SMTPRecipientRefused(code, "no", "b@x.example") for code in codes]

    async def send(*_: object, **__: object) -> None:
        raise notifier._smtp.SMTPRecipientsRefused(refused)

    monkeypatch.setattr(notifier._smtp, "send", send)
    with pytest.raises(DeliveryError) as caught:
        await notifier.send(say.notification())
    assert caught.value.retryable is not final
