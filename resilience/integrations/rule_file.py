"""A rule file that a server reads: replaced safely, or left as it was."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from resilience.core.log import log
from resilience.errors import ConfigError, IntegrationError
from resilience.rules import loads

__all__ = ["Loaded", "RuleServer", "publish"]

_PROMTOOL_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a server has taken up.

    Args:
        path: the file.
        groups: how many groups are in it.
        rules: how many rules.
        checked: whether promtool was there to check it.
    """

    path: Path
    groups: int
    rules: int
    checked: bool


@dataclass(frozen=True, slots=True)
class RuleServer:
    """A server that reads rule files.

    Args:
        name: what errors call it.
        reload: has it read its files again.
        loaded: lists the groups that it runs: file, name, and the names of the rules.
    """

    name: str
    reload: Callable[[], Awaitable[None]]
    loaded: Callable[[], Awaitable[list[tuple[str, str, list[str]]]]]


async def publish(text: str, path: Path, server: RuleServer) -> Loaded:
    """Replace a rule file, and see to it that the server runs it.

    Args:
        text: the rules.
        path: the file.
        server: who reads it.

    Raises:
        ConfigError: promtool finds a fault; the file is untouched.
        IntegrationError: the server did not load it; the file is as it was.
    """
    groups = loads(text, file=str(path))
    before = await asyncio.to_thread(_read, path)
    draft = await asyncio.to_thread(_draft, path, text.encode())
    try:
        checked = await _promtool(draft)
        await asyncio.to_thread(os.replace, draft, path)
    finally:
        draft.unlink(missing_ok=True)
    try:
        await server.reload()
        await _verify({group.name: [rule.name for rule in group.rules] for group in groups}, path, server)
    except BaseException as error:
        # Shielded: a cancelled update must not leave a file that nobody has seen loaded.
        await asyncio.shield(_restore(path, before, server, error))
        raise
    log(__name__).info("rules_loaded", server=server.name, file=str(path), groups=len(groups))
    return Loaded(path, len(groups), sum(len(group.rules) for group in groups), checked)


async def _verify(expected: dict[str, list[str]], path: Path, server: RuleServer) -> None:
    # The server may see the file by another path than we do: its name and its groups tell.
    loaded = {name: rules for file, name, rules in await server.loaded() if Path(file).name == path.name}
    if loaded != expected:
        missing = ", ".join(sorted(expected.keys() - loaded.keys())) or "some rules"
        message = f"{server.name}: runs without {missing} of {path.name}: do its rule_files name this file?"
        raise IntegrationError(message)


async def _restore(path: Path, before: bytes | None, server: RuleServer, cause: BaseException) -> None:
    log(__name__).warning("rules_restored", server=server.name, file=str(path), error=str(cause))
    if before is None:
        await asyncio.to_thread(path.unlink, missing_ok=True)
    else:
        draft = await asyncio.to_thread(_draft, path, before)
        await asyncio.to_thread(os.replace, draft, path)
    try:
        await server.reload()
    except IntegrationError as error:
        log(__name__).warning("reload_failed", server=server.name, error=str(error))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from error


def _draft(path: Path, content: bytes) -> Path:
    """Write beside the file, so that replacing it is one step; the name matches no usual pattern of rule files."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".draft")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), path.stat().st_mode if path.exists() else 0o644)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(path)) from error
    return Path(name)


async def _promtool(file: Path) -> bool:
    """Check a file; returns whether promtool is installed."""
    program = shutil.which("promtool")
    if program is None:
        return False
    running = await asyncio.create_subprocess_exec(
        program,
        "check",
        "rules",
        "--lint-fatal",
        str(file),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_PROMTOOL_TIMEOUT):
            said, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode:
        raise ConfigError(f"promtool refuses the rules: {' '.join(said.decode(errors='replace').split())}")
    return True
