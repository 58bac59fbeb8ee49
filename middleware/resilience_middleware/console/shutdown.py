"""Knowing of the end in time: servers wait for open streams before they tell the application that it is over."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

__all__ = ["on_signal"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def on_signal(callback: Callable[[], object]) -> Callable[[], None]:
    """Call `callback` in the event loop when the process is told to end, before whoever handles that already.

    uvicorn waits for every response to end and only then shuts the application down, so a stream that ended at the
    shutdown would never end. Where nobody handles a signal, or this is not the main thread, nothing is changed.

    Args:
        callback: a function of nothing.

    Returns:
        a function that puts the handlers back.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    loop = asyncio.get_running_loop()
    replaced: dict[signal.Signals, tuple[Any, Any]] = {}
    for each in _SIGNALS:
        before = signal.getsignal(each)
        if callable(before):
            handler = _before(before, loop, callback)
            signal.signal(each, handler)
            replaced[each] = (handler, before)

    def put_back() -> None:
        for each, (handler, before) in replaced.items():
            if signal.getsignal(each) is handler:
                signal.signal(each, before)

    return put_back


def _before(
    handler: Callable[[int, FrameType | None], Any],
    loop: asyncio.AbstractEventLoop,
    callback: Callable[[], object],
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        handler(number, frame)

    return handle
