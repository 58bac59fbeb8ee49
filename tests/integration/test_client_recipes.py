"""The recipes of docs/clients.md for other clients, each against the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from resilience import API_CALLS, DATABASE, CircuitOpen, Reliability
from resilience.policies.retry_switch import retries_without_waiting
from resilience_middleware.httpx import ResilientTransport
from tests import servers


@pytest.mark.server("redis-server")
async def test_redis_commands_are_retried_until_the_breaker_opens(tmp_path: Path) -> None:
    cache = Reliability("shop").pipeline(
        "cache",
        DATABASE.changed(retry={"on": RedisGone}, circuit_breaker={"on": RedisGone, "minimum_calls": 4}),
    )
    async with servers.redis(tmp_path) as (process, url), Redis.from_url(url) as client:
        assert await cache.call(client.set, "greeting", "hello")
        assert await cache.call(client.get, "greeting") == b"hello"
        process.kill()
        await process.wait()
        with retries_without_waiting():
            with pytest.raises(RedisGone):
                await cache.call(client.get, "greeting")
            with pytest.raises(CircuitOpen):
                await cache.call(client.get, "greeting")


async def test_a_transaction_of_sqlalchemy_is_repeated_whole(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    async with engine.begin() as connection:
        await connection.execute(text("create table orders (id integer primary key)"))
    locked = [True]
    database = Reliability("shop").pipeline("orders", DATABASE.changed(retry={"on": OperationalError}))

    @database
    async def order(number: int) -> int:
        async with engine.begin() as connection:
            await connection.execute(text("insert into orders values (:id)"), {"id": number})
            if locked.pop() if locked else False:
                raise OperationalError("insert", {}, Exception("database is locked"))
            return int((await connection.execute(text("select count(*) from orders"))).scalar_one())

    with retries_without_waiting():
        assert await order(7) == 1  # the first attempt was rolled back
    await engine.dispose()


async def test_a_call_of_grpc_is_retried_while_the_server_says_later() -> None:
    seen: list[bytes] = []

    async def greet(request: bytes, context: Any) -> bytes:
        seen.append(request)
        if len(seen) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
        return b"hello " + request

    server = grpc.aio.server()
    handlers = {"Greet": grpc.unary_unary_rpc_method_handler(greet)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Greeter", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def later(error: BaseException) -> bool:
        return isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNAVAILABLE

    greeter = Reliability("shop").pipeline(
        "greeter", API_CALLS.changed(retry={"on": later}, circuit_breaker={"on": later})
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/Greeter/Greet")

        @greeter
        async def hello(name: bytes) -> bytes:
            answer: bytes = await call(name)
            return answer

        with retries_without_waiting():
            assert await hello(b"ann") == b"hello ann"
    await server.stop(None)
    assert seen == [b"ann", b"ann"]


async def test_an_sdk_of_openais_kind_takes_the_transport() -> None:
    asked: list[Any] = []

    async def models(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        if len(asked) == 1:
            return web.Response(status=503)
        return web.json_response(
            {"object": "list", "data": [{"id": "small", "object": "model", "created": 0, "owned_by": "us"}]}
        )

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    transport = ResilientTransport(Reliability("shop"), name="openai")
    async with openai.AsyncOpenAI(
        api_key="none",
        base_url=f"http://127.0.0.1:{port}/v1",
        max_retries=0,
        http_client=httpx.AsyncClient(transport=transport),
    ) as client:
        with retries_without_waiting():
            assert [model.id async for model in client.models.list()] == ["small"]
    await runner.cleanup()
    assert asked == ["Bearer none"] * 2
