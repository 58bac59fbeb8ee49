from __future__ import annotations

from dataclasses import dataclass

import pytest

from resilience.core.validate import integer
from resilience.errors import ConfigError
from resilience.policies.settings import changed, is_observing


@dataclass(frozen=True)
class Settings:
    limit: int = 1
    queue: int = 2

    def __post_init__(self) -> None:
        integer("limit", self.limit)


def test_what_is_not_named_stays() -> None:
    assert changed(Settings(5, 6), {"limit": 7}) == Settings(7, 6)


def test_the_new_whole_is_validated() -> None:
    with pytest.raises(ConfigError, match="limit"):
        changed(Settings(), {"queue": 3, "limit": 0})


def test_an_unknown_option_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="unknown option 'size'; there are: limit, queue"):
        changed(Settings(), {"size": 3})


def test_modes_are_two() -> None:
    assert (is_observing("normal"), is_observing("observe")) == (False, True)
    with pytest.raises(ConfigError, match="mode must be one of normal, observe"):
        is_observing("off")
