"""Text that must not be seen: in no log, no error and no `repr`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from resilience.core.validate import hostname, text
from resilience.errors import ConfigError

__all__ = ["Secret", "masked", "secret_url", "without_password"]


_TELLING = 5  # characters from which on a part of a URL may be a secret of its own


class Secret:
    """A secret; what is printed, logged, formatted or pickled by mistake is `***`.

    Args:
        value: the secret itself, or another `Secret`.
        option: the option's name, for the message.

    Raises:
        ConfigError: it is not a non-empty string; the message does not show it.

    Example:
        >>> token = Secret("s3cret")
        >>> f"{token}", token, token.reveal()
        ('***', Secret(***), 's3cret')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret, *, option: str = "secret") -> None:
        if isinstance(value, Secret):
            self._value: str = value.reveal()
        else:
            # What is not text is named by its type alone: its value may be half a secret.
            self._value = text(option, value if isinstance(value, str) else type(value))

    def reveal(self) -> str:
        """Return the secret; call it where it is used and nowhere else."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        message = "a Secret is not pickled"
        raise TypeError(message)


def secret_url(option: str, value: str | Secret) -> Secret:
    """Return a URL as a secret (webhook URLs are passwords), or refuse it without showing it.

    Args:
        option: the option's name, for the message.
        value: an absolute http or https URL.

    Raises:
        ConfigError: it is none.

    Example:
        >>> secret_url("url", "https://hooks.example/T0/B0")
        Secret(***)
    """
    secret = Secret(value, option=option)
    try:
        parts = urlsplit(secret.reveal())
        valid = parts.scheme in {"http", "https"} and parts.port != 0
        hostname(option, parts.hostname)
    except ValueError:  # a ConfigError too, since its message shows the host
        valid = False
    if not valid:
        message = (
            f"{option} must be an http:// or https:// URL with a valid host name, got something else"
            " (not shown: it may be secret)"
        )
        raise ConfigError(message)
    return secret


def without_password(url: str) -> str:
    """Return a URL as it may be shown: with `***` for all that stands between `//` and an `@`.

    Example:
        >>> without_password("http://ann:s3cret@shop:8000/x"), without_password("http://shop:8000")
        ('http://***@shop:8000/x', 'http://shop:8000')
    """
    # Up to the last `@`: a password with an unescaped `/` makes no URL, but must not be seen either.
    scheme, slashes, rest = url.partition("//") if "//" in url else ("", "", url)
    return f"{scheme}{slashes}***@{rest.rpartition('@')[2]}" if "@" in rest else url


def masked(said: str, secrets: Iterable[Secret]) -> str:
    """Return what somebody else said (a server's answer, say) with secrets as `***`, whole or in part.

    Args:
        said: the text.
        secrets: what must not be seen; of a URL also each longer part of its path, its query and its password.

    Example:
        >>> masked("no hook /T0/B0KEN1", [Secret("https://hooks.example/T0/B0KEN1")])
        'no hook /T0/***'
    """
    parts = {part for secret in secrets for part in _parts(secret.reveal())}
    for part in sorted(parts, key=len, reverse=True):
        said = said.replace(part, "***")
    return said


def _parts(secret: str) -> set[str]:
    found = {secret}
    if "://" in secret:
        url = urlsplit(secret)
        pieces = re.split(r"[/?&=;#]", f"{url.path}?{url.query}#{url.fragment}")
        found.update(pieces, map(unquote, pieces), filter(None, (url.username, url.password)))
    return {part for part in found if len(part) >= _TELLING or part == secret}
