"""Every channel of the folder is a `Notifier`, made of a configuration, that shows no secret."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from resilience.core.ports import Closeable, Notifier
from resilience.errors import ConfigError, MissingExtra
from resilience.notifiers import from_config, kinds

URL = "https://hooks.example/S3CRET"
SETTINGS: dict[str, Any] = {
    "alertmanager": URL,
    "apprise": "json://localhost/S3CRET",
    "discord": URL,
    "email": {
        "host": "h",
        "sender": "a@b.example",
        "to": ["c@d.example"],
        "username": "u",
        "password": "S3CRET",
    },
    "log": {},
    "pagerduty": "S3CRET" * 5,
    "slack": URL,
    "teams": {"url": URL, "timeout": 5},
    "webhook": {"url": URL, "secret": "whsec_UzNDUkVU"},
}

# Apprise imports every plug-in it has, and one of their helpers a module that Python 3.13 drops.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")


def test_there_are_channels_and_each_is_swept() -> None:
    assert kinds()
    assert set(kinds()) == set(SETTINGS)


@pytest.mark.parametrize("kind", kinds())
async def test_it_is_made_of_a_configuration_and_named(kind: str) -> None:
    notifier: Notifier = from_config("ops", {kind: SETTINGS[kind]})
    assert notifier.name == "ops"
    assert callable(notifier.send)
    shown = repr(notifier) + repr(vars(notifier))
    assert "S3CRET" not in shown
    assert "UzNDUkVU" not in shown
    if isinstance(notifier, Closeable):
        await notifier.close()


@pytest.mark.parametrize("kind", kinds())
def test_an_option_that_it_does_not_have_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match="bogus"):
        from_config("ops", {kind: {"bogus": "S3CRET"}})


@pytest.mark.parametrize("kind", kinds())
def test_it_says_what_it_is_for(kind: str) -> None:
    module = importlib.import_module(f"resilience.notifiers.{kind}")
    assert (module.__doc__ or "").strip()
    assert "from_config" in module.__all__


@pytest.mark.parametrize(("kind", "module"), [("email", "aiosmtplib"), ("apprise", "apprise")])
def test_what_is_not_installed_is_named_with_its_extra(
    kind: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"asyncio-resilience\[{kind}\]"):
        from_config("ops", {kind: SETTINGS[kind]})
