"""Watch a guarded shop survive its failing payments service."""

from __future__ import annotations

import asyncio
import logging

import click
import structlog

from resilience.errors import MissingExtra

__all__ = ["demo"]


@click.command()
@click.option("--serve", is_flag=True, help="Keep the shop and the traffic running afterwards, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the timeline and the verdicts as JSON lines.")
def demo(*, serve: bool, as_json: bool) -> int:
    """Watch a guarded shop survive its failing payments service.

    Everything is real and on loopback: a FastAPI shop behind uvicorn, the payments service that it calls through a
    guarded session, a webhook receiver, and a load generator. Exits with 0 only if the breaker opened, calls were then
    refused quickly, the alert fired and was delivered, the breaker closed, and the alert resolved and was delivered.
    """
    try:
        from resilience_middleware.demo.scenario import Demo  # noqa: PLC0415  the extras it needs
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "demo") from error
    from resilience_middleware.demo.timeline import timeline_for  # noqa: PLC0415  beside the scenario

    # The timeline tells what the log would say of breakers and alerts.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with timeline_for(as_json=as_json) as timeline:
        proved = asyncio.run(Demo(timeline).run(serve=serve))
    return 0 if proved else 1
