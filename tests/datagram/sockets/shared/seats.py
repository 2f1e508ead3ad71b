"""Several processes that share ports, as one program plays them: a keeper, and a seat for each."""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial
from typing import Any

from homing.datagram import SocketOptions
from homing.datagram.sockets.binding import bind_several
from homing.datagram.sockets.shared.keeper import Keeper, Place
from homing.datagram.sockets.shared.messages import Key
from homing.datagram.sockets.shared.seat import Make, Seat, SharedSocket

HOST = "127.0.0.1"
OPTIONS = SocketOptions(reuse_port=True)


def by_first_byte(count: int) -> tuple[tuple[int, int, int, int], ...]:
    """A program that steers by the first byte of the payload, modulo the number of processes."""
    return ((0x30, 0, 0, 0), (0x94, 0, 0, count), (0x16, 0, 0, 0))


def key(port: int = 0, activation: str = "") -> Key:
    return HOST, port, False, "", "", activation


def binds(port: int = 0, options: SocketOptions = OPTIONS) -> Make:
    """Binds as a server with these options does."""
    return partial(bind_several, HOST, port, options)


def never(count: int, like: socket.socket | None) -> list[socket.socket]:
    raise AssertionError("asked to bind sockets that are there")


def identity(sock: socket.socket) -> tuple[int, int]:
    """Equal for two descriptors of one socket."""
    found = os.fstat(sock.fileno())
    return found.st_dev, found.st_ino


class Seats:
    """The processes. said: what the keeper printed."""

    def __init__(self, count: int, **more: Any) -> None:
        self.said: list[str] = []
        self.keeper = Keeper(count, self.said.append, **more)
        self.seats: list[tuple[Seat, socket.socket]] = []
        self.sockets: list[socket.socket] = []

    def seat(self, process: int) -> Seat:
        """A new OS process of that number."""
        place: Place = self.keeper.place(process)
        sock = socket.socket(fileno=os.dup(place.child.fileno()))
        place.child.close()
        self.seats.append((Seat(sock), sock))
        return self.seats[-1][0]

    def kill(self, seat: Seat, *held: socket.socket) -> None:
        """Ends a process: its descriptors are closed, and it says nothing more."""
        for one, sock in self.seats:
            if one is seat:
                sock.close()
        for each in held:
            each.close()

    async def open(self, seat: Seat, at: Key, make: Make = never, **more: Any) -> SharedSocket:
        """Opens a server, as another process that waits for the answer."""
        sock = await asyncio.to_thread(seat.open, at, make, **more)
        assert sock is not None
        self.sockets.append(sock)
        return sock

    async def open_all(self, count: int, options: SocketOptions = OPTIONS) -> tuple[list[Seat], list[SharedSocket]]:
        """One server in each process, at a port that the system chooses. The last process asks first."""
        seats = [self.seat(process) for process in range(count)]
        steered = options.reuse_port_steering is not None
        found = [await self.open(one, key(), binds(0, options), steered=steered) for one in reversed(seats)]
        return seats, found[::-1]

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        for _, sock in self.seats:
            sock.close()
        self.keeper.close()


def read(sock: socket.socket) -> list[bytes]:
    """What waits in a socket."""
    sock.setblocking(False)
    found = []
    try:
        while True:
            found.append(sock.recv(100))
    except BlockingIOError:
        return found


def send_to(port: int, *payloads: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for payload in payloads:
            client.sendto(payload, (HOST, port))
