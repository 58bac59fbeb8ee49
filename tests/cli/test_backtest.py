"""`resilience backtest`."""

import json
from pathlib import Path

import pytest

from resilience.cli.main import main

SLO = """\
version: "1.0"
services:
  - name: shop
    slos: [{id: ok, target: 99, sli: {type: availability}}]
"""
RULES = """\
groups: [{name: g, rules: [{alert: Never, expr: 'http_requests_total > 1e9'}]}]
"""


def line(second: int, status: int) -> str:
    return f'10.0.0.1 - - [21/Sep/2026:14:{second // 60:02}:{second % 60:02} +0000] "GET / HTTP/1.1" {status} 1 "-" "-"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reliability.yaml").write_text(SLO)
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "good.log").write_text("".join(line(second, 200) for second in range(600)) + "junk\n")
    (tmp_path / "bad.log").write_text("".join(line(second, 500) for second in range(600, 1200)))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_calm_log_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--logs", "good.log", "--slo", "reliability.yaml", "--rules", "rules.yml"]) == 0
    out = capsys.readouterr().out
    assert "600 requests" in out
    assert "1 malformed lines" in out
    assert "'junk'" in out
    assert "No alert would have fired." in out
    assert "  0%  " in out  # without an exponent


@pytest.mark.usefixtures("folder")
def test_alerts_are_a_finding_and_several_logs_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--logs", "good.log", "--logs", "bad.log", "--slo", "reliability.yaml"]) == 1
    out = capsys.readouterr().out
    assert "ErrorBudgetBurn" in out
    assert "14.4x (as it is)" in out
    assert "1200 requests, 2026-09-21 14:00:00 UTC" in out


@pytest.mark.usefixtures("folder")
def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--logs", "bad.log", "--slo", "reliability.yaml", "--what-if", "2", "--json"]
    assert main(["backtest", *arguments]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["requests"] == 600
    assert {each["scale"] for each in found["what_if"]} == {2.0}
    assert found["incidents"][0]["labels"]["slo"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--logs", "good.log"], "nothing to judge by"),
        (["--logs", "good.log", "--rules", "rules.yml"], "--service"),
        (
            ["--logs", "good.log", "--slo", "reliability.yaml", "--format", "json"],
            "none of 601 lines is a request",
        ),
        (["--logs", "gone.log", "--slo", "reliability.yaml"], "gone.log"),
        (["--logs", "good.log", "--slo", "rules.yml"], "unknown key"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_use_is_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", *arguments]) == 2
    assert message in capsys.readouterr().err
