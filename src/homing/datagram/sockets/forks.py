"""Closes sockets and other descriptors in forked children, so that a child does not keep its parent's port in use.

(Programs that are *started* get none of them: descriptors are not inheritable.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_open: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()


def close_in_forks(resource: T, close: Callable[[T], object]) -> T:
    """Calls `close(resource)` in each child that is forked while `resource` lives. Returns `resource`.

    close: must only close the child's descriptor: shared state, such as a file or an epoll's table, belongs to the
        parent. It must not keep `resource` alive.
    """
    _open[resource] = close
    return resource


def _close_all() -> None:
    for resource, close in list(_open.items()):
        try:
            close(resource)
        except OSError:
            pass  # it was closed before
    _open.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_close_all)
