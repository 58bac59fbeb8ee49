"""Callers of endpoints: admitted by the token, and by the page that a request comes from."""

from __future__ import annotations

import pytest

from resilience_middleware.security import Access, authority_of, host_of, is_same_origin, may

TOKEN = "s3cret"
LOCAL = ("127.0.0.1", 5000)
HOST = (b"host", b"localhost:8000")
Headers = list[tuple[bytes, bytes]]


def bearer(value: bytes) -> tuple[bytes, bytes]:
    return (b"authorization", value)


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ([bearer(b"Bearer s3cret")], True),
        ([bearer(b"bearer   s3cret ")], True),
        ([bearer(b"Basic dXNlcg=="), bearer(b"Bearer s3cret")], True),
        ([bearer(b"Bearer s3cre")], False),
        ([bearer(b"Bearer s3crets")], False),
        ([bearer(b"Bearer")], False),
        ([bearer(b"Basic s3cret")], False),
        ([bearer(b"s3cret")], False),
        ([(b"x-authorization", b"Bearer s3cret")], False),
        ([HOST], False),
    ],
)
@pytest.mark.parametrize("access", [Access.READ, Access.CHANGE])
def test_where_there_is_a_token_it_alone_opens(access: Access, headers: Headers, shown: bool) -> None:
    assert may(access, {"client": LOCAL, "headers": [HOST, *headers]}, TOKEN) is shown


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ([], True),
        ([(b"origin", b"http://localhost:8000")], True),
        ([(b"origin", b"HTTPS://LOCALHOST:8000")], True),
        ([(b"origin", b"http://localhost:8001")], False),
        ([(b"origin", b"http://localhost")], False),
        ([(b"origin", b"http://localhost:8000/")], False),
        ([(b"origin", b"http://localhost:8000?a")], False),
        ([(b"origin", b"//localhost:8000")], False),
        ([(b"origin", b"null")], False),
        ([(b"origin", b"")], False),
        ([(b"origin", b"http://localh\xf6st:8000")], False),
        ([(b"origin", b"http://localhost:8000\x00")], False),
        ([(b"sec-fetch-site", b"same-origin")], True),
        ([(b"sec-fetch-site", b"none")], True),
        ([(b"sec-fetch-site", b"same-site")], False),
        ([(b"sec-fetch-site", b"cross-site")], False),
        ([(b"sec-fetch-site", b"cross-site"), (b"origin", b"http://localhost:8000")], False),
        ([(b"accept", b"a"), (b"accept", b"b")], True),
        *(([(name, value)] * 2, False) for name, value in ((b"origin", b"http://localhost:8000"), HOST)),
        ([(b"sec-fetch-site", b"none")] * 2, False),
    ],
)
def test_a_page_of_another_origin_is_refused(headers: Headers, same: bool) -> None:
    scope = {"client": LOCAL, "headers": [HOST, *headers]}
    assert is_same_origin(scope["headers"]) is same
    assert may(Access.SAME_ORIGIN, scope, TOKEN) is same


@pytest.mark.parametrize(
    "origin", ["http://a\x00", "http://a\x7f", "http://a\xa0", "http://\xe4", "http://a\n", "a", ""]
)
def test_what_an_answer_must_not_repeat_is_no_origin(origin: str) -> None:
    assert authority_of(origin) == ""


def test_the_case_of_a_host_does_not_matter() -> None:
    assert is_same_origin([(b"host", b"LOCALHOST:8000"), (b"origin", b"http://localhost:8000")])


def test_a_request_without_a_host_has_no_origin_that_is_its_own() -> None:
    assert not is_same_origin([(b"origin", b"http://localhost")])
    assert not is_same_origin([(b"origin", b"http://")])


@pytest.mark.parametrize(
    "values", [[b"a", b"a"], [b"a b"], [b"a:999999"], [b"a:port"], [b"[::1"], [b"a@b"], [b"\xff"]]
)
def test_what_is_not_one_host_is_refused(values: list[bytes]) -> None:
    with pytest.raises(ValueError, match="not one host"):
        host_of([(b"host", value) for value in values])
