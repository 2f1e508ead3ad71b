"""Sockets for servers that a unit test makes: bound to an address in memory, and never read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ...datagram import SocketOptions
from ...datagram.errors import BindFailed
from ..conditions import Conditions
from ..fake_socket import FakeSocket
from ..sockets import MEANINGFUL
from ..traffic import Traffic


class UnitSocket(FakeSocket):
    """A socket that accepts every option."""

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Does nothing."""


class UnitSockets:
    """The sockets of one unit test."""

    def __init__(self) -> None:
        self._traffic = Traffic(0, Conditions(), False, None, None)

    def bind(self, host: str, port: int, options: SocketOptions) -> FakeSocket:
        """Returns a socket with this address. Options that a fake network does not have are accepted, as nothing
        arrives here; a host name stands for the loopback address."""
        known = {field.name: getattr(options, field.name) for field in fields(SocketOptions)}
        plain = SocketOptions(**{name: value for name, value in known.items() if name in MEANINGFUL})
        sockets = self._traffic.sockets
        try:
            return sockets.bind(self._traffic, host, port, plain, kind=UnitSocket)
        except BindFailed:
            return sockets.bind(self._traffic, "127.0.0.1", 0, plain, kind=UnitSocket)
