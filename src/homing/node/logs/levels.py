"""Log levels of single processes and meta-processes, changed while the node runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias, BadOption

if TYPE_CHECKING:
    from ..core import Core

NAMES = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The levels of `logging`, as they are written on the command line and in requests."""


class Levels(dict[PID | Alias | str, int]):
    """The levels of one node, by PID, alias or registered name. Empty: the levels of the loggers apply.

    An alias comes before a PID, and that before a name.
    """

    __slots__ = ()

    def of(self, context: Mapping[str, Any]) -> int | None:
        """Returns the level of a process or meta-process with this `extra`; None if it has none of its own."""
        for key in ("alias", "pid", "process_name"):
            level = self.get(context.get(key))  # type: ignore[arg-type]
            if level is not None:
                return level
        return None


def check_level(level: object) -> int:
    """Returns the number of a level: one of `logging`, or its name in either case. Raises `BadOption`."""
    if type(level) is int and 0 < level <= 1000:
        return level
    number = NAMES.get(level.lower()) if type(level) is str else None
    if number is None:
        raise BadOption("level", level, f"give {', '.join(NAMES)}, or a number from 1 to 1000 as in logging")
    return number


def set_level(core: Core, level: object, target: object) -> None:
    """See `Node.set_log_level`."""
    number = None if level is None else check_level(level)
    if target is None:
        _set_general(number)
        return
    key = _key(core, target)
    for ended in [key for key in core.levels if not _is_used(core, key)]:
        del core.levels[ended]
    if number is None:
        core.levels.pop(key, None)
    else:
        core.levels[key] = number


def _set_general(level: int | None) -> None:
    if level is None:
        raise BadOption("level", level, "give a level, or a target whose own level is to be removed")
    logging.getLogger().setLevel(level)
    homing = logging.getLogger("homing")
    if homing.level != logging.NOTSET:
        homing.setLevel(level)


def _key(core: Core, target: object) -> PID | Alias | str:
    """Returns the key of a target that lives. Raises the errors of `Node.set_log_level`."""
    if not isinstance(target, PID | Alias | str):
        raise BadOption("target", target, "give a PID, an alias or a registered name")
    if target in core.metas or target in core.registry.names or target in core.processes:
        return target
    found = core.registry.routes.get(target)
    if found is None:
        raise core.registry.missing(target)
    return found.sender


def _is_used(core: Core, key: PID | Alias | str) -> bool:
    return type(key) is str or key in core.processes or key in core.metas
