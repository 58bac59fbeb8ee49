"""`resilience budgets`, `report`, `validate`, `slo` and `init`: of a running service, of a stopped one's state, of files."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from resilience import Reliability
from resilience.alerting import RaisedAlert, alertmanager_config
from resilience.cli.main import main
from resilience.core import yaml
from resilience.core.clock import SYSTEM_CLOCK, ManualClock
from resilience.core.humanize import timestamp
from resilience.core.verdict import Verdict
from resilience.reports import FORMATS
from resilience.rules import load
from resilience_middleware import install
from tests.waiting import blocked_until

Run = Callable[..., tuple[int, str, str]]

CONFIG = """
version: "1.0"
service: shop
state: shop.db
reload: {watch: 0}
services:
  - name: shop
    owner: backend
    slos:
      - {id: ok, name: "Requests <b>succeed</b>", target: 99, sli: {type: availability}}
  - name: payments
    slos: [{id: pay, target: 95, sli: {type: availability}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "reliability.yaml"
    file.write_text(CONFIG)
    return file


def requests(rel: Reliability) -> None:
    """Three of a hundred fail."""
    for verdict, count in ((Verdict.SUCCESS, 97), (Verdict.FAILURE, 3)):
        for _ in range(count):
            rel.sli.request("GET", "/", "200", verdict, 0.01)


def live_and_stop(config: Path) -> list[str]:
    """A service lives for a minute: requests come, somebody is told, and its state is left in a file."""

    async def live() -> None:
        clock = ManualClock(wall=SYSTEM_CLOCK.time() - 60)
        async with Reliability.from_file(config, clock=clock) as rel:
            requests(rel)
            labels = {"service": "shop", "slo": "ok"}
            rel.alerts.send_alert(RaisedAlert("ErrorBudgetBurn", severity="critical", labels=labels))
            await clock.advance(1)
            clock.shift(59)

    asyncio.run(live())
    return ["--state", str(config.parent / "shop.db"), "--config", str(config)]


class Running:
    """A service in a thread of its own, as the command has its own loop too."""

    def __init__(self, config: Path) -> None:
        rel = Reliability.from_file(config, token="s3cret")
        app = Starlette()
        install(app, rel)
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
        self.thread = threading.Thread(target=self.server.run)
        self.rel = rel

    def __enter__(self) -> str:
        self.thread.start()
        blocked_until(lambda: self.rel.ready and self.server.started)
        requests(self.rel)
        blocked_until(lambda: self.rel.slos.error_budget("ok").total == 100)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *exc: object) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(params=["running", "stopped"])
def place(request: Any, config: Path) -> Iterator[list[str]]:
    if request.param == "running":
        with Running(config) as url:
            yield ["--url", url, "--token", "s3cret"]
        return
    yield live_and_stop(config)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()  # what a service that lived in the test has logged
        code = main(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_budgets_are_shown_and_a_spent_one_is_a_finding(place: list[str], run: Run) -> None:
    code, out, _ = run("budgets", *place)
    assert code == 0
    assert out.splitlines()[1].split()[:6] == ["ok", "shop", "99%", "97%", "300%", "-200%"]
    code, out, err = run("budgets", "--check-violations", "--json", *place)
    assert (code, err) == (1, "spent: ok\n")
    ok, pay = json.loads(out)
    assert (ok["budget"]["status"], pay["budget"]["status"]) == ("exhausted", "no_data")


def test_a_report_has_its_figures_in_every_format(place: list[str], run: Run, tmp_path: Path) -> None:
    for form in FORMATS:
        file = tmp_path / f"report.{form}"
        assert run("report", "--format", form, "--output", str(file), *place)[0] == 0
        assert "97" in file.read_text()
    page = (tmp_path / "report.html").read_text()
    assert "how many requests took how long" in page
    code, out, _ = run("report", "--json", "--services", "shop", *place)
    report = json.loads(out)
    assert code == 0
    assert report["summary"]["totalSLOs"] == 1
    [slo] = report["services"][0]["slos"]
    assert (slo["target"], slo["actualValue"], slo["targetMet"], slo["owner"]) == (
        99.0,
        97.0,
        False,
        "backend",
    )
    assert sum(step["badEvents"] for step in slo["history"]) == 3
    assert run("report", "--services", "bank", *place)[0] == 2
    assert run("report", "--days", "0", *place)[0] == 2
    assert run("report", "--days", "nan", *place)[0] == 2


def test_a_stopped_service_has_the_burn_rates_that_it_measured_last(run: Run, config: Path) -> None:
    place = live_and_stop(config)
    budget = json.loads(run("budgets", "--json", *place)[1])[0]["budget"]
    assert budget["burn_rates"] == dict.fromkeys(("5m", "30m", "1h", "2h", "6h", "1d", "3d"), 3.0)
    assert abs(budget["burn_rates_at"] - SYSTEM_CLOCK.time()) < 3600
    _, out, _ = run("budgets", *place)
    assert "3x/5m 3x/30m 3x/1h" in out
    assert f"Burn rates are those of {timestamp(budget['burn_rates_at'])}" in out
    for form in ("markdown", "html", "json"):
        text = run("report", "--format", form, *place)[1].replace("\\", "")
        assert "Burn rates are those of" in text


def test_a_composite_burns_as_its_parts_did(run: Run, config: Path) -> None:
    whole = "{id: all, target: 90, sli: {type: composite, components: {ok: 1, pay: 1}}}"
    config.write_text(CONFIG.replace("slos: [{id: pay,", f"slos: [{whole}, {{id: pay,"))
    place = live_and_stop(config)
    ok, whole_, _ = (each["budget"] for each in json.loads(run("budgets", "--json", *place)[1]))
    assert whole_["burn_rates"]["6h"] == 0.15  # half of 3%, of a budget of 10%
    assert whole_["burn_rates_at"] <= ok["burn_rates_at"]


def test_burn_rates_that_a_state_does_not_hold_are_called_unknown(run: Run, config: Path) -> None:
    place = live_and_stop(config)
    with closing(sqlite3.connect(config.parent / "shop.db")) as db, db:
        db.execute("""DELETE FROM state WHERE "table" = 'shop/windows.rows'""")
    _, out, _ = run("budgets", *place)
    assert out.splitlines()[1].split()[6] == "unknown"
    assert "Burn rates are unknown where the state file holds none" in out
    assert "Burn rates are unknown" in run("report", "--format", "markdown", *place)[1]


def test_an_incident_has_its_post_mortem(config: Path, run: Run) -> None:
    place = live_and_stop(config)
    report = json.loads(run("report", "--json", *place)[1])
    [incident] = [each for each in report["incidents"] if each["name"] == "ErrorBudgetBurn"][:1]
    assert (incident["slo"], incident["ended"]) == ("ok", None)
    code, out, _ = run("report", "--incident", incident["id"], *place)
    assert code == 0
    assert out.startswith("# Post-mortem: ErrorBudgetBurn")
    assert r"Requests \<b\>succeed\</b\>" in out
    code, _, err = run("report", "--incident", "none", *place)
    assert code == 2
    assert incident["id"] in err


def test_places_exclude_each_other_and_must_be_there(run: Run, config: Path, tmp_path: Path) -> None:
    assert run("budgets", "--url", "http://a", "--prometheus", "http://b")[0] == 2
    assert run("budgets", "--state", str(tmp_path / "none.db"), "--config", str(config))[0] == 2
    assert run("budgets", "--prometheus", "http://b", "--config", str(tmp_path / "none.yaml"))[0] == 2
    assert run("budgets", "--prometheus", "http://127.0.0.1:9", "--config", str(config))[0] == 1
    assert run("budgets", "--url", "http://127.0.0.1:9")[0] == 1
    for url in ("http://", "ftp://a", "http://[::1", "http://a:b"):
        assert run("budgets", "--url", url)[0] == 2


def test_a_configuration_is_validated(run: Run, config: Path, tmp_path: Path) -> None:
    code, out, _ = run("validate", str(config))
    assert (code, out.count("\n")) == (0, 1)
    assert "2 objective(s)" in out
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(CONFIG.replace("target: 99,", "target: 101,"))
    code, out, _ = run("validate", str(config), str(wrong))
    assert code == 2
    assert f"{wrong}:10" in out
    [_, found] = json.loads(run("validate", "--json", str(config), str(wrong))[1])
    assert found["file"] == str(wrong)
    assert len(found["findings"]) == 1
    assert run("validate", str(tmp_path / "none.yaml"))[0] == 2


def test_what_loads_and_cannot_be_meant_is_a_finding(run: Run, tmp_path: Path) -> None:
    rule = 'sum(rate(a_total{code="500"}[5m])) / sum(rate(a_total[5m])) > 1.5'
    (tmp_path / "rules.yml").write_text(f"groups: [{{name: a, rules: [{{alert: Never, expr: '{rule}'}}]}}]\n")
    file = tmp_path / "reliability.yaml"
    file.write_text("service: shop\nrules: [rules.yml]\n")
    code, out, _ = run("validate", str(file))
    assert (code, "Never" in out or "never" in out) == (1, True)


def test_nothing_to_validate_is_wrong_use(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("validate")[0] == 2


def test_objectives_are_written_as_rules_and_explained(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    assert run("slo", "rules", "--config", str(config), "--output", str(file))[0] == 0
    assert run("slo", "rules", "--config", str(config))[1] == file.read_text()
    assert "slo:ok" in [group.name for group in load(file)]
    code, out, _ = run("slo", "explain", "ok", "--config", str(config))
    assert code == 0
    assert "7h12m of full outage" in out
    explained = json.loads(run("slo", "explain", "ok", "--json", "--config", str(config))[1])
    assert [alert["name"] for alert in explained["alerts"]][:2] == ["fast", "slow"]
    assert run("slo", "explain", "none", "--config", str(config))[0] == 2


def test_objectives_go_to_openslo_and_come_back(run: Run, config: Path, tmp_path: Path) -> None:
    exported, imported = tmp_path / "openslo.yaml", tmp_path / "imported.yaml"
    assert run("slo", "export", "--config", str(config), "--output", str(exported))[0] in (0, 1)
    assert "openslo/v1" in exported.read_text()
    assert run("slo", "import", str(exported), "--output", str(imported))[0] in (0, 1)
    before, after = (
        run("slo", "explain", "pay", "--json", "--config", str(file))[1] for file in (config, imported)
    )
    assert json.loads(before)["target"] == json.loads(after)["target"] == 0.95
    assert run("slo", "import", str(tmp_path / "none.yaml"))[0] == 2


def test_a_file_without_an_objective_is_no_import(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    code, out, err = run("slo", "import", str(empty))
    assert (code, out) == (2, "")
    assert "there is no objective in it" in err


def test_what_is_lost_on_the_way_is_named_and_a_finding(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "sloth.yaml"
    file.write_text(
        "version: prometheus/v1\nservice: shop\nslos:\n"
        "  - name: ok\n    objective: 99.9\n    sli:\n      events:\n"
        "        error_query: 'sum(rate(errors_total[{{.window}}]))'\n"
        "        total_query: 'sum(rate(http_requests_total[{{.window}}]))'\n"
        "    alerting: {name: ShopErrors}\n"
    )
    code, out, err = run("slo", "import", str(file), "--from", "sloth")
    assert "target: 99.9" in out
    assert code == int("lost: " in err)


def test_what_init_writes_is_valid_and_is_not_overwritten(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init", "--name", "my-api")[0] == 0
    assert run("validate")[0] == 0
    assert "my-api" in Path("reliability.yaml").read_text()
    workflow = Path(".github/workflows/reliability.yml").read_text()
    for part in ("*/15 * * * *", "resilience validate", "resilience budgets --check-violations", "--days"):
        assert part in workflow
    code, _, err = run("init")
    assert code == 2
    assert "--force" in err
    assert run("init", "--force")[0] == 0
    assert "my-api" not in Path("reliability.yaml").read_text()
    assert run("init", "--name", "a: b")[0] == 2


def steps(job: dict[str, Any], environ: dict[str, str]) -> Iterator[str]:
    """Shell lines of a job that run; conditions of steps are names of variables that must not be empty."""
    for step in job["steps"]:
        name = step.get("if", "env.ALWAYS").removeprefix("env.")
        if "run" in step and environ.get(name):
            yield step["run"]


def test_the_workflow_of_init_succeeds_without_secrets(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("init")
    workflow = yaml.read(".github/workflows/reliability.yml").data
    for variable in ("PROMETHEUS_URL", "RESILIENCE_TOKEN"):
        assert workflow["env"][variable] == f"${{{{ secrets.{variable} }}}}"
        monkeypatch.setenv(variable, "")
    ran = [line for job in workflow["jobs"].values() for line in steps(job, {"ALWAYS": "true"})]
    pip, *commands = ran
    assert pip == "pip install asyncio-resilience"
    assert commands == ["resilience validate reliability.yaml"]
    for command in commands:
        assert run(*command.split()[1:])[0] == 0
    with_secrets = [
        line
        for job in workflow["jobs"].values()
        for line in steps(job, {"ALWAYS": "true", "PROMETHEUS_URL": "http://prometheus:9090"})
    ]
    assert "resilience budgets --check-violations" in with_secrets


def test_what_is_written_can_be_json(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rules, openslo, back = tmp_path / "rules.yml", tmp_path / "openslo.yaml", tmp_path / "back.json"
    code, out, _ = run("slo", "rules", "--json", "--config", str(config), "--output", str(rules))
    assert (code, out) == (0, "")
    assert [group.name for group in load(rules)] == [
        group["name"] for group in json.loads(rules.read_text())["groups"]
    ]
    assert [
        each["kind"] for each in json.loads(run("slo", "export", "--json", "--config", str(config))[1])
    ] == ["SLO"] * 2
    run("slo", "export", "--config", str(config), "--output", str(openslo))
    run("slo", "import", str(openslo), "--json", "--output", str(back))
    assert [slo["id"] for each in json.loads(back.read_text())["services"] for slo in each["slos"]] == [
        "ok",
        "pay",
    ]
    assert run("validate", str(back))[0] == 0
    made = json.loads(run("init", "--directory", "new", "--json")[1])
    assert [Path(file).is_file() for file in made["written"]] == [True, True]


@pytest.mark.parametrize(
    "damaged",
    ["nonsense", "[]", '{"version": 1}', '{"version": 1, "start": "x"}', '{"version": 2}'],
)
def test_a_damaged_state_is_an_error_and_no_command_hangs_on_it(run: Run, config: Path, damaged: str) -> None:
    place = live_and_stop(config)
    with closing(sqlite3.connect(config.parent / "shop.db")) as db, db:
        db.execute("""UPDATE state SET "value" = ? WHERE "table" = 'shop/budgets'""", [damaged.encode()])
    before = threading.active_count()
    code, out, err = run("budgets", *place)
    assert (code, out) == (2, "")
    assert "the budgets of service 'shop' in it are" in err
    blocked_until(lambda: threading.active_count() <= before)


def test_a_state_file_without_the_service_is_no_empty_budget(run: Run, config: Path) -> None:
    place = live_and_stop(config)
    for command in ("budgets", "report"):
        code, _, err = run(command, *place, "--service", "shpo")
        assert code == 2
        assert "holds nothing of the service 'shpo'; it knows shop" in err


def test_a_secret_that_a_pipeline_has_not_is_none(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("init")
    for variable in ("RESILIENCE_TOKEN", "PROMETHEUS_URL"):
        monkeypatch.setenv(variable, "")
    assert run("validate")[0] == 0


@pytest.mark.parametrize(
    "command", ["budgets", "report", "validate", "slo", "slo rules", "slo explain", "init"]
)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert "Usage" in out


def test_inhibitions_are_written_as_alertmanager_reads_them(config: Path, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    code, out, _ = run("slo", "inhibitions", str(config))
    assert code == 0
    file.write_text("route: {receiver: ops}\nreceivers: [{name: ops}]\n" + out)
    found = alertmanager_config.read(file, ["ops"]).inhibitions
    assert [(str(each.source), str(each.target), each.equal) for each in found][-1] == (
        '{alertname="ErrorBudgetExhaustion",consumed=~"100"}',
        '{alertname="ErrorBudgetExhaustion",consumed="90"}',
        ("service", "slo"),
    )
    assert len(found) == 4
