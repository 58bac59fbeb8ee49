"""Where the alerts are that a command is about: in a running service, or in the state file that it keeps."""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import click

from resilience.alerting.plain import plain_alert, plain_event, plain_silence
from resilience.alerting.stored import StoredAlerts
from resilience.core.secret import without_password
from resilience.core.validate import hostname
from resilience.errors import ConfigError, ResilienceError
from resilience.http.client import GuardedClient, Response
from resilience.stores.sqlite import SQLiteStore

__all__ = ["HERE", "Desk", "Service", "StateFile", "desk_options"]

F = TypeVar("F", bound=Callable[..., Any])
HERE = "http://127.0.0.1:8000"
"""Where a service is looked for when nobody says."""
_UNAUTHORIZED, _SERVER_ERROR = 401, 500
_PAGE = 200  # alerts, each with texts of a few kilobytes


class Desk(Protocol):
    """What people do about alerts; all answers are plain data, as the endpoints give them."""

    async def alerts(self) -> list[dict[str, Any]]:
        """What fires."""

    async def history(self, *, alert_id: str | None, since: float, limit: int) -> list[dict[str, Any]]:
        """What happened, the newest first."""

    async def acknowledge(self, alert_id: str, by: str) -> None:
        """Take an alert over."""

    async def resolve(self, alert_id: str) -> None:
        """Resolve an alert."""

    async def silences(self) -> list[dict[str, Any]]:
        """The silences."""

    async def silence(
        self, matchers: Sequence[str], *, seconds: float, author: str, comment: str
    ) -> dict[str, Any]:
        """Mute what matches for a while."""

    async def unsilence(self, silence_id: str) -> None:
        """End a silence."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Service:
    """A running service, by its endpoints.

    Args:
        url: where they are, with their prefix.
        token: the service's token, if it has one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        if not _is_address(url):
            message = f"--url must be an http:// or https:// URL with a valid host name, got {without_password(url)!r}"
            raise ConfigError(message)
        self._url = url.rstrip("/")
        self._shown = without_password(self._url)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = GuardedClient(headers=headers, attempts=1)

    async def alerts(self) -> list[dict[str, Any]]:
        """What fires."""
        found: list[dict[str, Any]] = []
        link: str | None = f"alerts?limit={_PAGE}"
        while link is not None:
            page = await self._ask("GET", f"/{link}")
            found += page["alerts"]
            before, link = link, page.get("next")
            if link == before:
                message = f"{self._shown}/{link} leads to itself"
                raise ResilienceError(message)
        return found

    async def history(self, *, alert_id: str | None, since: float, limit: int) -> list[dict[str, Any]]:
        """What happened, the newest first."""
        params = {"since": str(since), "limit": str(limit)}
        if alert_id is not None:
            params["alert_id"] = alert_id
        found: list[dict[str, Any]] = (await self._ask("GET", "/alerts/history", params=params))["events"]
        return found

    async def acknowledge(self, alert_id: str, by: str) -> None:
        """Take an alert over."""
        await self._ask("POST", f"/alerts/{quote(alert_id, '')}/acknowledge", json={"by": by})

    async def resolve(self, alert_id: str) -> None:
        """Resolve an alert."""
        await self._ask("POST", f"/alerts/{quote(alert_id, '')}/resolve")

    async def silences(self) -> list[dict[str, Any]]:
        """The silences."""
        found: list[dict[str, Any]] = (await self._ask("GET", "/alerts/silences"))["silences"]
        return found

    async def silence(
        self, matchers: Sequence[str], *, seconds: float, author: str, comment: str
    ) -> dict[str, Any]:
        """Mute what matches for a while."""
        end = time.time() + seconds
        body = {"matchers": list(matchers), "end": end, "author": author, "comment": comment}
        return await self._ask("POST", "/alerts/silences", json=body)

    async def unsilence(self, silence_id: str) -> None:
        """End a silence."""
        await self._ask("DELETE", f"/alerts/silences/{quote(silence_id, '')}")

    async def slos(self) -> list[dict[str, Any]]:
        """The objectives and their budgets."""
        found: list[dict[str, Any]] = (await self._ask("GET", "/slo"))["slos"]
        return found

    async def slo(self, slo_id: str) -> dict[str, Any]:
        """One objective, with what was counted for it."""
        return await self._ask("GET", f"/slo/{quote(slo_id, '')}")

    async def latency(self, service: str, days: float) -> dict[str, Any]:
        """How many requests of a service took how long lately."""
        return await self._ask("GET", f"/slo/latency/{quote(service, '')}", params={"days": f"{days:g}"})

    async def test_channel(self, name: str) -> None:
        """Have a channel send a test."""
        await self._ask("POST", f"/alerts/channels/{quote(name, '')}/test")

    async def state(self) -> dict[str, Any]:
        """What its console shows."""
        return await self._ask("GET", "/reliability/state.json")

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = await self._client.request(method, self._url + path, **options)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            message = f"{self._shown} cannot be reached: {error}"
            raise ResilienceError(message) from error
        if response.ok:
            try:
                found: dict[str, Any] = response.json()
            except ValueError as error:
                message = f"{self._shown}{path} does not answer as a service does: {error}"
                raise ResilienceError(message) from error
            return found
        raise _refusal(response)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()


class StateFile:
    """The state file of a service; what is changed takes effect within seconds, or when a stopped one starts next.

    Args:
        file: the SQLite file.
        service: the service's name.

    Raises:
        ConfigError: there is no such file, it is no state file, or it holds nothing of the service.
    """

    def __init__(self, file: Path, service: str) -> None:
        if not file.is_file():  # SQLite would make one
            raise ConfigError("no such file", file=str(file))
        services = _services(file)
        if service not in services:
            message = (
                f"holds nothing of the service {service!r}; it knows {', '.join(sorted(services)) or 'none'}"
            )
            raise ConfigError(message, file=str(file))
        self._store = SQLiteStore(file)
        self._stored = StoredAlerts(self._store, service)

    async def alerts(self) -> list[dict[str, Any]]:
        """What fires."""
        return [plain_alert(each) for each in await self._stored.active_alerts()]

    async def history(self, *, alert_id: str | None, since: float, limit: int) -> list[dict[str, Any]]:
        """What happened, the newest first."""
        found = await self._stored.history(alert_id=alert_id, since=since, limit=limit)
        return [plain_event(each) for each in found]

    async def acknowledge(self, alert_id: str, by: str) -> None:
        """Take an alert over."""
        await self._stored.acknowledge(alert_id, by)

    async def resolve(self, alert_id: str) -> None:
        """Resolve an alert."""
        await self._stored.resolve(alert_id)

    async def silences(self) -> list[dict[str, Any]]:
        """The silences."""
        return [plain_silence(each) for each in await self._stored.silences()]

    async def silence(
        self, matchers: Sequence[str], *, seconds: float, author: str, comment: str
    ) -> dict[str, Any]:
        """Mute what matches for a while."""
        end = time.time() + seconds
        return plain_silence(await self._stored.silence(matchers, end=end, author=author, comment=comment))

    async def unsilence(self, silence_id: str) -> None:
        """End a silence."""
        await self._stored.unsilence(silence_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.close()


def _services(file: Path) -> set[str]:
    """The services that a state file knows; it is not changed, which matters where it is another program's."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                """SELECT "table" FROM state UNION SELECT name FROM leases
                UNION SELECT "key" || '/' FROM state WHERE "table" = 'rules'"""
            ).fetchall()
    except sqlite3.Error as error:
        message = f"is no state file that can be read: {error}"
        raise ConfigError(message, file=str(file)) from None
    return {name.rpartition("/")[0] for (name,) in rows if "/" in name}


def desk_options(function: F) -> F:
    """Give a command the options that say where the alerts are, as the one argument `desk`."""

    @functools.wraps(function)
    def command(
        *, url: str | None, token: str | None, state: Path | None, service: str | None, **options: Any
    ) -> Any:
        if state is None:
            return function(desk=Service(url or HERE, token), **options)
        if service is None:
            raise click.UsageError("--state needs --service: a file can hold the state of several services")
        return function(desk=StateFile(state, service), **options)

    for option in (
        click.option("--service", envvar="RESILIENCE_SERVICE", help="Whose state is meant, with --state."),
        click.option(
            "--state", type=click.Path(path_type=Path), help="The service's state file, running or not."
        ),
        click.option(
            "--token", envvar="RESILIENCE_TOKEN", help="Better by the environment: RESILIENCE_TOKEN."
        ),
        click.option(
            "--url", envvar="RESILIENCE_URL", help=f"Where the service's endpoints are; {HERE} by default."
        ),
    ):
        option(command)
    return command  # type: ignore[return-value]  # what click makes of a function stays a function


def _refusal(response: Response) -> ResilienceError:
    try:
        told: Mapping[str, Any] = response.json()
        detail = str(told["detail"])
    except (ValueError, KeyError, TypeError):
        detail = " ".join(response.text.split())[:200]
    if response.status == _UNAUTHORIZED:
        detail = "the service wants its token: set RESILIENCE_TOKEN"
    message = f"{response.status}: {detail}"
    return ResilienceError(message) if response.status >= _SERVER_ERROR else ConfigError(message)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        hostname("--url", parts.hostname)
        return parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address, no host name
        return False
