"""Every value of `guards` and `health` replaced by what it may not be: it is taken, or refused with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resilience import config
from resilience.errors import ConfigError

WORD = "S3CRETW0RD"
WHOLE: dict[str, Any] = {
    "guards": {
        "timeout": "30s",
        "criticality": "normal",
        "bulkhead": {"limit": 10, "queue": 2, "max_wait": "1s", "order": "fifo", "mode": "normal"},
        "rate_limiter": {"rate": 10, "per": "1s", "burst": 5, "by": {"header": "x-api-key"}},
        "adaptive_limiter": {"algorithm": {"vegas": {}}},
        "load_shedder": {"capacity": 10, "thresholds": [0.5, 0.6, 0.7, 0.8]},
        "circuit_breaker": {"failure_threshold": "50%", "window": {"count": 100}, "by": "route"},
        "trusted": ["10.0.0.0/8"],
        "routes": {"/a": {"timeout": "1s", "bulkhead": 2, "rate_limiter": False, "criticality": "critical"}},
    },
    "health": {
        "web": {
            "http": {"url": f"http://x/{WORD}", "statuses": [200], "contains": "ok", "headers": {"a": WORD}},
            "interval": "5s",
            "timeout": 2,
            "retries": 1,
            "failure_status": "degraded",
            "tags": ["readiness"],
            "critical": True,
            "failure_threshold": 2,
            "failing_for": "30s",
            "success_threshold": 2,
        },
        "db": {"tcp": {"host": "db", "port": 1, "degraded_above": "1s"}, "depends_on": []},
        "short": {"tcp": "db:1"},
        "name": {"dns": {"name": "x", "expected": ["192.0.2.1"]}},
        "cert": {"tls": {"host": "x", "port": 443, "degraded_below": "30d", "server_name": "y"}},
        "disk": {"disk": {"path": "/", "degraded_above": "80%", "unhealthy_above": 0.9}},
        "memory": {"memory": {"degraded_above": "80%"}},
        "loop": {"event_loop": {"degraded_above": "1s", "unhealthy_above": 5}},
        "cache": {"redis": {"url": f"redis://:{WORD}@h", "degraded_above": 1}},
        "sql": {"sql": {"url": f"sqlite+aiosqlite:///{WORD}", "query": "SELECT 1"}},
        "pay": {"breakers": {"pipelines": ["pay"]}},
        "ok": {"slo": {"objectives": ["ok"], "degraded_below": "20%"}},
        "other": {"service": f"http://x/{WORD}"},
    },
}
WRONG: list[Any] = [None, True, -1, 10**400, "", "-1s", "200%", [], [None], {"x": 1}]


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from places(each, *path, key)


@pytest.mark.parametrize("section", ["guards", "health"])
def test_it_is_taken_or_refused_with_its_place_and_never_shown(tmp_path: Path, section: str) -> None:
    file = tmp_path / "reliability.yaml"
    refused = 0
    for path in list(places(WHOLE[section], section))[1:]:
        for wrong in WRONG:
            # One check is enough to read, where one is changed.
            kept = WHOLE[section] if section == "guards" else {path[1]: WHOLE[section][path[1]]}
            changed = {"service": "shop", section: copy.deepcopy(kept)}
            holder: Any = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = wrong
            file.write_text(json.dumps(changed))
            try:
                config.read(file)
            except ConfigError as error:
                message = str(error)
                assert message.startswith(str(file)), (path, wrong, message)
                assert "\n" not in message, (path, wrong, message)
                assert WORD not in message, (path, wrong, message)
                refused += 1
            except Exception as error:  # noqa: BLE001  whatever else it is, it is no answer to a mistake
                pytest.fail(f"{path}: {wrong!r}: {error!r}")
    assert refused > 100
