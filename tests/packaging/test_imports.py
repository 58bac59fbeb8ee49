"""What `import resilience` loads, how long it takes, and which names it offers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import resilience
import resilience_middleware

FRAMEWORKS = {
    "aiohttp",
    "click",
    "fastapi",
    "httpx",
    "httpx2",
    "jinja2",
    "opentelemetry",
    "prometheus_client",
    "psutil",
    "redis",
    "rich",
    "starlette",
    "structlog",
    "uvicorn",
}
SNAPSHOT = Path(__file__).with_name("public_names.json")


def loaded_by(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import resilience",
        "from resilience import CircuitBreaker, Retry, Timeout, Pipeline, Reliability; Reliability(service='shop')",
    ],
)
def test_importing_and_making_a_reliability_loads_no_framework_and_no_extra(code: str) -> None:
    assert not loaded_by(code) & FRAMEWORKS


def test_the_public_names_are_those_of_the_snapshot() -> None:
    offered = {module.__name__: sorted(module.__all__) for module in (resilience, resilience_middleware)}
    assert offered == json.loads(SNAPSHOT.read_text()), (
        f"the public names changed: if that is meant, write them to {SNAPSHOT.name} and the changelog"
    )


@pytest.mark.parametrize("module", [resilience, resilience_middleware])
def test_every_public_name_exists_and_is_documented(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]  # a package
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_importing_twice_into_two_interpreters_makes_no_default_instance() -> None:
    code = "import resilience, resilience.reliability as r; print(r._default)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
