"""Asks the nodes of this machine by their control sockets, without blocking the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ...node.deadline import Deadline
from .directory import ControlError, path_of
from .protocol import LONGEST_ANSWER, VERSION, parse_answer_untrusted

ANSWER_TIMEOUT = 2.0
"""Seconds that a node may take to answer. The nodes of one application are asked at once: one that hangs delays the
merged answer once."""


class RemoteObserver:
    """Like an `Observer`, for a node in another OS process. name: the node's name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a request and returns the answer. Raises `ControlError`, `RequestRefused`."""
        async with self._connection(request) as reader:
            kind, answer = await self._read(reader, ANSWER_TIMEOUT)
        if kind != "answer" or type(answer) is not dict:
            raise self._incomplete()
        return answer

    async def stream(self, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Sends a request and yields the items of the stream until it ends. Raises `ControlError`, `RequestRefused`."""
        async with self._connection(request) as reader:
            while True:
                kind, item = await self._read(reader, None)
                if kind == "end":
                    return
                if kind != "item" or type(item) is not dict:
                    raise self._incomplete()
                yield item

    @asynccontextmanager
    async def _connection(self, request: Mapping[str, Any]) -> AsyncGenerator[asyncio.StreamReader]:
        try:
            path = path_of(self.name, "sock")
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LONGEST_ANSWER + 1)
        except OSError as error:
            raise ControlError(f"connecting to node {self.name} failed: {error.strerror or error}") from None
        try:
            writer.write(json.dumps({"v": VERSION, **request}).encode() + b"\n")
            yield reader
        finally:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, timeout: float | None) -> tuple[str, Any]:
        try:
            if timeout is None:
                line = await reader.readline()
            else:
                async with Deadline(timeout):
                    line = await reader.readline()
            return parse_answer_untrusted(line)
        except TimeoutError:
            raise ControlError(f"node {self.name} did not answer within {timeout:g} s") from None
        except OSError as error:
            raise ControlError(f"the connection to node {self.name} failed: {error.strerror or error}") from None
        except ValueError:
            raise self._incomplete() from None

    def _incomplete(self) -> ControlError:
        return ControlError(f"node {self.name} closed the connection before its answer was complete")
