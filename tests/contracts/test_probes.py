"""Every probe of the folder is a `Check` that says whether it looks outside of the process."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from resilience import probes

MODULES = sorted(each.name for each in pkgutil.iter_modules(probes.__path__) if not each.name.startswith("_"))


def found(module: str) -> list[type]:
    home = importlib.import_module(f"resilience.probes.{module}")
    return [vars(home)[name] for name in home.__all__ if name.endswith("Probe")]


def test_there_are_probes_and_each_is_swept() -> None:
    assert len(MODULES) >= 11


@pytest.mark.parametrize("module", MODULES)
def test_it_looks_and_says_where_to(module: str) -> None:
    assert found(module)
    for probe in found(module):
        assert inspect.iscoroutinefunction(probe.check)  # type: ignore[attr-defined]  # that is the question
        assert isinstance(probe.outside, bool)  # type: ignore[attr-defined]  # same
        assert "\n" in (probe.__doc__ or "")


@pytest.mark.parametrize("module", MODULES)
def test_it_says_what_it_is_for(module: str) -> None:
    assert (importlib.import_module(f"resilience.probes.{module}").__doc__ or "").strip()
