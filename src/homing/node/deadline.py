"""Time limits for what comes from outside: an answer that has come is read before its time is over.

`asyncio.timeout` cancels as soon as its timer is due, although what is waited for may be there: a program that was
stopped (SIGSTOP, Ctrl-Z, a machine that slept) finds both at once when it goes on, and would report a timeout.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_TURNS = 10
"""Iterations of the loop from the moment when the time is over until it ends the block. Each polls the sockets. An
answer that waits in one takes 2 (the socket is seen, the task steps), one by a stream of asyncio's 4."""


class Deadline:
    """As `asyncio.timeout(seconds)`, a context manager that raises `TimeoutError`, but the loop first polls its sockets
    and runs what that leads to. A block that it ends by then has been in time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._turns = _TURNS
        self._handle: asyncio.Handle | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._over)
        return self

    def _over(self) -> None:
        loop = asyncio.get_running_loop()
        if self._turns:
            self._turns -= 1
            self._handle = loop.call_soon(self._over)
        else:
            self._timeout.reschedule(loop.time())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._timeout.__aexit__(kind, error, trace)
