"""What was promised: a share of good events over a period."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from resilience.core.validate import number, text
from resilience.errors import ConfigError

__all__ = ["SLO", "exact_ratio"]

DAY = 86_400.0


def exact_ratio(option: str, value: object) -> Decimal:
    """Return a ratio strictly between 0 and 1 as the decimal that was written, not as the nearest binary float.

    `1 - 0.999` in floats is a little more than 0.001, which makes an alert at exactly 14.4x fire when it must not.

    Args:
        option: the option's name, for the message.
        value: a float, a Decimal, or a string.

    Raises:
        ConfigError: it is no such ratio.

    Example:
        >>> 1 - exact_ratio("target", 0.999)
        Decimal('0.001')
    """
    if isinstance(value, float | Decimal | str):
        try:
            ratio = Decimal(str(value))
        except InvalidOperation:
            ratio = Decimal("NaN")
        if ratio.is_finite() and 0 < ratio < 1:
            return ratio
    hint = " (in Python a target is a ratio: 99.9% is 0.999)" if _is_percentage(value) else ""
    message = f"{option} must be a ratio between 0 and 1, got {value!r}{hint}"
    raise ConfigError(message)


def _is_percentage(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and 1 < value < 100  # noqa: PLR2004  per cent


@dataclass(frozen=True, slots=True)
class SLO:
    """An availability objective: of the requests that were judged, this share succeeds.

    Args:
        id: unique name, as alerts and signals carry it.
        service: the service whose recorded requests are judged.
        target: the share of good requests, as a ratio; 0.999 is 99.9%.
        window: rolling period in seconds, 1 h to 35 d; 30 d by default.
        name: for people; the id when not given.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> SLO("ok", service="shop", target=0.999).budget
        Decimal('0.001')
    """

    id: str
    service: str
    target: Decimal | float | str
    window: float = 30 * DAY
    name: str = ""

    def __post_init__(self) -> None:
        text("id", self.id)
        text("service", self.service)
        object.__setattr__(self, "target", exact_ratio("target", self.target))
        object.__setattr__(self, "window", number("window", self.window, low=3600, high=35 * DAY))
        object.__setattr__(self, "name", self.name or self.id)

    @property
    def budget(self) -> Decimal:
        """The share of requests that may fail, `1 - target`, exactly."""
        return 1 - Decimal(self.target)
