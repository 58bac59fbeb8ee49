"""Labels that alerts and series get on their way out of a service, as Prometheus' `external_labels`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["NO_LABELS", "ExternalLabels"]


class ExternalLabels:
    """Labels that are added where they are absent.

    Args:
        labels: the labels.

    Example:
        >>> ExternalLabels({"env": "prod", "service": "shop"}).of({"service": "till"})
        {'env': 'prod', 'service': 'till'}
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels: Mapping[str, str] = dict(labels)

    def __bool__(self) -> bool:
        return bool(self.labels)

    def of(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Return a label set with the labels that it lacks; the same object if it lacks none."""
        if self.labels.keys() <= labels.keys():
            return labels
        return {**self.labels, **labels}


NO_LABELS: Final = ExternalLabels({})
