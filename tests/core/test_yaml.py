"""YAML: plain data with places, and nothing but a ConfigError for what is not."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core import yaml
from resilience.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("a: 1:30\nb: no\nc: on\nd: 2026-01-01\n", {"a": "1:30", "b": "no", "c": "on", "d": "2026-01-01"}),
        ("[1, -3, 0x1f, 0o17, 1e3, .inf, true, ~, '1', 1.10]", [1, -3, 31, 15, 1000.0, float("inf"), True, None, "1", 1.1]),
        ('{"json": [true, null, {"a": "b"}]}', {"json": [True, None, {"a": "b"}]}),
        ("a: &x {q: 1}\nb: *x\nc: {<<: *x, z: 2}\nd: {q: 5, <<: *x}", {"a": {"q": 1}, "b": {"q": 1}, "c": {"q": 1, "z": 2}, "d": {"q": 5}}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)  # fmt: skip
def test_reads_yaml_1_2_and_json(text: str, data: Any) -> None:
    assert yaml.load(text.encode()).data == data


def test_knows_where_every_value_stands_and_what_its_text_was() -> None:
    document = yaml.load("groups:\n  - name: shop\n    rules:\n    - {alert: A, for: 1.10}\n")
    assert document.line("groups", 0, "name") == 2
    assert document.place("groups", 0, "rules", 0, "for")[:2] == (4, 23)
    assert document.text("groups", 0, "rules", 0, "for") == "1.10"
    assert document.line("groups", 0, "rules", 0, "for", "not there") == 4


def test_an_error_in_a_literal_block_names_the_line_in_the_block() -> None:
    document = yaml.load("expr: |\n  a +\n  b +\n  )\n", file="r.yml")
    assert str(document.error("unexpected )", "expr", position=8)) == "r.yml:4: unexpected )"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: key 'a' stands twice"),
        ("a: [1", "f:1:6: expected ',' or ']'"),
        ("a\n\tb: 1", "f:2:1: found character"),
        ("!!python/object x", "f:1:1: tag tag:yaml.org,2002:python/object is not allowed"),
        ("!x {a: 1}", "f:1:1: tag !x is not allowed"),
        ("a: 1\n---\nb: 1", "f:3:1: only one document"),
        ("a: *x", "f:1:4: unknown alias *x"),
        ("a: &a [*a]", "unknown alias *a"),
        ("? [a]\n: b", "a key must be a plain value"),
        ("[" * 10_000, "f:1:52: nested deeper than 50 levels"),
        ("- " * 10_000, "nested deeper than 50 levels"),
        ("a: !!int x", "'x' is not a int"),
        ("<<: 1", "<< merges"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('"\\UFFFFFFFF"', "f: "),
        ("a: \x00", "f: "),
        (b"a: \xff", "f: not UTF-8 at byte 3"),
        ("%YAML 9.9\n---\na", "version 1.* is required"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_in_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        yaml.load(text, file="f")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_size_is_bounded_before_anything_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "large.yml"
    file.write_text("a: 1\n" * 10)
    with pytest.raises(ConfigError, match=r"large\.yml: the file is larger than 20 bytes"):
        yaml.read(file, max_bytes=20)


def test_aliases_cannot_multiply() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="more than 500000 values"):
        yaml.load("\n".join(lines))


def test_values_behind_an_alias_or_a_merge_know_how_and_where_they_are_written() -> None:
    document = yaml.load(
        "base: &base {version: 1.10, deep: [&one 0x1]}\nalias: *base\nmerge: {<<: *base, own: 1}\n"
        "list: {<<: [{version: 2.0}, *base]}\n"
    )
    for path in (("base",), ("alias",), ("merge",)):
        assert document.written(*path, "version") == "1.10"
        assert document.written(*path, "deep", 0) == "0x1"
        assert document.line(*path, "version") == 1
    assert document.written("list", "version") == "2.0"
    assert document.written("list", "deep", 0) == "0x1"
    assert document.key_error("no", "merge", "version").column == 14


def test_aliases_cannot_nest_without_end() -> None:
    lines = ["a0: &a0 [[[[[[[[[[x]]]]]]]]]]"]
    lines += [f"a{i}: &a{i} [[[[[[[[[[*a{i - 1}]]]]]]]]]]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="nested deeper than 50 levels"):
        yaml.load("\n".join(lines))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: No such file"):
        yaml.read(tmp_path / "none.yml")


PIECES = st.sampled_from(
    ["a", "b: ", "- ", "\n", "  ", "[", "]", "{", "}", ",", ": ", "&x ", "*x", "|", ">", "'", '"', "<<", "!!int ", "!", "~", "1e5", "0x", "-", "?", "#", "\t", "---\n", "...\n", "%YAML 1.1\n", "\\u", "\u2028", "\x00"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=40) | st.binary(max_size=40))
def test_any_text_is_data_or_refused(text: str | bytes) -> None:
    message = ""
    try:
        yaml.load(text)
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message


def test_a_surrogate_pair_of_json_is_one_character_in_values_and_keys() -> None:
    document = yaml.load('{"\\ud83d\\udca5": "a \\ud83d\\udca5"}')
    assert document.data == {"\U0001f4a5": "a \U0001f4a5"}
    assert document.text("\U0001f4a5") == "a \U0001f4a5"


@pytest.mark.parametrize("text", ['{"\\ud83d": 1}', '{"a": "\\udca5\\ud83d"}', '["\\ud83d"]'])
def test_half_of_a_surrogate_pair_is_refused_in_values_and_keys(text: str) -> None:
    with pytest.raises(ConfigError, match="half of a surrogate pair"):
        yaml.load(text)
