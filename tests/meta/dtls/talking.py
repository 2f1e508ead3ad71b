"""Programs of others that a test talks to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from ...support import DEADLINE


class Talk:
    """A program that talks: what it has printed, and what it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed = b""

    async def until(self, text: bytes) -> None:
        """Waits until it has printed `text`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            while text not in self.printed:
                more = await self.process.stdout.read(4096)
                assert more, f"it has ended: {self.printed.decode(errors='replace')}"
                self.printed += more

    async def rest(self) -> bytes:
        """Waits for its end. Gives all that it has printed."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            self.printed += await self.process.stdout.read()
            await self.process.wait()
        return self.printed

    def tell(self, text: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextlib.asynccontextmanager
async def talking(*command: Any) -> AsyncIterator[Talk]:
    """Runs a program until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    talk = Talk(process)
    try:
        yield talk
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await talk.rest()
