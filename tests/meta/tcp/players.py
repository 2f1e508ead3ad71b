"""What the tests of TCP share: servers opened by a probe, actors that answer, and peers made of asyncio's streams."""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import TracebackType
from typing import Any, Self

from homing import act, gen, meta

from ...support import DEADLINE, Probe

HOST = "127.0.0.1"
LINES = meta.Delimiter(b"\n")


class Echo(act.Actor):
    """Answers each frame with "OK: " and the frame, `bye` also by closing, and raises for `crash`."""

    def init(self, told: list[Any] | None = None) -> None:
        self.told = [] if told is None else told

    def handle_message(self, sender: Any, message: Any) -> None:
        self.told.append(message)
        if isinstance(message, meta.MessageTCP):
            if message.data == b"crash":
                raise RuntimeError("as asked")
            if message.data != b"quiet":
                self.reply(message, b"OK: " + message.data)
            if message.data == b"bye":
                message.close()


class Stream:
    """A peer of the test: a TCP connection with asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, address: tuple[Any, ...], **options: Any) -> Self:
        async with asyncio.timeout(DEADLINE):
            return cls(*await asyncio.open_connection(address[0], address[1], **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def address(self) -> Any:
        """The address by which the server knows it."""
        return self.writer.get_extra_info("sockname")

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self) -> bytes:
        """The next line."""
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readline()

    async def ask(self, data: bytes) -> bytes:
        """Sends a line, and gives the next line that comes."""
        self.send(data + b"\n")
        return (await self.line()).removesuffix(b"\n")

    async def rest(self) -> bytes:
        """Everything until the end of the connection, also if it is broken off."""
        found = b""
        async with asyncio.timeout(DEADLINE):
            try:
                while part := await self.reader.read(65536):
                    found += part
            except (ConnectionError, ssl.SSLError):
                pass
        return found

    def reset(self) -> None:
        """Breaks the connection off."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass


async def open_tcp(probe: Probe, **options: Any) -> meta.TCPServer:
    """A server on 127.0.0.1 started by the process of `probe`, of lines if nothing else is asked for."""
    server: meta.TCPServer = await probe.do(
        lambda actor: meta.listen_tcp(actor, **{"host": HOST, "frame": LINES, **options})
    )
    return server


async def open_echo(probe: Probe, told: list[Any] | None = None, **options: Any) -> meta.TCPServer:
    """A server whose frames an `Echo` answers."""
    pid: gen.PID = await probe.node.spawn(Echo, told)
    return await open_tcp(probe, process=pid, **options)


async def connect_tcp(probe: Probe, server: meta.TCPServer, **options: Any) -> meta.TCPClient:
    """A client of `server` started by the process of `probe`."""
    host, port = server.local_address[:2]
    client: meta.TCPClient = await probe.do(
        lambda actor: meta.connect_tcp(actor, **{"host": host, "port": port, "frame": LINES, **options})
    )
    return client


def all_ends(statistics: meta.TCPStatistics) -> int:
    """The number of connections that have ended."""
    ends = (
        *(
            "closed_by_peer",
            "closed_here",
            "reset",
            "drained",
            "handed_over",
            "server_ended",
            "cut_idle",
            "cut_first_byte",
        ),
        *("cut_frame_timeout", "cut_too_long", "cut_bad_frame", "cut_slow_reader", "cut_unresponsive"),
    )
    return sum(getattr(statistics, name) for name in ends)
