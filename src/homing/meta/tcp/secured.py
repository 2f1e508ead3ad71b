"""The protocol between a transport of asyncio and a connection, for TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import Connection


class Secured(asyncio.BufferedProtocol):
    """Passes everything on to its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connection_made(self, transport: Any) -> None:
        self._connection.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._connection.hub.view  # asyncio reads into slices of it, which would be copies of a bytearray

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.received(nbytes)

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
