"""The control socket: other programs of the same user can read the state of a running node by it, and do nothing else.

It is a Unix stream socket, `<node name>.sock`, in a directory that belongs to the user and that nobody else can enter
(`directory`). A request is one line of JSON, `{"what": "tree"}`, and so is the answer. A request is parsed as JSON and
compared with the known requests; nothing is evaluated. Requests and answers are bounded in size, number and time.

A socket at which no program listens is stale, and is removed by the program that finds it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..datagram.sockets.forks import close_in_forks
from ..meta.upgrade.channel import identity_of
from ..node import Node
from ..node.deadline import Deadline
from .directory import ControlError, locked, locked_if_free, locked_on_loop, path_of
from .snapshot import look

LONGEST_REQUEST = 4096
"""Most bytes of a request. The longest known request has 33."""

LONGEST_ANSWER = 32 * 1024 * 1024
"""Most bytes of an answer: some 50,000 processes."""

REQUEST_TIMEOUT = 5.0
"""Seconds from the connection to the last byte of the request, and from the first byte of the answer to the last."""

MOST_CONNECTIONS = 8
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


class Control:
    """The control socket of one node. It closes with the node, or by `close`."""

    def __init__(self, node: Node, path: Path, sock: socket.socket) -> None:
        self.path = path
        self._node = node
        self._socket = sock
        self._identity = identity_of(path)
        self._server: asyncio.Server | None = None
        self._requests: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Starts listening."""
        self._server = await asyncio.start_unix_server(self._serve, sock=self._socket, limit=LONGEST_REQUEST)

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
        try:
            if task is not None and len(self._requests) < MOST_CONNECTIONS:
                self._requests.add(task)
                await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.CancelledError):
            pass  # the client has closed or is too slow, or the node has stopped: nobody waits for an answer
        finally:
            if task is not None:
                self._requests.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with Deadline(REQUEST_TIMEOUT):
                line = await reader.readline()
        except ValueError:
            answer: dict[str, Any] = {"error": f"the request has more than {LONGEST_REQUEST} bytes"}
        else:
            answer = await self._answer_untrusted(line)
        data = json.dumps(answer).encode()
        if len(data) > LONGEST_ANSWER:
            data = json.dumps({"error": f"the answer has more than {LONGEST_ANSWER} bytes; ask for fewer"}).encode()
        writer.transport.set_write_buffer_limits(0)  # `drain` then waits for the last byte
        writer.write(data + b"\n")
        async with Deadline(REQUEST_TIMEOUT):
            await writer.drain()

    async def _answer_untrusted(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "the request is not JSON"}
        if not isinstance(request, dict) or request.get("what") != "tree":
            return {"error": 'the request is not known; ask {"what": "tree"}'}
        children = request.get("children")
        if children is not None and (type(children) is not int or children < 0):
            return {"error": "children must be an integer from 0, or null"}
        return await look(self._node, children)


async def open_control(node: Node, *, replace: bool = False) -> Control:
    """Opens the control socket of a node, for `homing tree`. It closes with the node.

    replace: replace the control socket of another node of this name, which is being taken over.
    Raises `ControlError` if another node of that name has one, or there is no safe directory for it.
    """
    require_unix_sockets()
    try:
        path = path_of(node.name, "sock")
        async with locked_on_loop(path.parent):
            sock = _listen(path, node.name, replace)
    except OSError as error:
        why = f"{error.strerror or error}"
        raise ControlError(
            f"the control socket of {node.name} cannot be made: {why}; set XDG_RUNTIME_DIR to a short path"
        ) from None
    control = Control(node, path, sock)
    node.on_stopped(control.close)
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
