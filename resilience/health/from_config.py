"""Checks as `reliability.yaml` writes them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, SupportsFloat

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.duration import parse_seconds
from resilience.core.ports import Check, Clock, Status
from resilience.core.validate import choice, shown, text
from resilience.errors import ConfigError
from resilience.health.breakers import BreakerCheck
from resilience.health.budgets import BudgetCheck
from resilience.health.registry import HealthRegistry

__all__ = ["KINDS", "ONLY_CODE", "CheckRecipe", "Kind", "Surroundings", "from_config"]


class Surroundings(NamedTuple):
    """What checks look at inside of the service.

    Args:
        policies: returns its policies by their path.
        budgets: returns the share that is left of each error budget.
        clock: where time comes from.
    """

    policies: Callable[[], Iterable[tuple[str, object]]] = tuple
    budgets: Callable[[], Mapping[str, SupportsFloat | None]] = dict
    clock: Clock = SYSTEM_CLOCK


class Kind(NamedTuple):
    """One kind of check.

    Args:
        place: module and name of what makes it; imported when one is configured.
        main: the options that a text alone is, divided by colons.
        shares: whether its levels are shares of a whole, and not seconds.
    """

    place: str
    main: tuple[str, ...] = ()
    shares: bool = False

    def load(self) -> Callable[..., Check]:
        """Import what makes it."""
        module, _, name = self.place.partition(":")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        made: Callable[..., Check] = found
        return made


@dataclass(frozen=True, slots=True)
class CheckRecipe:
    """One check, to be added to a registry.

    Args:
        name: what it is called there.
        make: makes it.
        options: those of `HealthRegistry.add_check`.
        written: the text that `make` was read from; two recipes are equal if it is, beside the name and the options.
    """

    name: str
    make: Callable[[Surroundings], Check] = field(compare=False)
    options: Mapping[str, Any]
    written: object = field(default_factory=object, repr=False)

    def add(self, registry: HealthRegistry, around: Surroundings) -> None:
        """Add it.

        Raises:
            ConfigError: the registry refuses it.
        """
        registry.add_check(self.name, self.make(around), **self.options)


def breakers(*, pipelines: Collection[str] = (), around: Surroundings) -> BreakerCheck:
    """Look at the circuit breakers of some pipelines, or of all."""
    wanted = frozenset(text("pipelines", each) for each in pipelines)
    return BreakerCheck(
        lambda: (
            (path, each) for path, each in around.policies() if not wanted or path.partition("/")[0] in wanted
        )
    )


def budgets(
    *, objectives: Collection[str] = (), degraded_below: float = 0.1, around: Surroundings
) -> BudgetCheck:
    """Look at the error budgets of some objectives, or of all."""
    wanted = frozenset(text("objectives", each) for each in objectives)
    return BudgetCheck(
        lambda: {name: left for name, left in around.budgets().items() if not wanted or name in wanted},
        degraded_below=degraded_below,
    )


KINDS: Final[Mapping[str, Kind]] = {
    "http": Kind("resilience.probes.http:HttpProbe", ("url",)),
    "service": Kind("resilience.probes.service:ServiceProbe", ("url",)),
    "tcp": Kind("resilience.probes.tcp:TcpProbe", ("host", "port")),
    "tls": Kind("resilience.probes.tls:TlsProbe", ("host", "port")),
    "dns": Kind("resilience.probes.dns:DnsProbe", ("name",)),
    "redis": Kind("resilience.probes.redis:RedisProbe.from_url", ("url",)),
    "sql": Kind("resilience.probes.sql:AsyncSqlProbe.from_url", ("url",)),
    "disk": Kind("resilience.probes.disk:DiskProbe", ("path",), shares=True),
    "memory": Kind("resilience.probes.memory:MemoryProbe", shares=True),
    "event_loop": Kind("resilience.probes.loop_lag:LoopLagProbe"),
    "breakers": Kind(f"{__name__}:breakers"),
    "slo": Kind(f"{__name__}:budgets", shares=True),
}
"""The kinds of check that a file can name; functions only Python code can give."""

_GIVEN: Final = ("clock", "around")
ONLY_CODE: Final = (*_GIVEN, "context", "data")
"""Options of kinds that no file can give."""
_REGISTRY: Final = inspect.signature(HealthRegistry.add_check).parameters
_OPTIONS: Final = tuple(name for name, each in _REGISTRY.items() if each.kind is each.KEYWORD_ONLY)
_STATUSES: Final = {status.value: status for status in (Status.UNHEALTHY, Status.DEGRADED)}


def from_config(name: str, written: object) -> CheckRecipe:
    """Read one check.

    Args:
        name: what it is called.
        written: one kind with its options, and beside it those of `HealthRegistry.add_check`.

    Raises:
        ConfigError: something is unknown or cannot be meant. Values of URLs are not shown.
        MissingExtra: the kind needs a package that is not installed.

    Example:
        >>> made = from_config("disk", {"disk": {"path": "/", "degraded_above": "80%"}, "interval": "1m"})
        >>> type(made.make(Surroundings())).__name__, made.options
        ('DiskProbe', {'interval': 60.0})
    """
    place = f"health.{text('health name', name)}"
    kinds = [key for key in written if key in KINDS] if isinstance(written, Mapping) else []
    if not isinstance(written, Mapping) or len(kinds) != 1:
        raise ConfigError(f"{place} must be a mapping with one kind of check: {', '.join(KINDS)}")
    (word,) = kinds
    options = {key: _option(f"{place}.{key}", key, value) for key, value in written.items() if key != word}
    kind = KINDS[word]
    given = _given(f"{place}.{word}", kind, written[word])
    recipe = CheckRecipe(name, _maker(f"{place}.{word}", kind, given), options, (word, written[word]))
    recipe.make(Surroundings())  # once now, so that what is wrong is found here
    return recipe


def _maker(place: str, kind: Kind, options: Mapping[str, Any]) -> Callable[[Surroundings], Check]:
    make = kind.load()
    takes = inspect.signature(make).parameters

    def made(around: Surroundings) -> Check:
        known = {"clock": around.clock, "around": around}
        try:
            return make(**options, **{name: known[name] for name in _GIVEN if name in takes})
        except ConfigError as error:
            raise ConfigError(f"{place}: {error.message}") from error

    return made


def _option(place: str, option: str, value: object) -> Any:
    """Read an option of `add_check`; what its range is, the registry says."""
    if option not in _OPTIONS:
        raise ConfigError(
            f"{place}: unknown option; there are: a kind ({', '.join(KINDS)}), {', '.join(_OPTIONS)}"
        )
    if option == "failure_status":
        return _STATUSES[choice(place, value, _STATUSES)]
    return _value(place, str(_REGISTRY[option].annotation), value, shares=False)


def _given(place: str, kind: Kind, value: object) -> dict[str, Any]:
    """Read the options of a kind."""
    parameters = inspect.signature(kind.load()).parameters
    if isinstance(value, str) and kind.main:
        value = _divided(place, kind.main, value)
    if value is None or value is True:
        value = {}
    known = [name for name in parameters if name not in ONLY_CODE]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{place} must be a mapping of {', '.join(known)}, got a {type(value).__name__}")
    for name in value:
        if name not in known:
            raise ConfigError(f"{place}: unknown option {name!r}; there are: {', '.join(known)}")
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in value:
            raise ConfigError(f"{place}.{name} must be given")
    return {
        name: _value(f"{place}.{name}", str(parameters[name].annotation), each, shares=kind.shares)
        for name, each in value.items()
    }


def _divided(place: str, names: tuple[str, ...], value: str) -> dict[str, Any]:
    """Divide `host:port`; a single option may hold colons of its own."""
    if len(names) == 1:
        return {names[0]: value}
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        return {names[0]: value.strip("[]")}
    if not port.isdecimal():
        raise ConfigError(f"{place} must be {':'.join(names)}, such as db.internal:5432, got {shown(value)}")
    return {names[0]: host.strip("[]"), names[1]: int(port)}


def _value(place: str, declared: str, value: object, *, shares: bool) -> Any:
    """Read one value by the type that is declared for it."""
    if "Collection" in declared:
        found = value if isinstance(value, list) else [value]
        kind = int if "int" in declared else str
        if not all(type(each) is kind for each in found):
            raise ConfigError(
                f"{place} must be a list of {'numbers' if kind is int else 'texts'}, got {shown(value)}"
            )
        return found
    if "Mapping" in declared:
        if not isinstance(value, Mapping) or not all(
            isinstance(each, str) for each in (*value, *value.values())
        ):
            raise ConfigError(f"{place} must be a mapping of texts")
        return value
    if "float" in declared and not shares:
        return parse_seconds(value, option=place)
    if "float" in declared and isinstance(value, str):
        return _share(place, value)
    return value


def _share(place: str, value: str) -> float:
    try:
        return float(value.removesuffix("%")) / 100 if value.endswith("%") else float(value)
    except ValueError:
        raise ConfigError(f"{place} must be a share such as 85% or 0.85, got {shown(value)}") from None
