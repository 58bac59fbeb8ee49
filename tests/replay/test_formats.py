"""What each format of access logs reads, and what it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ConfigError
from resilience.replay import formats

AT = 1_790_000_000.0
HEAD = "10.0.0.1 - - [21/Sep/2026:14:13:20 +0000]"


def read(name: str, *lines: str, **options: str) -> tuple[list[formats.Entry], list[str]]:
    refused: list[str] = []
    return list(formats.make(name, **options).read(lines, refused.append)), refused


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (f'{HEAD} "GET /a?b=1 HTTP/1.1" 200 12 "-" "curl/8"', (AT, "GET", "/a?b=1", "200", None)),
        (f'{HEAD} "GET /a HTTP/1.1" 200 12', (AT, "GET", "/a", "200", None)),
        (f'{HEAD} "GET /a HTTP/1.1" 304 - "-" "-" 0.049', (AT, "GET", "/a", "304", 0.049)),
        (f'{HEAD} "GET /a HTTP/1.1" 200 1 "-" "-" 49000', (AT, "GET", "/a", "200", 0.049)),
        (f'{HEAD} "GET /a HTTP/1.1" 200 1 "-" "-" "0.049" "0.040"', (AT, "GET", "/a", "200", 0.049)),
        (f'{HEAD} "GET /a HTTP/1.1" 200 1 "-" "-" rt=0.049 uct="0.001"', (AT, "GET", "/a", "200", 0.049)),
        (f'{HEAD} "GET /a HTTP/1.1" 200 1 "-" "-" -', (AT, "GET", "/a", "200", None)),
        (f'{HEAD} "GET /a HTTP/1.1" 200 1 "x \\" 500 1 \\"y" "\\"" 0.5', (AT, "GET", "/a", "200", 0.5)),
        (f'{HEAD} "-" 408 0 "-" "-"', (AT, "", "", "408", None)),
        (f'{HEAD} "\\x16\\x03\\x01" 400 157 "-" "-"', (AT, "", "", "400", None)),
        (f'{HEAD} "GET /" 200 1 "-" "-"', (AT, "GET", "/", "200", None)),
        ('shop:443 ::1 - Jo Doe [21/Sep/2026:16:13:20 +0200] "PUT / HTTP/2.0" 500 0 "-" "-"',
         (AT, "PUT", "/", "500", None)),
    ],
)  # fmt: skip
def test_combined_reads_what_servers_write(line: str, entry: formats.Entry) -> None:
    assert read("combined", line) == ([entry], [])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "garbage",
        HEAD,
        f'{HEAD} "GET / HTTP/1.1" OK 1',
        HEAD.replace("Sep", "Okt") + ' "GET / HTTP/1.1" 200 1',
    ],
)
@pytest.mark.parametrize("name", formats.names())
def test_what_is_no_request_is_refused_and_the_next_line_read(name: str, line: str) -> None:
    good = {
        "combined": f'{HEAD} "GET /a HTTP/1.1" 200 1',
        "json": json.dumps({"time": AT, "method": "GET", "path": "/a", "status": 200}),
        "uvicorn": '2026-09-21T14:13:20Z INFO: 10.0.0.1:1 - "GET /a HTTP/1.1" 200 OK',
    }[name]
    assert read(name, line, good) == ([(AT, "GET", "/a", "200", None)], [line])


@pytest.mark.parametrize("name", formats.names())
@given(line=st.text())
def test_no_text_is_fatal(name: str, line: str) -> None:
    entries, refused = read(name, line)
    assert len(entries) + len(refused) == 1


def test_the_unit_of_a_duration_can_be_said() -> None:
    line = f'{HEAD} "GET /a HTTP/1.1" 200 1 "-" "-" 49'
    assert read("combined", line, unit="ms")[0][0][4] == 0.049
    with pytest.raises(ConfigError, match="unit must be one of s, ms, us"):
        formats.make("json", unit="h")


@pytest.mark.parametrize(
    ("data", "entry"),
    [
        ({"ts": AT, "request": {"method": "GET", "uri": "/a"}, "status": 200, "duration": 0.5},  # Caddy
         (AT, "GET", "/a", "200", 0.5)),
        ({"time_local": "21/Sep/2026:14:13:20 +0000", "request": "GET /a HTTP/1.1", "status": "200",
          "request_time": "0.500"}, (AT, "GET", "/a", "200", 0.5)),
        ({"msec": "1790000000.250", "request_method": "GET", "request_uri": "/a", "status": "200"},
         (AT + 0.25, "GET", "/a", "200", None)),
        ({"@timestamp": "2026-09-21T14:13:20Z", "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
          "url": {"path": "/a"}, "duration_ms": 500}, (AT, "GET", "/a", "200", 0.5)),
        ({"timestamp": AT * 1000, "method": "GET", "path": "/a", "status": 200, "duration": -1},
         (AT, "GET", "/a", "200", None)),
    ],
)  # fmt: skip
def test_json_knows_the_names_of_the_usual_servers(data: dict[str, object], entry: formats.Entry) -> None:
    assert read("json", json.dumps(data)) == ([entry], [])


@pytest.mark.parametrize(
    "data", [[], 1, {"time": "nan", "method": "GET", "path": "/", "status": 200}, {"time": AT}]
)
def test_json_without_what_makes_a_request_is_refused(data: object) -> None:
    line = json.dumps(data)
    assert read("json", line) == ([], [line])


def test_uvicorn_needs_a_time() -> None:
    line = 'INFO:     10.0.0.1:5150 - "GET /a HTTP/1.1" 200 OK'
    assert read("uvicorn", line) == ([], [line])
    assert read("uvicorn", f"[2026-09-21 14:13:20,250] {line} 0.049")[0] == [
        (AT + 0.25, "GET", "/a", "200", 0.049)
    ]
