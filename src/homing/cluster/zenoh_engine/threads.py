"""Calls of zenoh, which may block, in threads of their own: one that never returns is left behind, not waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(name: str, function: Callable[[], T], timeout: float) -> T:
    """Runs `function` in a new thread and returns what it returns, or raises what it raises.

    The thread is a daemon, so that the program can end without it. Raises `TimeoutError` after `timeout` seconds; the
    function then continues, and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, failure = None, None
        try:
            value = function()
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(timeout):
        return await result


def start_thread(name: str, function: Callable[[], object]) -> None:
    """Runs `function` in a new thread, for which nobody waits."""
    threading.Thread(target=function, name=name, daemon=True).start()


def run_bounded(name: str, function: Callable[[], object], timeout: float) -> bool:
    """Runs `function` in a new thread and waits for it, at most `timeout` seconds. Returns True if it has ended."""
    thread = threading.Thread(target=function, name=name, daemon=True)
    thread.start()
    thread.join(timeout)
    return not thread.is_alive()
