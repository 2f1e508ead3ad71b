"""NOTIFY_SOCKET as systemd has it: what a service tells, seen by the test."""

from __future__ import annotations

import asyncio
import os
import socket
from types import TracebackType
from typing import Self

from .support import DEADLINE


class Manager:
    """The other end of NOTIFY_SOCKET. path: what the variable is to be; one that begins with "@" is abstract."""

    def __init__(self, path: str = "") -> None:
        self.path = path or f"@homing-test-{os.getpid()}-{id(self)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{self.path[1:]}" if self.path.startswith("@") else self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def waiting(self) -> list[str]:
        """The messages that have come and were not asked for yet."""
        found = []
        try:
            while True:
                found.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return found

    async def next(self) -> str:
        """The next message."""
        async with asyncio.timeout(2 * DEADLINE):
            while True:
                try:
                    return self._socket.recv(4096).decode()
                except BlockingIOError:
                    await asyncio.sleep(0.001)

    async def until(self, text: str) -> list[str]:
        """The messages up to the first that begins with `text`."""
        found = [await self.next()]
        while not found[-1].startswith(text):
            found.append(await self.next())
        return found
