"""The runner on files of our own, and on the folder of Prometheus' files that `PROMQLTEST_DIR` names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.promqltest import OUT_OF_SCOPE, files, main, run

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


def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.test"
    broken.write_text("eval sometimes up\n")
    assert main([str(broken), str(tmp_path / "missing.test")]) == 1
    assert "line 1: not a command" in capsys.readouterr().out


def test_no_file_is_a_misuse(tmp_path: Path) -> None:
    assert main([]) == 2
    assert main([str(tmp_path)]) == 2
