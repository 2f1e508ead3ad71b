"""The log of a node: processes that receive its records, and its levels. The functions are methods of `Node`."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from ..gen import PID, Alias
from .logs import Receiver
from .logs.levels import set_level

if TYPE_CHECKING:
    from .core import Core
    from .node import Node


def add_log_receiver(self: Node, pid: PID, level: int = logging.INFO) -> None:
    """Delivers this node's log records of `level` and above to the process, as calls of its `handle_log`.

    These are the records that the `homing.*` loggers let pass (`logging.getLogger("homing").setLevel`), except
    those that a receiver logs itself. Ends with the process. Raises `ProcessUnknown`, `ProcessTerminated`,
    `NotAllowed` if it is ending.
    """
    process = self._process(pid)
    process.require_alive()
    core = self._here
    _remove(core, pid)
    receiver = Receiver(core, pid, level)
    core.log_receivers[pid] = receiver
    process.when_ended(partial(_ended, core, receiver))
    logging.getLogger("homing").addHandler(receiver)


def remove_log_receiver(self: Node, pid: PID) -> bool:
    """Stops the delivery of log records to the process. Returns False if it was no log receiver."""
    return _remove(self._here, pid)


def remove_log_receivers(core: Core) -> None:
    """Stops the delivery of log records to all processes."""
    for pid in tuple(core.log_receivers):
        _remove(core, pid)


def _remove(core: Core, pid: PID) -> bool:
    receiver = core.log_receivers.pop(pid, None)
    if receiver is not None:
        logging.getLogger("homing").removeHandler(receiver)
    return receiver is not None


def _ended(core: Core, receiver: Receiver) -> None:
    if core.log_receivers.get(receiver.pid) is receiver:
        _remove(core, receiver.pid)


def set_log_level(self: Node, level: int | str | None, target: PID | Alias | str | None = None) -> None:
    """Changes the lowest level that is logged, at once.

    level: a level of `logging`, or its name, such as "debug". None: the target has no level of its own any more.
    target: a process (PID, alias or registered name), whose meta-processes follow it, or the alias of one
        meta-process. A level of a name applies to every process that gets the name, as after a restart; others end
        with their process. An alias comes before a PID, that before a name. None: the log of the whole program, as
        `homing run --log-level` (the root logger's level, and that of `homing` if it has one of its own).
    Raises `BadOption`, `ProcessUnknown`, `ProcessTerminated`, `AliasUnknown`, `MetaTerminated`.
    """
    set_level(self._here, level, target)
