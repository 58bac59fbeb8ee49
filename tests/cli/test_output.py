import pytest

from resilience.cli.output import print_json, print_table


def test_a_table_has_columns_as_wide_as_their_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("a", 10), ("longer", None), ("c", 2)])
    assert capsys.readouterr().out == "name    n\na       10\nlonger\nc        2\n"


def test_an_empty_table_shows_its_headers(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [])
    assert capsys.readouterr().out == "name\n"


def test_json_has_no_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("inf"), "b": (1, None)})
    assert capsys.readouterr().out == '{\n  "a": "inf",\n  "b": [\n    1,\n    null\n  ]\n}\n'
