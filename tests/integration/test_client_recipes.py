"""The recipes of docs/clients.md for other clients, each against the real thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import httpx2
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone
from sqlalchemy import text as sql
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from resilience import API_CALLS, DATABASE, EXTERNAL_SERVICES, CircuitOpen, Reliability
from resilience.policies.retry_switch import retries_without_waiting
from resilience_middleware import httpx as over_httpx
from resilience_middleware import httpx2 as over_httpx2
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
        await connection.execute(sql("create table orders (id integer primary key)"))
    locked = [True]
    database = Reliability("shop").pipeline("orders", DATABASE.changed(retry={"on": OperationalError}))

    @database
    async def order(number: int) -> int:
        async with engine.begin() as connection:
            await connection.execute(sql("insert into orders values (:id)"), {"id": number})
            if locked.pop() if locked else False:
                raise OperationalError("insert", {}, Exception("database is locked"))
            return int((await connection.execute(sql("select count(*) from orders"))).scalar_one())

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


class Completions:
    """Chat completions as OpenAI's API has them; answers with the statuses it is given first."""

    def __init__(self, *answers: tuple[int, dict[str, str]]) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.answer)
        self.server = TestServer(app)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.read())
        if self.answers:
            status, headers = self.answers.pop(0)
            return web.Response(status=status, headers=headers)
        choice = {"index": 0, "finish_reason": "stop"}
        common = {"id": "1", "created": 0, "model": "small"}
        if not (await request.json()).get("stream"):
            choice["message"] = {"role": "assistant", "content": "hello"}
            return web.json_response({**common, "object": "chat.completion", "choices": [choice]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in ("hel", "lo"):
            part = {
                **common,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": {"content": word}}],
            }
            await response.write(f"data: {json.dumps(part)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


FAILURES = [(429, {}), (503, {"Retry-After": "1"}), (502, {}), (500, {}), (408, {})]
LIBRARIES = [(httpx, over_httpx), (httpx2, over_httpx2)]


def asks_again(response: Any) -> bool:
    return response.status_code in {408, 409, 429} or response.status_code >= 500


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: str(failure[0]))
@pytest.mark.parametrize(("library", "adapter"), LIBRARIES, ids=["httpx", "httpx2"])
async def test_a_chat_completion_is_repeated_by_the_transport(
    library: Any, adapter: Any, failure: tuple[int, dict[str, str]], stream: bool
) -> None:
    completions = Completions(failure)
    transport = adapter.ResilientTransport(
        Reliability("shop"),
        preset=EXTERNAL_SERVICES.changed(
            timeout={"seconds": 300.0}, attempt_timeout={"seconds": 120.0}, retry={"on_result": asks_again}
        ),
        name="openai",
        retry_methods=["GET", "POST"],
        retry_unprocessed=True,
    )
    async with (
        completions.server as server,
        openai.AsyncOpenAI(
            api_key="none",
            base_url=str(server.make_url("/v1")),
            max_retries=0,
            http_client=library.AsyncClient(transport=transport, timeout=300.0),
        ) as client,
    ):
        messages: Any = [{"role": "user", "content": "hello?"}]
        with retries_without_waiting():
            answer: Any = await client.chat.completions.create(
                model="small", messages=messages, stream=stream
            )
            if stream:
                text = "".join([part.choices[0].delta.content async for part in answer])
            else:
                text = answer.choices[0].message.content
    assert text == "hello"
    assert len(completions.asked) == 2
    assert completions.asked[0] == completions.asked[1]
