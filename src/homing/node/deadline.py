"""Time limits for answers from outside: an answer that has arrived is read before the time limit ends the wait.

`asyncio.timeout` cancels as soon as its timer is due, even if the answer has arrived: a program that was suspended
(SIGSTOP, Ctrl-Z, a machine that slept) finds both at once when it resumes, and would report a timeout.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_TURNS = 10
"""Iterations of the loop between the end of the time and the end of the block. Each polls the sockets. An answer that
waits in a socket takes 2 (the socket is read, the task steps), an answer through an asyncio stream 4."""


class Deadline:
    """A context manager like `asyncio.timeout(seconds)`, which raises `TimeoutError`; but the loop first polls its
    sockets and handles what arrived. A block that ends because of that is in time."""

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
