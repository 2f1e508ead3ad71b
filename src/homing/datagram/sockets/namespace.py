"""Network namespaces: calls functions in another namespace than the program's. See network_namespaces(7), setns(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ...gen import BadOption
from .kernel import network_of

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000  # linux/include/uapi/linux/sched.h
_SIOCGSKNS = 0x894C  # linux/include/uapi/linux/sockios.h
_NAMED = "/run/netns"


def file_of(namespace: str) -> str:
    """Returns the file of a namespace, given as a name made by `ip netns add`, or as a path with a slash."""
    return namespace if "/" in namespace else f"{_NAMED}/{namespace}"


def within(namespace: str, function: Callable[[], T]) -> T:
    """Calls `function` on a new thread that has entered `namespace`; with "", on this thread. Each thread has its own
    namespace, and a socket stays in the namespace in which it was made.

    Raises what `function` raises, `BadOption` if there is no such namespace, and `PermissionError` without the
    permission to enter it.
    """
    if not namespace:
        return function()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="homing namespace") as executor:
        return executor.submit(_enter_and_call, namespace, function).result()


def in_network_of(sock: socket.socket, function: Callable[[], T]) -> T:
    """Calls `function` in the network namespace of `sock`: on this thread if it is in that namespace, otherwise like
    `within`.

    Raises what `function` raises, and `OSError` without the permission to enter the namespace (CAP_NET_ADMIN,
    CAP_SYS_ADMIN).
    """
    if not _is_elsewhere(sock):
        return function()
    from fcntl import ioctl  # not on Windows

    descriptor = ioctl(sock.fileno(), _SIOCGSKNS)
    try:
        return within(f"/proc/self/fd/{descriptor}", function)
    finally:
        os.close(descriptor)


def _is_elsewhere(sock: socket.socket) -> bool:
    network = network_of(sock)
    if not network:
        return False  # unknown: a kernel before 5.14
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        return network_of(here) != network


def _enter_and_call(namespace: str, function: Callable[[], T]) -> T:
    try:
        descriptor = os.open(file_of(namespace), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(descriptor)
        finally:
            os.close(descriptor)
    except PermissionError:
        raise
    except OSError as error:
        raise BadOption("network_namespace", namespace, _why(namespace, error)) from None
    return function()


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):  # os.setns exists from Python 3.12 on
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _why(namespace: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"there is no {file_of(namespace)}; `ip netns list` lists the namespaces"
    if error.errno == errno.EINVAL:
        return f"{file_of(namespace)} is not a network namespace"
    return f"{file_of(namespace)}: {error.strerror}"
