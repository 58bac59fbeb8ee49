"""Which processes are known to be gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from resilience.core.process_name import is_gone, process_name

CHILD = "from resilience.core.process_name import process_name; print(process_name(), flush=True); input()"


def test_a_process_is_gone_once_it_was_killed_and_not_before() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    name = child.stdout.readline().decode().strip()
    assert not is_gone(name)
    child.kill()
    child.communicate()
    assert is_gone(name)


def test_a_process_that_has_the_number_of_another_is_not_that() -> None:
    unique, pid, began, machine = process_name().split(":", 3)
    assert is_gone(f"{unique}:{pid}:{float(began) - 100}:{machine}")
    assert not is_gone(f"{unique}:{pid}:{float(began) + 1}:{machine}")


def test_nothing_is_known_of_other_machines() -> None:
    unique, _, began, machine = process_name().split(":", 3)
    assert not is_gone(f"{unique}:{2**22 + os.getpid()}:{began}:another/{machine}")


@pytest.mark.parametrize("name", ["", "me", "x:y:z:w", "0123:1", "a" * 32])
def test_a_name_of_another_kind_is_not_gone(name: str) -> None:
    assert not is_gone(name)
