"""The client of the control sockets: finds the running nodes, and sends requests to one of them. It blocks."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import directory
from .directory import ControlError, check_directory, directories, preferred
from .protocol import LONGEST_ANSWER, VERSION, parse_answer_untrusted
from .server import node_names, require_unix_sockets

ANSWER_TIMEOUT = 5.0
"""Seconds that a node may take to answer."""


class NotOneNode(ControlError):
    """The name matches no running node, or several. running: the names of the nodes that run."""

    def __init__(self, text: str, running: list[str]) -> None:
        super().__init__(text)
        self.running = running


def running_nodes() -> dict[str, Path]:
    """Returns the control sockets of this user's nodes on this machine, by node name.

    Raises `ControlError` if none is found and a directory that may contain some is not safe.
    """
    require_unix_sockets()
    found: dict[str, Path] = {}
    unsafe: ControlError | None = None
    for place in reversed(directories()):
        try:
            check_directory(place)
            found.update(node_names(place))
        except FileNotFoundError:
            pass  # no node has run yet and made the directory
        except ControlError as error:
            unsafe = error
    if unsafe is not None and not found:
        raise unsafe
    return found


def choose(name: str | None) -> tuple[str, Path]:
    """Returns the node of that name (the part before the @ is enough if it is unique), or the only node that runs.

    Raises `NotOneNode`.
    """
    nodes = running_nodes()
    meant = [known for known in nodes if name is None or known == name or known.partition("@")[0] == name]
    exact = [known for known in meant if known == name] or [known for known in meant if _is_of_all(known, meant)]
    if len(exact or meant) == 1:
        (found,) = exact or meant
        return found, nodes[found]
    raise NotOneNode(_why_not_one(name, nodes, meant), meant or list(nodes))


def _is_of_all(name: str, nodes: list[str]) -> bool:
    """Returns True if all other nodes are the processes of `homing run --processes` of this name."""
    before, _, host = name.partition("@")
    process = re.compile(re.escape(before) + r"-\d+@" + re.escape(host))
    return all(node == name or process.fullmatch(node) for node in nodes)


def _why_not_one(name: str | None, nodes: dict[str, Path], meant: list[str]) -> str:
    if not nodes:
        places = " or ".join(map(str, filter(None, (preferred(), directory.TEMPORARY))))
        return f"no running node has a control socket (none in {places}); `homing run module:App` starts a node"
    running = ", ".join(sorted(meant or nodes))
    if name is None:
        return f"{len(nodes)} nodes run; name one of them: {running}"
    return f"{len(meant)} nodes are {name}: {running}" if meant else f"no node {name} runs; there are {running}"


def ask(name: str, path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Sends a request, `{"what": "node"}`, and returns the answer. Raises `ControlError`, `RequestRefused`."""
    with _connection(name) as connection:
        line = _exchange(connection, path, _line(request))
    _, answer = _value(name, line, ("answer",))
    return dict(answer)


def stream(name: str, path: Path, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Sends a request to a node and yields the items of the stream until it ends. Raises `ControlError`,
    `RequestRefused`."""
    with _connection(name) as connection:
        connection.settimeout(ANSWER_TIMEOUT)
        connection.connect(str(path))
        connection.sendall(_line(request))
        connection.settimeout(None)
        with connection.makefile("rb") as lines:
            while True:
                kind, item = _value(name, lines.readline(LONGEST_ANSWER + 1), ("item", "end"))
                if kind == "end":
                    return
                yield item


def _line(request: dict[str, Any]) -> bytes:
    return json.dumps({"v": VERSION, **request}).encode() + b"\n"


@contextmanager
def _connection(name: str) -> Iterator[socket.socket]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            yield connection
    except TimeoutError:
        raise ControlError(
            f"node {name} did not answer within {ANSWER_TIMEOUT:g} s; is its event loop blocked?"
        ) from None
    except OSError as error:
        raise ControlError(f"connecting to node {name} failed: {error.strerror or error}") from None


def _value(name: str, line: bytes, kinds: tuple[str, ...]) -> tuple[str, Any]:
    try:
        kind, value = parse_answer_untrusted(line)
        if kind not in kinds or (kind != "end" and type(value) is not dict):
            raise ValueError(kind)
    except ValueError:
        raise ControlError(
            f"node {name} closed the connection before its answer was complete: it stops, or too many are connected; "
            "try again"
        ) from None
    return kind, value


def _exchange(connection: socket.socket, path: Path, request: bytes) -> bytes:
    deadline = time.monotonic() + ANSWER_TIMEOUT
    connection.settimeout(ANSWER_TIMEOUT)
    connection.connect(str(path))
    connection.sendall(request)
    parts: list[bytes] = []
    size = 0
    while size <= LONGEST_ANSWER:
        connection.settimeout(max(0.0, deadline - time.monotonic()))  # 0: bytes that have come by then are still read
        try:
            part = connection.recv(1 << 20)
        except BlockingIOError:
            raise TimeoutError from None
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)
