"""The same unit tests through the real promtool and through this library: the same verdicts."""

import subprocess
from pathlib import Path

import pytest

from resilience.cli.main import main

FILES = sorted((Path(__file__).parent / "promtool").glob("*_*.yml"))
CASES = [file for file in FILES if file.name.startswith(("pass_", "fail_"))]

pytestmark = pytest.mark.server("promtool")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)


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
        "groups: [{name: a, rules: [{record: 1b, expr: up}]}]",
        "groups: [{name: a, rules: [{record: b, expr: up, for: 1m}]}]",
        "groups: [{name: a, rules: [{record: b, expr: up, annotations: {a: b}}]}]",
        "groups: [{name: a, rules: [{alert: A, expr: up, labels: {a-b: c}}]}]",
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
