"""`resilience config show`: what is in force, from where, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resilience.cli.main import main

FILE = """
service: shop
token: "${TOKEN}"
channels:
  ops: {slack: "${SLACK:-https://hooks.example/s3cret1}"}
  eu.ops: {discord: "https://discord.example/s3cret6"}
  post: {email: {host: mail.example, sender: a@b.example, to: [c@d.example], password: s3cret2}}
heartbeat: {url: "https://hc.example/s3cret3", interval: 1m}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKEN", "s3cret4")
    monkeypatch.setenv("RESILIENCE_INTERVAL", "500ms")
    monkeypatch.setenv("RESILIENCE_CHANNELS__WEB__WEBHOOK", "https://web.example/s3cret5")
    (tmp_path / "reliability.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "reliability.yaml"


def test_every_value_and_where_it_comes_from_is_shown_and_secrets_are_not(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "show", "--json"]) == 0
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    found = {each["path"]: (each["value"], each["origin"]) for each in json.loads(shown)}
    assert found["service"] == ("shop", "reliability.yaml:2")
    assert found["token"] == ("***", "reliability.yaml:3 (TOKEN)")
    assert found["channels.ops.slack"] == ("***", "reliability.yaml:5 (default of SLACK)")
    assert found["channels.post.email.to.0"] == ("c@d.example", "reliability.yaml:7")
    assert found["channels.post.email.password"] == ("***", "reliability.yaml:7")
    assert found["channels.web.webhook"] == ("***", "RESILIENCE_CHANNELS__WEB__WEBHOOK")
    assert found["heartbeat.interval"] == ("1m", "reliability.yaml:8")
    assert found["interval"] == ("500ms", "RESILIENCE_INTERVAL")
    assert found["evaluation_interval"] == ("15s", "default")
    assert found["reload.watch"] == ("10s", "default")
    assert main(["config", "show", str(file)]) == 0
    assert "s3cret" not in capsys.readouterr().out


def test_what_cannot_be_meant_is_2_and_shows_no_secret(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(FILE.replace("password: s3cret2", "pasword: s3cret2"))
    assert main(["config", "show"]) == 2
    told = capsys.readouterr().err
    assert "reliability.yaml:7" in told
    assert "s3cret" not in told
    assert main(["config", "show", "nope.yaml"]) == 2
    assert main(["config", "show", "nope.yaml", "--no-file"]) == 2


def test_the_environment_alone_may_say_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESILIENCE_SERVICE", "cart")
    assert main(["config", "show", "--no-file"]) == 0
    assert "RESILIENCE_SERVICE" in capsys.readouterr().out
