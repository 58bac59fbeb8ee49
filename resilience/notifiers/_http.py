"""What the channels over HTTP have in common: a guarded client, and errors that tell no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping

import aiohttp

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import Clock, Notification
from resilience.core.secret import Secret, masked, secret_url
from resilience.core.validate import number, text
from resilience.errors import DeliveryError, Rejected, TimeoutExceeded
from resilience.http.client import GuardedClient, Response
from resilience.notifiers._worker import in_worker
from resilience.policies.retry_after import parse_retry_after

__all__ = ["HttpChannel"]

_SHOWN = 200  # characters of an answer that an error shows
_MAX_BODY = 65_536  # bytes of an answer that are read; only an error shows them
_MAY_PASS = frozenset({408, 425, 429})


@named_options
class HttpChannel:
    """Base of the channels over HTTP: a subclass defines `send`.

    Args:
        name: the channel's name.
        url: where it posts to.
        timeout: seconds for one attempt, above 0; 10 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range; the URL is not shown.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str | Secret,
        timeout: float = 10.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name: str = text("name", name)
        self._url: Secret = secret_url("url", url)
        self._secrets = [self._url]  # what an answer might repeat; subclasses add theirs
        self._clock = clock
        # Once: whoever delivers tries again, and heeds a Retry-After however long.
        self._client = GuardedClient(
            timeout=number("timeout", timeout, above=0), attempts=1, max_body=_MAX_BODY
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def send(self, notification: Notification) -> None:
        """Deliver it; see `core.ports.Notifier`."""
        raise NotImplementedError  # pragma: no cover  every subclass defines it

    async def close(self) -> None:
        """Close the connections; a later `send` opens them again."""
        await self._client.close()

    async def _post(
        self,
        payload: object,
        *,
        key: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Response:
        """Post the JSON of a value or of what a function returns, made in a worker thread; or bytes as they are.

        Any answer but a 2xx raises DeliveryError.

        Every receiver recognises a repeat by `key` or shows it at worst twice, so the client may send it again.
        """
        body = payload if isinstance(payload, bytes) else await in_worker(_json, payload)
        try:
            response = await self._client.post(
                url or self._url.reveal(),
                data=body,
                headers={"Content-Type": "application/json", "Idempotency-Key": key, **(headers or {})},
                params=params,
                idempotent=True,
            )
        except Rejected as error:
            message = f"{self.name}: {type(error).__name__}"
            raise DeliveryError(message, retry_after=error.retry_after, reached=False) from None
        except (aiohttp.ClientError, TimeoutExceeded, TimeoutError, OSError, ValueError) as error:
            # `from None`: aiohttp's errors show the URL, and the URL is the secret.
            message = f"{self.name}: {type(error).__name__}"
            # The one final error: the client does not take the URL. A URL that an answer redirects to is no such error.
            final = isinstance(error, aiohttp.InvalidURL) and not isinstance(
                error, aiohttp.RedirectClientError
            )
            unsent = final or isinstance(error, aiohttp.ClientConnectorError)
            raise DeliveryError(message, retryable=not final, reached=not unsent) from None
        if 200 <= response.status < 300:  # noqa: PLR2004  2xx
            return response
        raise self._refused(response)

    def _refused(self, response: Response) -> DeliveryError:
        failed = response.status >= 500  # noqa: PLR2004  5xx
        said = masked(response.text, self._secrets)[:_SHOWN].strip()
        return DeliveryError(
            f"{self.name}: answered {response.status}: {said}"
            if said
            else f"{self.name}: answered {response.status}",
            retryable=failed or response.status in _MAY_PASS,
            reached=failed,
            retry_after=parse_retry_after(response.headers.get("Retry-After"), self._clock.time()),
        )


def _json(payload: object) -> bytes:
    return json.dumps(payload() if callable(payload) else payload).encode()
