"""The runner on files of our own, and on the folder of Prometheus' files that `PROMQLTEST_DIR` names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resilience.promql import parse
from resilience.promql.show import show
from tests.conformance.promqltest import OUT_OF_SCOPE, files, main, run
from tests.conformance.repeats import varied

_HERE = Path(__file__).parent
_OWN = files([_HERE / "cases"])
_FOLDER = os.environ.get("PROMQLTEST_DIR")
_THEIRS = files([_FOLDER]) if _FOLDER else []


@pytest.mark.parametrize("path", _OWN, ids=lambda path: path.stem)
def test_own_cases_pass(path: Path) -> None:
    report = run(path)
    assert report.failed == []
    assert report.passed > 0


@pytest.mark.skipif(not _THEIRS, reason="PROMQLTEST_DIR names no folder with Prometheus' test files")
@pytest.mark.parametrize("path", _THEIRS, ids=lambda path: path.stem)
def test_prometheus_own_cases_pass(path: Path) -> None:
    report = run(path)
    assert report.failed == []
    assert report.passed > 0
    assert set(report.out_of_scope) <= set(OUT_OF_SCOPE)


def test_there_are_cases_of_our_own() -> None:
    assert len(_OWN) >= 5


def test_a_wrong_expectation_is_a_failure_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.test"
    wrong.write_text(
        "load 1m\n  up 1 1\n\n"
        "eval instant at 1m up\n  up 2\n\n"
        "eval instant at 1m up\n  expect fail\n\n"
        "eval range from 0 to 1m step 1m up\n  up 1 _\n\n"
        "eval instant at 1m up\n  up 1\n"
    )
    assert main([str(wrong)]) == 1
    assert "wrong.test: 1 passed, 3 failed, 0 out of scope" in capsys.readouterr().out


def test_what_is_out_of_scope_is_counted_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scope.test"
    file.write_text(
        "load 1m\n  h {{schema:0 sum:1 count:1 buckets:[1]}}x3\n  f 1\n\n"
        "eval instant at 1m h\n  h {{schema:0 sum:1 count:1 buckets:[1]}}\n\n"
        "eval instant at 1m limitk(1, f)\n  f 1\n\n"
        "eval instant at 1m f\n  expect no_info\n  f 1\n"
    )
    assert main([str(file)]) == 0
    assert (
        "1 passed, 0 failed, 2 out of scope (1 experimental, 1 native histograms)" in capsys.readouterr().out
    )


def test_what_cannot_be_read_is_a_failure_and_what_follows_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.test"
    broken.write_text(
        "eval sometimes up\n\nload 1m\n  up{ 1\n\nload 1m\n  up 1\n\neval instant at 0 up\n  up 1\n"
    )
    assert main([str(broken), str(tmp_path / "missing.test")]) == 1
    shown = capsys.readouterr().out
    assert "broken.test: 1 passed, 2 failed" in shown
    assert "line 1: not a command" in shown
    assert "line 3: " in shown
    assert "missing.test: cannot be read" in shown


def test_no_file_is_a_misuse(tmp_path: Path) -> None:
    assert main([]) == 2
    assert main([str(tmp_path)]) == 2


def test_the_older_directives_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "older.test"
    file.write_text("""\
load_with_nhcb 5m
  h_bucket{le="1"} 0+5x10
  h_bucket{le="+Inf"} 0+10x10
  f{a="1"} 2 2 2
  f{a="2"} 1 1 1
  nan NaN NaN

eval_ordered instant at 5m sort(f)
  f{a="2"} 1
  f{a="1"} 2

eval_warn instant at 5m quantile(2, f)
  {} Inf

eval_info instant at 5m sum(f)
  {} 3

eval_fail instant at 5m topk(NaN, f)
  expected_fail_message Parameter value is NaN

eval_fail range from 0 to 5m step 5m label_replace(f, "b", "$1", "a", "(")
  expected_fail_regexp invalid regular expression.*

eval instant at 5m topk(NaN, f)
  expect fail msg: Parameter value is NaN

eval instant at 5m "a" # a comment
  expect string "a"

eval instant at 10m f{a="1"}[10m]
  expect range vector from 5m to 10m step 5m
  f{a="1"} 2 2

eval instant at 5m histogram_quantile(0.5, h)
  {} 1

eval instant at 5m histogram_quantile(0.5, h_bucket)
  {} 1

clear

eval instant at 5m f
""")
    report = run(file)
    assert report.failed == []
    assert (report.passed, report.out_of_scope) == (10, {"native histograms": 1})


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        # The instant is as expected, the middle of the range is not.
        ("eval instant at 1m sum(up @ start())\n  {} 1", "got {} 0.0"),
        ("eval instant at 1m ceil({a!=''})\n  expect fail msg: found duplicate series", "was to fail for"),
        ("eval instant at 1m up\n  expect fail msg: anything", "was to fail"),
    ],
)
def test_an_instant_is_repeated_in_a_range_and_the_cause_of_a_failure_is_judged(
    tmp_path: Path, case: str, shown: str
) -> None:
    file = tmp_path / "case.test"
    file.write_text(f"load 1m\n  up 0 1 1\n  m{{a='1'}} 1 1 1\n  n{{a='1'}} 1 1 1\n\n{case}\n")
    [failed] = run(file).failed
    assert shown in failed


def test_an_instant_is_repeated_with_at_at_other_times() -> None:
    moved = list(varied(parse("sum(rate(a[5m])) / on() b offset 1m + max_over_time((c)[10m:1m])"), 60.0))
    assert [at for _, at in moved] == [60.0, 60.0 - 86_400, 0.0, 12.0, 60.0, 600.0]
    assert show(moved[1][0].node) == (
        "(sum(rate(a[5m] @ 60.0)) / on () b @ 60.0 offset 1m) + max_over_time((c)[10m:1m] @ 60.0)"
    )
    assert len(list(varied(parse("time() - a"), 60.0))) == 1


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("sum(typed)", "type and unit labels"),
        ("f </ 3", "native histograms"),
        ("f >/ 3", "native histograms"),
        ("histogram_count(f)", "native histograms"),
        ("increase(f[1m] anchored)", "experimental"),
        ("f + fill(0) f", "experimental"),
        ("rate(f[1m * 2])", "experimental"),
        ("info(f, {data=~'.+'})", "experimental"),
        ("holt_winters(f[1m], 0.5, 0.5)", "holt_winters"),
    ],
)
def test_each_reason_that_is_listed_is_told_from_a_failure(tmp_path: Path, query: str, reason: str) -> None:
    file = tmp_path / "scope.test"
    file.write_text(f'load 1m\n  f 1 1\n  typed{{__type__="gauge"}} 1 1\n\neval instant at 1m {query}\n')
    report = run(file)
    assert report.failed == []
    assert list(report.out_of_scope) in ([reason], ["experimental"])
    assert reason in OUT_OF_SCOPE
