"""A real browser before a shop with a console."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.browser.shop import READER, Shop, make_shop, serving

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with serving(*make_shop()) as running:
        yield running


# Not for the session: while playwright runs, no other event loop can, and other modules have tests that need one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as api:
        started = api.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield started
        started.close()


@dataclass
class Seen:
    """A page, and what it complained of or asked of others."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@pytest.fixture
def seen(browser: Any) -> Iterator[Seen]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, extra_http_headers=READER)
    found = Seen(context.new_page())
    page = found.page
    page.set_default_timeout(60_000)
    page.on(
        "console",
        lambda message: (
            found.complaints.append(message.text) if message.type in {"error", "warning"} else None
        ),
    )
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.hosts.add(request.url.split("/")[2]))
    yield found
    context.close()


@pytest.fixture
def page(seen: Seen) -> Any:
    return seen.page
