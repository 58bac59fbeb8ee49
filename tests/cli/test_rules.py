"""`resilience rules check` and `resilience rules test`."""

import json
from pathlib import Path

import pytest

from resilience.cli.main import main

GOOD = """\
groups:
  - name: g
    rules:
      - alert: Down
        expr: health_check_status == 0
        labels: {severity: page}
        annotations: {summary: "{{ $labels.job }} is down"}
"""
TEST = """\
rule_files: [rules.yml]
tests:
  - input_series: [{series: 'health_check_status{job="a"}', values: 0x3}]
    alert_rule_test:
      - eval_time: 1m
        alertname: Down
        exp_alerts: [{exp_labels: {severity: page, job: a}, exp_annotations: {summary: a is down}}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(GOOD)
    (tmp_path / "warned.yml").write_text(GOOD.replace("severity: page", "seen: '{{ $value }}'"))
    (tmp_path / "hinted.yml").write_text(GOOD.replace("severity: page", ""))
    (tmp_path / "bad.yml").write_text(GOOD.replace("status == 0", "status =="))
    (tmp_path / "test.yml").write_text(TEST)
    (tmp_path / "failing.yml").write_text(TEST.replace("a is down", "b is down"))
    return tmp_path


def test_check_finds_nothing_in_a_good_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "check", str(folder / "rules.yml")]) == 0
    assert capsys.readouterr().out == "1 rule(s) in 1 file(s): nothing found\n"


def test_check_answers_1_for_a_warning_and_0_for_a_hint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "check", str(folder / "hinted.yml")]) == 0
    assert "hint: Down: no label severity" in capsys.readouterr().out
    assert main(["rules", "check", str(folder / "warned.yml")]) == 1
    shown = capsys.readouterr().out
    assert f"{folder / 'warned.yml'}:4: warning: Down: label seen carries a value" in shown
    assert "\x1b" not in shown  # colours are for terminals


def test_check_answers_2_for_a_file_that_does_not_load_and_still_checks_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            ["rules", "check", str(folder / "bad.yml"), str(folder / "warned.yml"), str(folder / "none.yml")]
        )
        == 2
    )
    shown = capsys.readouterr()
    errors = shown.err.splitlines()
    assert errors[0].startswith(f"error: {folder / 'bad.yml'}:5:15: expr: ")
    assert errors[1] == f"error: {folder / 'none.yml'}: No such file or directory"
    assert "label seen carries a value" in shown.out


def test_check_knows_what_the_library_records_and_takes_other_names_for_the_applications_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "own.yml"
    file.write_text(GOOD.replace("health_check_status", "orders_total"))
    assert main(["rules", "check", str(file)]) == 0
    assert "own.yml:4: hint: Down: unknown metric orders_total" in capsys.readouterr().out
    file.write_text(GOOD.replace("health_check_status", "helth_check_status"))
    assert main(["rules", "check", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "hint: Down: unknown metric helth_check_status; did you mean health_check_status?" in shown
    file.write_text(GOOD.replace("health_check_status", ":health_check_status:sum"))
    assert main(["rules", "check", str(file)]) == 0
    assert "did you mean" not in capsys.readouterr().out
    file.write_text(GOOD.replace("health_check_status", "shop_health_check_status"))
    assert main(["rules", "check", "--prefix", "shop_", str(file)]) == 0
    assert "nothing found" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names", ["orders_total\n", '# TYPE orders_total counter\norders_total{a="b c"} 1\n']
)
def test_check_is_told_the_applications_own_metrics(
    folder: Path, capsys: pytest.CaptureFixture[str], names: str
) -> None:
    (folder / "names").write_text(names)
    file = folder / "own.yml"
    for name, code in (("orders_total", 0), ("health_check_status", 0), ("queue_depth", 1)):
        file.write_text(GOOD.replace("health_check_status", name))
        assert main(["rules", "check", "--metrics", str(folder / "names"), str(file)]) == code
    assert "warning: Down: unknown metric queue_depth" in capsys.readouterr().out
    assert main(["rules", "check", "--metrics", str(folder / "none"), str(file)]) == 2


def test_check_reads_the_buckets_of_ones_own_histograms(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = folder / "own.yml", folder / "page"
    quantile = "histogram_quantile(0.9, rate(http_request_duration_seconds_bucket[5m])) >"
    file.write_text(GOOD.replace("health_check_status == 0", f"{quantile} 20"))
    assert main(["rules", "check", str(file)]) == 0
    assert "hint: Down: never true with the buckets of this library" in capsys.readouterr().out
    name = "http_request_duration_seconds_bucket"
    for bounds, code in ((("0.5", "60.0", "+Inf"), 0), (("0.5", "15", "+Inf"), 1), (("-", "1e2"), 0)):
        page.write_text("".join(f'{name}{{handler="/a,b",le="{bound}"}} 1\n' for bound in bounds))
        assert main(["rules", "check", "--metrics", str(page), str(file)]) == code
        assert ("warning: Down: never true: " in capsys.readouterr().out) is bool(code)


def test_check_tells_all_that_is_wrong_in_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "bad.yml"
    file.write_text("""\
groups:
  - name: g
    interval: soon
    rules:
      - {alert: A, expr: up ==, fro: 1m, for: x, labels: {'': b, c: '{{ nope }}'}}
      - {record: r, alert: A}
      - {record: 'no{name', expr: up}
      - {alert: B}
  - name: g
  - rules: 7
  - nam: h
""")
    assert main(["rules", "check", str(file)]) == 2
    shown = capsys.readouterr().err.replace(f"error: {file}:", "").splitlines()
    assert [line.split(":")[0] for line in shown] == [
        "3",
        "5",
        "5",
        "5",
        "5",
        "5",
        "6",
        "7",
        "8",
        "9",
        "10",
        "11",
    ]
    for part in (
        "interval",
        "unknown key 'fro'",
        "for ",
        "a name in labels",
        "nope",
        "expr: ",
        "exactly one of",
        "no{name",
    ):
        assert any(part in line for line in shown), part


def test_check_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "check", "--json", str(folder / "warned.yml"), str(folder / "bad.yml")]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["rules"] == 1
    assert [finding["severity"] for finding in answer["findings"]] == ["warning", "hint"]
    assert answer["findings"][0]["line"] == 4
    assert "bad.yml:5:15" in answer["faults"][0]


def test_test_answers_0_when_all_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "test", str(folder / "test.yml")]) == 0
    assert capsys.readouterr().out == f"{folder / 'test.yml'}: passed (1 test(s))\n"


def test_test_answers_1_and_a_diff_when_one_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "test", str(folder / "failing.yml"), str(folder / "test.yml")]) == 1
    assert capsys.readouterr().out.splitlines()[:5] == [
        f"{folder / 'failing.yml'}: FAILED (1 test(s))",
        f"  {folder / 'failing.yml'}:5: alert Down at 1m",
        '      {alertname="Down", job="a", severity="page"}',
        "    -   summary: b is down",
        "    +   summary: a is down",
    ]


def test_test_answers_2_for_a_file_that_does_not_load(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "test", str(folder / "bad.yml"), str(folder / "test.yml")]) == 2
    shown = capsys.readouterr()
    assert "bad.yml:1:1: unknown key 'groups'" in shown.err
    assert "test.yml: passed" in shown.out


def test_test_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "test", "--json", str(folder / "failing.yml")]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["files"][0]["tests"] == 1
    assert answer["files"][0]["failures"][0]["what"] == "alert Down at 1m"
