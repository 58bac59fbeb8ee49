"""See what fires, and acknowledge, resolve or silence it."""

from __future__ import annotations

import asyncio
import functools
import getpass
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from resilience import config
from resilience.alerting import AlertManager
from resilience.alerting.active import alert_state, states_in_words
from resilience.cli.configurations import configuration_option
from resilience.cli.desk import Desk, Service, desk_options
from resilience.cli.output import json_option, print_json, print_table
from resilience.core.duration import parse_duration
from resilience.core.humanize import alert_name, timestamp
from resilience.stores.memory import MemoryStore

__all__ = ["alerts"]

T = TypeVar("T")
_by = click.option("--by", default=getpass.getuser, show_default="you", help="Who does it.")


@click.group()
def alerts() -> None:
    """See what fires, and acknowledge, resolve or silence it.

    It is about a running service (--url), or about a state file (--state): a service that runs takes up within
    seconds what is written there, one that is stopped when it starts.
    """


@alerts.command("list")
@desk_options
@json_option
def list_alerts(desk: Desk, *, as_json: bool) -> None:
    """List the alerts that fire, the newest first."""
    found = _ask(desk, desk.alerts())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each["id"],
            alert_name(each["labels"]),
            each["labels"].get("severity"),
            timestamp(each["started"]),
            _care(each),
        )
        for each in found
    ]
    print_table(("id", "alert", "severity", "since", "state"), rows)
    click.echo(
        states_in_words(alert_state(each["silenced_by"], each["inhibited_by"]) for each in found) or "none"
    )


@alerts.command("history")
@click.argument("alert_id", required=False)
@click.option("--since", default="1d", show_default=True, help="How far back: 30m, 12h, 7d.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Events at most.")
@desk_options
@json_option
def history(desk: Desk, alert_id: str | None, since: str, limit: int, *, as_json: bool) -> None:
    """List what happened (to the alert ALERT_ID), the newest first."""
    start = datetime.now(UTC).timestamp() - parse_duration(since, option="--since")
    found = _ask(desk, desk.history(alert_id=alert_id, since=max(0.0, start), limit=limit))
    if as_json:
        print_json(found)
        return
    rows = [(timestamp(each["at"]), each["kind"], _about(each), each["detail"]) for each in found]
    print_table(("at", "what", "subject", "detail"), rows)


@alerts.command("ack")
@click.argument("alert_id")
@_by
@desk_options
def ack(desk: Desk, alert_id: str, by: str) -> None:
    """Take the alert ALERT_ID over: its escalation stops."""
    _ask(desk, desk.acknowledge(alert_id, by))
    click.echo(f"{alert_id}: acknowledged by {by}")


@alerts.command("resolve")
@click.argument("alert_id")
@desk_options
def resolve(desk: Desk, alert_id: str) -> None:
    """Resolve the alert ALERT_ID; one of a rule fires anew once its condition has been false."""
    _ask(desk, desk.resolve(alert_id))
    click.echo(f"{alert_id}: resolved")


@alerts.command("silence")
@click.argument("matchers", nargs=-1, required=True)
@click.option("--for", "duration", required=True, help="How long: 30m, 2h, 1d.")
@click.option("--comment", required=True, help="Why.")
@_by
@desk_options
def silence(desk: Desk, matchers: tuple[str, ...], duration: str, comment: str, by: str) -> None:
    """Mute the alerts that all MATCHERS mean: severity=warning 'team=~"db|web"'."""
    seconds = parse_duration(duration, option="--for")
    if seconds <= 0:
        raise click.UsageError("--for must be longer than 0s")
    if not comment.strip():
        raise click.UsageError("--comment must say why")
    made = _ask(desk, desk.silence(matchers, seconds=seconds, author=by, comment=comment))
    click.echo(f"{made['id']}: {made['matchers']} until {timestamp(made['end'])}")


@alerts.command("silences")
@desk_options
@json_option
def silences(desk: Desk, *, as_json: bool) -> None:
    """List the silences, the newest first."""
    found = _ask(desk, desk.silences())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each["id"],
            each["matchers"],
            timestamp(each["start"]),
            timestamp(each["end"]),
            each["author"],
            each["comment"],
        )
        for each in found
    ]
    print_table(("id", "matchers", "from", "until", "author", "comment"), rows)


@alerts.command("unsilence")
@click.argument("silence_id")
@desk_options
def unsilence(desk: Desk, silence_id: str) -> None:
    """End the silence SILENCE_ID."""
    _ask(desk, desk.unsilence(silence_id))
    click.echo(f"{silence_id}: ended")


@alerts.command("test-channel")
@click.argument("name")
@functools.partial(configuration_option, absent="the running service sends by default")
@desk_options
def test_channel(desk: Desk, name: str, file: Path | None) -> None:
    """Send a notification that says it is a test through the channel NAME.

    The running service sends it, or this command by the channel of a configuration FILE.
    """
    if file is None and not isinstance(desk, Service):
        raise click.UsageError("a state file holds no channels: give --url or a configuration FILE")
    if file is not None:
        asyncio.run(_test_from_here(file, name))
    elif isinstance(desk, Service):
        service = desk
        _ask(desk, service.test_channel(name))
    click.echo(f"{name}: delivered")


async def _test_from_here(file: Path, name: str) -> None:
    channels = config.read(file).arguments["notifiers"]
    manager = AlertManager({channel.name: channel for channel in channels}, store=MemoryStore())
    try:
        await manager.test_channel(name)
    finally:
        await manager.close()


def _ask(desk: Desk, question: Coroutine[Any, Any, T]) -> T:
    async def ask() -> T:
        async with desk:
            return await question

    return asyncio.run(ask())


def _about(event: dict[str, Any]) -> str:
    """Return what an event is about: an alert by its labels, or the event's own words."""
    return alert_name(event["labels"]) if event["fingerprint"] and event["labels"] else str(event["subject"])


def _care(alert: dict[str, Any]) -> str:
    """What is being done about an alert."""
    found = []
    if alert["acknowledged_by"]:
        found.append(f"acknowledged by {alert['acknowledged_by']}")
    if alert["silenced_by"]:
        found.append("silenced")
    if alert["inhibited_by"]:
        found.append("inhibited")
    if alert["flapping"]:
        found.append("flapping")
    return ", ".join(found) or "firing"
