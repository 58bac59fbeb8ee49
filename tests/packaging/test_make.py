"""What there is to make can be made: each target comes to commands, without running any."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_targets_of_the_readme_are_there() -> None:
    assert {"demo", "test", "check", "bench"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_comes_to_commands(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
