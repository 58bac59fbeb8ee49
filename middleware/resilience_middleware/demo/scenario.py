"""The main job: everything real, on loopback, while payments follows its script."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI

from resilience import promql
from resilience.alerting import Route
from resilience.core.humanize import percent
from resilience.core.window import TimeWindow
from resilience.notifiers.webhook import WebhookNotifier
from resilience.policies import API_CALLS, Preset
from resilience.policies.breaker_events import BreakerTransition
from resilience.reliability import Reliability
from resilience.rules import AlertTransition
from resilience.slo import SLO, Alerting
from resilience_middleware.aiohttp import ResilientSession
from resilience_middleware.demo.evidence import Evidence
from resilience_middleware.demo.load import Load
from resilience_middleware.demo.payments import Health, Payments
from resilience_middleware.demo.receiver import Receiver
from resilience_middleware.demo.shop import make_shop
from resilience_middleware.demo.timeline import Moment, Timeline

__all__ = ["SCRIPT", "Demo", "Stage"]

SCRIPT = (
    (Health.HEALTHY, 6.0),
    (Health.SLOW, 4.0),
    (Health.FAILING, 6.0),
    (Health.DOWN, 6.0),
    (Health.RECOVERED, 21.0),
)
"""What payments does, and for how many seconds; the last is cut short once everything is proved."""

_OBJECTIVE = SLO("availability", service="shop", target=0.9, alerting=Alerting(burn_rates=(), exhaustion=()))
_RATE = 'sum(rate(http_requests_total{verdict=~"success|failure"}[10s]))'
_FAILURES = 'sum(rate(http_requests_total{verdict="failure"}[10s]))'


class Stage(NamedTuple):
    """The shop as it runs, what it calls, and who hears of it."""

    rel: Reliability
    url: str
    payments: Payments
    receiver: Receiver
    load: asyncio.Task[None]


class Demo:
    """Runs the scenario and collects the evidence.

    Args:
        timeline: where it is shown.
        script: what payments does, and for how long.
    """

    def __init__(self, timeline: Timeline, script: tuple[tuple[Health, float], ...] = SCRIPT) -> None:
        self.evidence: Evidence = Evidence()
        self._timeline = timeline
        self._script = script
        self._began = time.monotonic()
        self._pages = 0

    async def run(self, *, serve: bool = False) -> bool:
        """Play the script.

        Args:
            serve: go on afterwards until cancelled.

        Returns:
            whether everything that must happen did.
        """
        async with self.stage() as stage:
            token = stage.rel.token
            self._show("phase", f"the shop serves at {stage.url}", url=stage.url)
            self._show("phase", f"its console is {stage.url}/reliability/ (token {token})", token=token)
            figures = asyncio.create_task(self._show_figures(stage.rel, stage.receiver))
            try:
                for health, seconds in self._script:
                    await self._play(stage.payments, health, seconds)
                proved = self._judge()
                if serve:
                    self._show("phase", f"serving at {stage.url} until Ctrl-C")
                    await asyncio.gather(stage.load, figures)
            finally:
                figures.cancel()
                await asyncio.wait((figures,))
        return proved

    @contextlib.asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        """Set up everything, with customers in the shop; it is taken down when the block ends."""
        async with contextlib.AsyncExitStack() as stack:
            payments = await stack.enter_async_context(Payments())
            receiver = await stack.enter_async_context(Receiver())
            rel = self._reliability(receiver.url)
            session = await stack.enter_async_context(ResilientSession(rel, preset=_calls(), name="payments"))
            app = make_shop(rel, session, payments.url, self.evidence.times)
            url = await stack.enter_async_context(_served(app))
            load = asyncio.create_task(Load(url).run())
            try:
                yield Stage(rel, url, payments, receiver, load)
            finally:
                load.cancel()
                rel.announce_stop()  # no signal tells the pages that are open, and the server waits for them
                await asyncio.wait((load,))

    def _reliability(self, pager: str) -> Reliability:
        rel = Reliability(
            service="shop",
            rules=[Path(__file__).with_name("rules.yml")],
            slos=[_OBJECTIVE],
            notifiers=[WebhookNotifier("pager", url=pager)],
            route=Route(to=("pager",), group_wait=1.0, group_interval=1.0),
            token=secrets.token_urlsafe(6),
            shutdown_timeout=3.0,
        )
        rel.registry.subscribe(self._on_policy_event)
        rel.transitions.subscribe(self._on_alert)
        return rel

    async def _play(self, payments: Payments, health: Health, seconds: float) -> None:
        await payments.become(health)
        last = health is Health.RECOVERED
        if last:
            self.evidence.recovered_at = self._elapsed()
        self._show("phase", f"payments is {health.value}", health=health.value)
        end = time.monotonic() + seconds
        # Evidence comes in from callbacks in several places; a look every tenth of a second is plenty.
        while (left := end - time.monotonic()) > 0 and not (last and self.evidence.complete):  # noqa: ASYNC110
            await asyncio.sleep(min(left, 0.1))

    def _judge(self) -> bool:
        for what, seen in self.evidence.verdicts():
            self._show("proved" if seen else "failed", what, verdict=seen)
        return self.evidence.complete

    async def _show_figures(self, rel: Reliability, receiver: Receiver) -> None:
        """Once a second: what the windows say, and what the pager got."""
        engine = promql.Engine(rel.signals.source)
        rate, failures = engine.compile(promql.parse(_RATE)), engine.compile(promql.parse(_FAILURES))
        while True:
            await asyncio.sleep(1.0)
            now = rel.clock.monotonic()
            per_second, failing = (_single(query(now)) for query in (rate, failures))
            ratio = failing / per_second if per_second else 0.0
            left = rel.slos.error_budget(_OBJECTIVE.id).remaining
            for status, names in receiver.received[self._pages :]:
                self._pages += 1
                self.evidence.page(status)
                self._show("page", f"the pager got {status}: {', '.join(names)}", status=status, alerts=names)
            budget = "no traffic yet" if left is None else f"{percent(left)} of the error budget left"
            if left is not None and left < 0:
                budget = f"the error budget is spent {1 - left:.1f} times"
            self._show(
                "figures",
                f"{per_second:5.1f} requests/s  {percent(ratio, up=True):>6} fail  {budget}",
                rate=round(per_second, 2),
                error_ratio=round(ratio, 4),
                budget_remaining=None if left is None else round(float(left), 4),
            )

    def _on_policy_event(self, event: object) -> None:
        if isinstance(event, BreakerTransition):
            self.evidence.breaker(event.state)
            self._show(
                "breaker",
                f"{event.previous} -> {event.state} ({event.reason.replace('_', ' ')})",
                breaker=event.name,
                previous=str(event.previous),
                state=str(event.state),
            )

    def _on_alert(self, transition: AlertTransition) -> None:
        self.evidence.alert(transition.state.value)
        summary = transition.alert.annotations.get("summary", "")
        self._show(
            "alert",
            f"{transition.alert.rule} is {transition.state.value}: {summary}",
            alert=transition.alert.rule,
            state=transition.state.value,
        )

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _show(self, kind: str, text: str, **data: object) -> None:
        self._timeline.show(Moment(self._elapsed(), kind, text, data))


def _calls() -> Preset:
    """What guards the calls to payments: as `API_CALLS`, but quick enough to watch."""
    return API_CALLS.changed(
        timeout={"seconds": 1.5},
        retry={"attempts": 2},
        circuit_breaker={"window": TimeWindow(5.0), "minimum_calls": 10, "open_duration": 2.0},
        attempt_timeout={"seconds": 1.0},
    )


def _single(value: object) -> float:
    return float(value.values[0]) if isinstance(value, promql.Vector) and value.values else 0.0


class _Server(uvicorn.Server):
    """Leaves signals to the command: uvicorn would take Ctrl-C for itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.asynccontextmanager
async def _served(app: FastAPI) -> AsyncIterator[str]:
    """Serve an application on a free port of loopback; the block gets its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
