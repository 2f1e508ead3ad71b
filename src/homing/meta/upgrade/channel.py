"""The channel between two programs of which one takes over the sockets of the other: messages and file descriptors.

A Unix socket of packets (unix(7), SOCK_SEQPACKET): a message is a JSON object with a "say", and arrives whole or not at
all. The kernel (SO_PEERCRED), not the message, says which process is at the other end. No message is evaluated.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import secrets
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ...datagram.sockets.forks import close_in_forks
from ...gen import NotAllowed
from ...node.deadline import Deadline

PROTOCOL = 2
"""Programs whose numbers differ do not understand each other. 2: a successor changes nothing before "stopped", and says
in "ready" which multicast groups it will join; in 1 it set its options at once, and the predecessor would have taken
the changed settings for those to restore."""

_LONGEST = 64 * 1024
"""Most bytes of a message; a message with 64 sockets has 2 KiB."""

MOST_DESCRIPTORS = 64
"""Most file descriptors in one message. Linux takes 253 (SCM_MAX_FD)."""

MOST_CONNECTIONS = 8
"""Most connections that wait to be accepted, and most that are served at the same time."""

_CONNECT_AGAIN = 0.01
"""Seconds until connecting is tried again. (A loop cannot wait for room in the queue of another socket.)"""

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred, linux/include/linux/socket.h


class Refused(NotAllowed):
    """The other program will not continue with the hand-over. The text says why."""


class Channel:
    """One end of a connection. Owns and closes `sock`. pid, uid: of the process at the other end."""

    def __init__(self, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
            self._sock = close_in_forks(sock, socket.socket.close)
            self._loop = asyncio.get_running_loop()
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            self.pid, self.uid, _ = _CREDENTIALS.unpack(credentials)
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """Closes the socket. A second call does nothing."""
        if self._sock.fileno() >= 0:
            # The loop must not continue watching the descriptor: its number may next be that of another file.
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    async def send(self, say: str, *, descriptors: Sequence[int] = (), **more: Any) -> None:
        """Sends a message. Raises `EOFError` if the other end is closed."""
        data = [json.dumps({"say": say, **more}).encode()]
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        loop = self._loop
        try:
            await _when_ready(
                loop.add_writer, loop.remove_writer, self._sock, lambda: self._sock.sendmsg(data, passed, _FLAGS)
            )
        except ConnectionError:
            raise EOFError from None

    async def receive(self, *expected: str) -> dict[str, Any]:
        """Returns the next message, whose "say" must be one of `expected`. Closes descriptors that come with it.

        Raises `EOFError` if the other end is closed, `Refused` if the message is "refused" or any other.
        """
        message, descriptors = await self.receive_descriptors(*expected)
        close_all(descriptors)
        return message

    async def receive_descriptors(self, *expected: str) -> tuple[dict[str, Any], list[int]]:
        """Returns the next message as `receive` does, and the descriptors that came with it: the caller closes them."""
        message, descriptors = await _when_ready(
            self._loop.add_reader, self._loop.remove_reader, self._sock, self._receive_untrusted
        )
        if message.get("say") in expected:
            return message, descriptors
        close_all(descriptors)
        if message.get("say") == "refused":
            raise Refused(f"OS process {self.pid}: {message.get('why')}")
        raise Refused(f"OS process {self.pid}: it said {message.get('say')!r}")

    def _receive_untrusted(self) -> tuple[dict[str, Any], list[int]]:
        space = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, passed, flags, _ = self._sock.recvmsg(_LONGEST, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:  # the other end closed before it had read all; its earlier messages still arrive
            try:
                data, passed, flags, _ = self._sock.recvmsg(_LONGEST, space, socket.MSG_CMSG_CLOEXEC)
            except ConnectionError:
                raise EOFError from None
        descriptors = _descriptors(passed)
        try:
            if not data and not passed:
                raise EOFError
            message = json.loads(data)
            if not isinstance(message, dict) or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError
        except (ValueError, RecursionError):
            close_all(descriptors)
            raise Refused(
                f"OS process {self.pid} sent an invalid message, or more sockets than this process can open"
            ) from None
        except BaseException:
            close_all(descriptors)
            raise
        return message, descriptors


_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def close_all(descriptors: list[int]) -> None:
    """Closes these file descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


async def _when_ready(
    add: Callable[..., Any], remove: Callable[[int], Any], sock: socket.socket, act: Callable[[], Any]
) -> Any:
    """Calls `act` until it no longer raises `BlockingIOError`, and returns its result. Waits for the socket between."""
    while True:
        try:
            return act()
        except BlockingIOError:
            ready = asyncio.get_running_loop().create_future()
            add(sock.fileno(), lambda waiter: waiter.done() or waiter.set_result(None), ready)
            try:
                await ready
            finally:
                if sock.fileno() >= 0:
                    remove(sock.fileno())


# --- making one -------------------------------------------------------------------------------------------


def require_linux() -> None:
    """Raises `NotAllowed` if this system cannot hand sockets over."""
    if sys.platform != "linux":
        raise NotAllowed("sockets are handed over to another program on Linux only")


async def connect(path: str, seconds: float) -> Channel | None:
    """Returns a channel to the program that listens at `path`; None if there is none. Never blocks the loop.

    Raises `OSError`; `TimeoutError` if that program has not accepted the connection within `seconds`.
    """
    async with Deadline(seconds):
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                sock.setblocking(False)
                sock.connect(path)
            except BlockingIOError:  # the queue of the listening socket is full
                sock.close()
                await asyncio.sleep(_CONNECT_AGAIN)
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                return None
            except BaseException:
                sock.close()
                raise
            else:
                return Channel(sock)


def identity_of(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Returns a pair that identifies the file: a later file of the same name has another, as long as this one is open.
    Returns None if there is no file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def listen(path: str) -> socket.socket:
    """Returns a socket that listens at `path`. It replaces a former listener without a gap. Raises `OSError`."""
    sock = close_in_forks(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), socket.socket.close)
    beside = f"{path}.{secrets.token_hex(4)}"  # others may be able to make files there, too
    try:
        sock.bind(beside)
        try:
            os.chmod(beside, 0o600)
            sock.listen(MOST_CONNECTIONS)
            sock.setblocking(False)
            os.rename(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except BaseException:
        sock.close()
        raise
    return sock


async def ended(pid: int, seconds: float) -> None:
    """Returns when an OS process has ended, and so has closed its sockets; after `seconds` if it has not; at once if it
    is this process, or if the system cannot watch it."""
    if pid == os.getpid():
        return
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return  # mostly that it has ended
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        with suppress(TimeoutError):
            async with Deadline(seconds):
                await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
