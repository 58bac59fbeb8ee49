"""Acknowledgements: who has taken over which alert, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from resilience.core.labels import clean
from resilience.core.ports import Put
from resilience.core.rows import Moment, Shape, decode, encode

__all__ = ["ACKNOWLEDGEMENT", "Acknowledgement", "Acknowledgements"]

_TABLE = "alerting.acknowledgements"

ACKNOWLEDGEMENT: Shape = {"by": str, "at": Moment}
"""Shape of a stored acknowledgement."""


@dataclass(frozen=True)
class Acknowledgement:
    """Somebody (`by`) has taken over an alert at monotonic time `at`."""

    by: str
    at: float


class Acknowledgements:
    """The acknowledgements of the alerts that fire."""

    table = _TABLE

    def __init__(self) -> None:
        self._found: dict[str, Acknowledgement] = {}

    def get(self, fingerprint: str) -> Acknowledgement | None:
        """Return the acknowledgement of an alert, or None."""
        return self._found.get(fingerprint)

    def add(self, fingerprint: str, by: str, at: float, offset: float) -> Put:
        """Note one; `offset` leads from monotonic to Unix time."""
        self._found[fingerprint] = Acknowledgement(clean(by), at)
        return _put(fingerprint, self._found[fingerprint], offset)

    def all(self) -> list[tuple[str, Acknowledgement]]:
        """Return the acknowledgements with the fingerprints of their alerts."""
        return list(self._found.items())

    def end(self, fingerprints: Iterable[str]) -> list[Put]:
        """Forget those of alerts that no longer fire."""
        over = [each for each in fingerprints if self._found.pop(each, None) is not None]
        return [Put(_TABLE, each, None) for each in over]

    def rows(self, offset: float) -> Iterator[Put]:
        """Yield everything that is to be stored; `offset` leads from monotonic to Unix time."""
        return (_put(fingerprint, each, offset) for fingerprint, each in self._found.items())

    def restore(self, rows: Mapping[str, bytes], offset: float) -> None:
        """Take back what was stored."""
        for fingerprint, row in rows.items():
            found = decode(row, ACKNOWLEDGEMENT)
            self._found[fingerprint] = Acknowledgement(clean(found["by"]), found["at"] - offset)


def _put(fingerprint: str, each: Acknowledgement, offset: float) -> Put:
    return Put(_TABLE, fingerprint, encode({"by": each.by, "at": each.at + offset}))
