"""The same unit tests through the real promtool and through this library: the same verdicts."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from resilience import promql
from resilience.cli.main import main
from resilience.core.clock import Instant
from resilience.promql.labels import label_text
from resilience.rules import Evaluator, load

FILES = sorted((Path(__file__).parent / "promtool").glob("*_*.yml"))
CASES = [file for file in FILES if file.name.startswith(("pass_", "fail_"))]

pytestmark = pytest.mark.server("promtool")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_there_are_cases_of_both_verdicts() -> None:
    assert {file.name.split("_")[0] for file in CASES} == {"pass", "fail"}


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_unit_tests_have_promtools_verdict(file: Path) -> None:
    theirs = promtool("test", "rules", file)
    assert (theirs.returncode == 0) == file.name.startswith("pass_"), theirs.stdout + theirs.stderr
    assert (main(["rules", "test", "--semantics", "2", str(file)]) == 0) == (theirs.returncode == 0)


@pytest.mark.parametrize(
    "text",
    [
        "groups: []",
        "",
        "groups: [{name: a, rules: [{alert: A, expr: up}]}]",
        "groups: [{name: a, interval: 1m30s, limit: 5, rules: [{record: 'a:b', expr: 'sum(up)', labels: {v: 1.10}}]}]",
        "groups: [{name: a, rules: [{alert: A B, expr: 1, for: 0, labels: {a: true}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, for: 5}]}]",
        "groups: [{name: a}, {name: a}]",
        "groups: [{rules: []}]",
        "groups: [{name: a, rulez: []}]",
        "groups: [{name: a, rules: [{alert: A, record: b, expr: up}]}]",
        "groups: [{name: a, rules: [{expr: up}]}]",
        "groups: [{name: a, rules: [{alert: A}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: 'up +'}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: 'foo(up)'}]}]",
        "groups: [{name: a, rules: [{record: b, expr: up, for: 1m}]}]",
        "groups: [{name: a, rules: [{record: b, expr: up, annotations: {a: b}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, labels: {__name__: c}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {a: '{{ $labels.x'}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {a: '{{ nope 1 }}'}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {a: '{{ $nope }}'}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {a: '{{ if gt $value 1.0 }}x{{ else }}y{{ end }}'}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, keep_firing_for: 5m, for: 1h}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, alert: B}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up}, {alert: A, expr: up > 1}]}]",
    ],
)  # fmt: skip
def test_rule_files_are_taken_or_refused_as_by_promtool(text: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(text)
    theirs = promtool("check", "rules", file)
    # 2 says that a file does not load; 1, that it loads and something is found.
    assert (main(["rules", "check", str(file)]) == 2) == (theirs.returncode != 0), (
        theirs.stdout + theirs.stderr
    )


def test_promtool_confirms_every_state_of_alerts_with_random_histories(tmp_path: Path) -> None:
    """What this library says of `ALERTS` at each minute is written down as promtool's expectation."""
    chance = random.Random(20)
    holds = [(for_, keep) for for_ in (0, 1, 2, 5) for keep in (0, 1, 3)]
    rules = [
        {"alert": f"F{for_}K{keep}", "expr": "x > 0", "for": f"{for_}m", "keep_firing_for": f"{keep}m"}
        for for_, keep in holds
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    tests = []
    for _ in range(8):
        series = {job: chance.choices(["0", "1", "_", "stale"], [6, 8, 1, 1], k=25) for job in "ab"}
        source = promql.MemorySource()
        evaluator = Evaluator(load(tmp_path / "rules.yml"), source, source, semantics=2)
        expectations = []
        for minute in range(25):
            at = 60.0 * minute
            for job, values in series.items():
                if values[minute] != "_":
                    value = promql.STALE if values[minute] == "stale" else float(values[minute])
                    source.add("x", [(at, value)], job=job)
            evaluator.tick(Instant(at, at))
            found = promql.evaluate('{__name__=~"ALERTS.*"}', source, at, semantics=2)
            assert isinstance(found, promql.Vector)
            samples = [{"labels": label_text(labels), "value": value} for labels, value in found]
            expr = '{__name__=~"ALERTS.*"}'
            expectations.append({"expr": expr, "eval_time": f"{minute}m", "exp_samples": samples})
        inputs = [
            {"series": f'x{{job="{job}"}}', "values": " ".join(values)} for job, values in series.items()
        ]
        tests.append({"interval": "1m", "input_series": inputs, "promql_expr_test": expectations})
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": ["rules.yml"], "tests": tests}))
    theirs = promtool("test", "rules", file)
    assert theirs.returncode == 0, theirs.stdout + theirs.stderr
    assert main(["rules", "test", "--semantics", "2", str(file)]) == 0
