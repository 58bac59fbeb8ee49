"""Reads `reliability.yaml` and the environment; what a section means is said by its own file in `sections`."""

from resilience.config.reader import Config, read
from resilience.config.source import Setting, Source

__all__ = ["Config", "Setting", "Source", "read"]
