"""Every value of alerting's sections replaced by what it cannot be: one line that names it, and never a secret."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resilience import config
from resilience.errors import ResilienceError

WORD = "S3CRETW0RD"
WHOLE: dict[str, Any] = {
    "service": "shop",
    "channels": {
        "log": {"log": {}},
        "ops": {"slack": f"https://hooks.example/{WORD}"},
        "pager": {"pagerduty": {"routing_key": WORD, "source": "shop"}},
        "hook": {"webhook": {"url": f"https://audit.example/{WORD}", "max_alerts": 3}},
        "mail": {
            "email": {
                "host": "mail.example",
                "port": 25,
                "security": "none",
                "sender": "a@shop.example",
                "to": ["b@shop.example"],
                "username": "u",
                "password": WORD,
            }
        },
        "am": {"alertmanager": {"url": f"http://u:{WORD}@am.example", "repeat_interval": 60}},
    },
    "grouping": {"group_by": ["a"], "group_wait": "1s", "group_interval": "1m", "repeat_interval": "1h"},
    "routes": [
        {
            "severity": "critical",
            "match": ["a=b"],
            "to": "ops",
            "escalation": "oncall",
            "mute": "nights",
            "active": ["nights"],
            "continue": True,
            "routes": [{"team": "x"}],
        }
    ],
    "time_intervals": {
        "nights": [
            {
                "times": [{"start_time": "00:00", "end_time": "06:00"}],
                "weekdays": ["monday:friday"],
                "days_of_month": ["1:-1"],
                "months": ["may"],
                "years": ["2020:2030"],
                "location": "Europe/Berlin",
            }
        ]
    },
    "maintenance": [{"match": "a=b", "during": "nights"}],
    "inhibitions": [{"source": "a=b", "target": ["c=d"], "equal": ["e"]}],
    "escalations": {
        "oncall": {
            "levels": [{"to": "ops", "wait": "1m"}],
            "repeats": 1,
            "acknowledgement_timeout": "1h",
        }
    },
    "flapping": {"changes": 4, "window": "1m"},
    "heartbeat": {"url": f"https://hc.example/{WORD}", "interval": "1m"},
}
SLIPS: list[Any] = [7, None, [], {"x": 7}, [[7]]]


def paths(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    for key, inside in value.items() if isinstance(value, dict) else ():
        yield from paths(inside, *path, key)
    for index, inside in enumerate(value if isinstance(value, list) else ()):
        yield from paths(inside, *path, index)


def test_the_whole_can_be_meant(tmp_path: Path) -> None:
    file = tmp_path / "reliability.json"
    file.write_text(json.dumps(WHOLE))
    assert WORD not in repr(config.read(file, environ={}).settings)


@pytest.mark.parametrize("section", [key for key in WHOLE if key != "service"])
def test_a_slip_anywhere_is_one_line_or_can_be_meant(section: str, tmp_path: Path) -> None:
    file = tmp_path / "reliability.json"
    said: list[str] = []
    for path in paths(WHOLE[section], section):
        for slip in SLIPS:
            broken = copy.deepcopy(WHOLE)
            place = broken
            for key in path[:-1]:
                place = place[key]  # type: ignore[index]  # a path leads through what can be indexed
            place[path[-1]] = slip  # type: ignore[index]  # as above
            file.write_text(json.dumps(broken))
            try:
                config.read(file, environ={})
            except ResilienceError as error:
                said.append(str(error))
    assert said
    assert [each for each in said if "\n" in each or WORD in each or not each.startswith(str(file))] == []
