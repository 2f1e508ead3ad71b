"""Messages between the program that keeps the shared sockets and a process: JSON objects, with file descriptors.

    process                     keeper
    ask       ref, key, addresses, steered, stream
                             ->           for the socket of this process at an address; stream: for the one of TCP that
                                          all processes accept from
                             <-  socket   ref, group, counted, and the socket
                             <-  make     ref, count, and one socket of that address if there are some: nobody has made
                                          them, so this process is to bind `count` sockets
    made      ref, left      ->           with the sockets, in several messages if they are many; then comes "socket"
    failed    ref            ->           they cannot be bound
                             <-  refused  ref, why
    release   group          ->           the server has closed its socket
    started                  ->           the application has started: the servers of its start are open

Unix sockets of packets (unix(7), SOCK_SEQPACKET): a message arrives whole or not at all. No message is evaluated.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

MOST_DESCRIPTORS = 64
"""Most file descriptors in one message. Linux takes 253 (SCM_MAX_FD)."""

_LONGEST = 8 * 1024
"""Most bytes of a message; the longest field is the file of a network namespace (PATH_MAX, 4096)."""

_SIZE = array.array("i").itemsize
_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

Key: TypeAlias = tuple[str, int, bool, str, str, str]
"""The address that a server asks for: host, port (0: any), `dual_stack`, `bind_device`, `network_namespace`, and
`activation` or "". Servers that ask for equal keys share a port."""


class BadMessage(Exception):
    """The other side has sent something else than a message."""


def key_untrusted(told: object) -> Key:
    """Returns the key that was sent. Raises `BadMessage`."""
    if not isinstance(told, list) or [type(field) for field in told] != [str, int, bool, str, str, str]:
        raise BadMessage("it sent no valid address")
    host, port, dual_stack, device, namespace, activation = told
    return host, port, dual_stack, device, namespace, activation


def number_untrusted(message: dict[str, Any], name: str) -> int:
    """Returns a number of a message. Raises `BadMessage`."""
    number = message.get(name)
    if type(number) is not int:
        raise BadMessage(f"it sent no number as {name!r}")
    return number


def send(sock: socket.socket, descriptors: Sequence[int] = (), **message: Any) -> None:
    """Sends a message. Raises `OSError`."""
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sock.sendmsg([json.dumps(message).encode()], passed, getattr(socket, "MSG_NOSIGNAL", 0))


def receive_untrusted(sock: socket.socket) -> tuple[dict[str, Any], list[socket.socket]]:
    """Returns the next message, and the sockets that came with it: the caller closes them.

    Raises `OSError`, `EOFError` if the other side has closed, and `BadMessage`.
    """
    try:
        data, passed, flags, _ = sock.recvmsg(_LONGEST, socket.CMSG_SPACE(MOST_DESCRIPTORS * _SIZE), _FLAGS)
    except ConnectionError:
        raise EOFError from None
    descriptors = _descriptors(passed)
    try:
        if not data and not passed:
            raise EOFError
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise BadMessage("no file descriptor is left for the sockets that came; raise `ulimit -n`")
        message = json.loads(data)
        if not isinstance(message, dict):
            raise BadMessage("it sent no JSON object")
        found: list[socket.socket] = []
        while descriptors:
            found.append(socket.socket(fileno=descriptors[0]))
            del descriptors[0]
    except (ValueError, RecursionError):
        raise BadMessage("it sent no JSON") from None
    except OSError as error:
        close_all(found)
        raise BadMessage(f"it sent a file that is not a socket: {error.strerror}") from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return message, found


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % _SIZE])
    return list(found)


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Closes these sockets."""
    for sock in sockets:
        sock.close()
