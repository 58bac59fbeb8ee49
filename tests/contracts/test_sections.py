"""What every section of a configuration promises."""

from __future__ import annotations

import re

import pytest

from resilience import config
from resilience.config import sections
from resilience.reliability import Reliability

SECTIONS = sections.load()


def test_there_are_sections_and_no_key_belongs_to_two() -> None:
    keys = [key for section in SECTIONS for key in section.KEYS]
    assert {"service", "rules", "channels"} <= set(keys)
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__.rpartition(".")[2])
def test_a_section_leaves_defaults_to_the_service_and_names_its_secrets(section: sections.Section) -> None:
    for pattern in section.SECRETS:
        assert pattern.startswith(section.KEYS), "secrets are those of its own keys"
        re.compile(pattern)
    source = config.Source(
        None, section.KEYS, {"RESILIENCE_SERVICE": "shop"} if "service" in section.KEYS else {}
    )
    Reliability(**{"service": "shop", **section.read(source)})
