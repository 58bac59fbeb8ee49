"""A dead-man's switch: somebody outside is called while alerts are evaluated, and notices when the calls stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Clock
from resilience.core.secret import Secret, secret_url
from resilience.core.validate import number

if TYPE_CHECKING:
    from resilience.http.client import GuardedClient

__all__ = ["Heart", "Heartbeat"]


@named_options
class Heartbeat:
    """Calls a URL, healthchecks.io's for instance, every so often, but only while ticks go on.

    A loop that hangs, an evaluation that stopped and a process that died look all the same from outside: no call.

    Args:
        url: what is called with GET; it names the check and is a secret.
        interval: seconds between two calls, above 0; 60 by default.
        timeout: seconds for one call, above 0; 10 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant; the URL is not shown.
    """

    def __init__(
        self, url: str | Secret, *, interval: float = 60.0, timeout: float = 10.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._url = secret_url("url", url)
        self.interval: float = number("interval", interval, above=0)
        self._timeout = number("timeout", timeout, above=0)
        self._client: GuardedClient | None = None
        self._clock = clock
        self._alive = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heartbeat) and other._settings == self._settings

    def __hash__(self) -> int:
        return hash(self._settings)

    @property
    def _settings(self) -> tuple[Secret, float, float]:
        return self._url, self.interval, self._timeout

    def __repr__(self) -> str:
        return f"Heartbeat(interval={self.interval:g})"

    def tick(self) -> None:
        """Note that evaluation is alive."""
        self._alive = True

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            await self._clock.sleep(self.interval)
            alive, self._alive = self._alive, False
            if alive:
                await self._beat()

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _beat(self) -> None:
        # Imported when it is used: most services have no heartbeat, and aiohttp is not to be loaded for nothing.
        from resilience.http.client import GuardedClient  # noqa: PLC0415  see above

        if self._client is None:
            self._client = GuardedClient(timeout=self._timeout)
        try:
            response = await self._client.get(self._url.reveal())
            answer = str(response.status)
            failed = not response.ok
        except Exception as error:  # noqa: BLE001  whatever is wrong with a call, the next one may do better
            # The class alone: the message may hold the URL.
            answer, failed = type(error).__name__, True
        if failed:
            log(__name__).warning("heartbeat_failed", answer=answer)


class Heart:
    """Runs the heartbeat that there is, if there is one; another may take its place while it runs.

    Args:
        heartbeat: the heartbeat.
    """

    def __init__(self, heartbeat: Heartbeat | None) -> None:
        self.heartbeat: Heartbeat | None = heartbeat
        self._replaced = anyio.Event()

    def tick(self) -> None:
        """Note that evaluation is alive."""
        if self.heartbeat is not None:
            self.heartbeat.tick()

    def replace(self, heartbeat: Heartbeat | None) -> Heartbeat | None:
        """Have another heartbeat from now on, unless it is the same; returns the one to be closed."""
        former = self.heartbeat
        if heartbeat == former:
            return None
        self.heartbeat = heartbeat
        self._replaced.set()
        return former

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            self._replaced = anyio.Event()
            async with anyio.create_task_group() as tasks:
                if self.heartbeat is not None:
                    tasks.start_soon(self.heartbeat.run)
                await self._replaced.wait()
                tasks.cancel_scope.cancel()

    async def close(self) -> None:
        """Close the connections."""
        if self.heartbeat is not None:
            await self.heartbeat.close()
