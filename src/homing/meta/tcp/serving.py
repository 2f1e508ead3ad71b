"""The protocol of asyncio between a transport, with TLS or without, and a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import Connection


class Serving(asyncio.BufferedProtocol):
    """Passes everything on to its connection, which is compiled, and so cannot be a protocol itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Of the instance: for each read a transport then calls what is compiled, and nothing else.
        self.get_buffer = connection.buffer  # type: ignore[method-assign, assignment]
        self.buffer_updated = connection.received  # type: ignore[method-assign, assignment]

    def connection_made(self, transport: Any) -> None:
        self._connection.connection_made(transport)

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
