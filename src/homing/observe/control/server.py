"""The control socket: other programs of the same user can look into a running node by it, and change it if allowed.

It is a Unix stream socket, `<node name>.sock`, in a directory that belongs to the user and that nobody else can enter
(`directory`). Only programs of that user, and of root, are served. A request is parsed as JSON and carried out by an
`Observer` (`protocol`); nothing is evaluated. Requests and answers are bounded in size, number and time.

A socket at which no program listens is stale, and is removed by the program that finds it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from ...datagram.sockets.forks import close_in_forks
from ...meta.upgrade.channel import identity_of
from ...node import Node
from ...node.deadline import Deadline
from ..encoding import encode
from ..observer import Observer
from ..refusals import RequestRefused
from .directory import ControlError, locked, locked_if_free, locked_on_loop, path_of
from .protocol import LONGEST_ANSWER, LONGEST_REQUEST, VERSION, error_of, parse_request_untrusted

REQUEST_TIMEOUT = 5.0
"""Seconds from the connection to the last byte of the request, and from the first byte of an answer or item to the
last."""

MOST_CONNECTIONS = 16
"""Most connections that are served at the same time; further ones are closed. Each may hold an answer in memory."""


def require_unix_sockets() -> None:
    """Raises `ControlError` if the system has no Unix sockets."""
    if not hasattr(socket, "AF_UNIX") or sys.platform == "win32":
        raise ControlError("this system has no Unix sockets, which the control socket of a node needs")


def node_names(directory: Path) -> dict[str, Path]:
    """Returns the nodes whose control sockets are in `directory`. Removes stale sockets."""
    found = {}
    with locked(directory):
        for path in sorted(directory.glob("*.sock")):
            if is_listening(path):
                found[unquote(path.name.removesuffix(".sock"))] = path
            else:
                for gone in (path, path.with_name(f"{path.name.removesuffix('.sock')}.takeover")):
                    with suppress(OSError):
                        gone.unlink()
    return found


def is_listening(path: Path) -> bool:
    """Returns False if no program listens at the socket, True if one does or that is not certain."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass  # mostly that the queue is full: a slow program listens
    return True


# --- the socket -------------------------------------------------------------------------------------------


class Answers(Protocol):
    """Carries out requests: an `Observer`, or a `MergedObserver`."""

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]: ...

    def stream(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]: ...

    def streams_what(self, request: dict[str, Any]) -> bool: ...


class Control:
    """One control socket. It closes by `close`."""

    def __init__(self, observer: Answers, path: Path, sock: socket.socket) -> None:
        self.path = path
        self.observer = observer
        self._socket = sock
        self._identity = identity_of(path)
        self._server: asyncio.Server | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._os_pid = os.getpid()

    async def start(self) -> None:
        """Starts listening."""
        # Since 3.13 asyncio removes the file itself, without the lock, unless `cleanup_socket` is False.
        keeps_file: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._socket, limit=LONGEST_REQUEST, **keeps_file
        )

    def close(self) -> None:
        """Closes the socket and removes its file. A second call does nothing."""
        if self._socket.fileno() >= 0 and not self._remove(locked_if_free):
            # A thread waits for the lock, because this may be the thread of an event loop. A duplicate keeps the socket
            # open meanwhile, see `_remove`.
            threading.Thread(target=self._remove_later, args=(self._socket.dup(),)).start()
        if self._server is not None:
            self._server.close()
        self._socket.close()
        for task in self._requests:
            task.cancel()

    def _remove_later(self, sock: socket.socket) -> None:
        with sock:
            self._remove(locked)

    def _remove(self, lock: Callable[[Path], AbstractContextManager[bool | None]]) -> bool:
        """Removes the file. Returns False if the lock was not free. While the socket is open, no other file has its
        number: so the file of a later node is never removed."""
        with suppress(OSError, ControlError), lock(self.path.parent) as free:
            if free is False:
                return False
            if identity_of(self.path) == self._identity:
                self.path.unlink()
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        writer.transport.set_write_buffer_limits(0)  # `drain` then waits for the last byte
        try:
            ours = is_this_user(writer.get_extra_info("socket"))
            if task is not None and ours and len(self._requests) < MOST_CONNECTIONS:
                self._requests.add(task)
                await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.CancelledError):
            pass  # the client has closed or is too slow, or the node has stopped: nobody waits for an answer
        finally:
            if task is not None:
                self._requests.discard(task)
            self._hang_up(writer)

    def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        """Closes a connection. Its end reaches the client even if a forked child has the connection too; a child itself
        leaves the connection to its parent."""
        if os.getpid() == self._os_pid:
            with suppress(OSError):
                writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = parse_request_untrusted(await _line(reader))
            if self.observer.streams_what(request):
                await self._stream(request, reader, writer)
            else:
                await _write(writer, "answer", await self.observer.ask(request))
        except RequestRefused as refused:
            await _write(writer, "error", error_of(refused))

    async def _stream(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Writes the items, until the stream ends or the client closes the connection."""
        writing = asyncio.create_task(self._write_items(request, writer))
        closing = asyncio.create_task(_closed(reader))
        try:
            await asyncio.wait((writing, closing), return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            writing.cancel()
            closing.cancel()
            await asyncio.gather(writing, closing, return_exceptions=True)

    async def _write_items(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        async with aclosing(self.observer.stream(request)) as items:  # type: ignore[type-var]
            async for item in items:
                await _write(writer, "item", item)
        await _write(writer, "end", True)


def is_this_user(sock: socket.socket) -> bool:
    """Returns True if the program at the other end runs as this user, or as root (SO_PEERCRED, unix(7)). Where the
    system does not tell, the directory alone decides who can connect."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return user in (0, os.geteuid())


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with Deadline(REQUEST_TIMEOUT):
            return await reader.readline()
    except ValueError:
        raise RequestRefused("bad_request", f"the request has more than {LONGEST_REQUEST} bytes") from None


async def _closed(reader: asyncio.StreamReader) -> None:
    """Returns when the client has closed the connection. Later bytes are discarded."""
    while await reader.read(LONGEST_REQUEST):
        pass


async def _write(writer: asyncio.StreamWriter, kind: str, value: Any) -> None:
    """Writes one line. Raises `TimeoutError` if the client does not read it in time, and what `encode` raises."""
    pieces = await encode(value, LONGEST_ANSWER)
    writer.write(b"".join((f'{{"v": {VERSION}, "{kind}": '.encode(), *pieces, b"}\n")))
    async with Deadline(REQUEST_TIMEOUT):
        await writer.drain()


async def open_control(
    node: Node, *, replace: bool = False, allow: bool = False, observer: Observer | None = None
) -> Control:
    """Opens the control socket of a node, for `homing ps` and the like. It closes with the node.

    replace: replace the control socket of another node of this name, which is being taken over.
    allow: also carry out requests that change the node.
    observer: answers the requests, instead of a new one.
    Raises `ControlError` if another node of that name has one, or there is no safe directory for it.
    """
    control = await listen(node.name, observer or Observer(node, allow), replace=replace)
    node.on_stopped(control.close)
    return control


async def listen(name: str, observer: Answers, *, replace: bool = False) -> Control:
    """Opens a control socket of that name, at which `observer` answers. Raises `ControlError`."""
    require_unix_sockets()
    try:
        path = path_of(name, "sock")
        async with locked_on_loop(path.parent):
            sock = _listen(path, name, replace)
    except OSError as error:
        why = f"{error.strerror or error}"
        raise ControlError(
            f"the control socket of {name} cannot be made: {why}; set XDG_RUNTIME_DIR to a short path"
        ) from None
    control = Control(observer, path, sock)
    await control.start()
    return control


class NameInUse(ControlError):
    """Another node of that name runs, and has a control socket."""


def _listen(path: Path, name: str, replace: bool) -> socket.socket:
    """Returns a listening socket. The caller holds the lock of the directory."""
    if not replace and path.exists() and is_listening(path):
        raise NameInUse(f"a node {name} runs already (its control socket is {path}); give this one another --name")
    path.unlink(missing_ok=True)
    sock = close_in_forks(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), socket.socket.close)
    try:
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(MOST_CONNECTIONS)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
