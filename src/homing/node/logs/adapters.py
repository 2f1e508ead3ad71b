"""The loggers of processes, meta-processes and nodes."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from .complaints import handler_failed
from .levels import Levels
from .texts import fault_of
from .tracebacks import traceback_text

if TYPE_CHECKING:
    from ...gen import PID, Alias

PROCESS_LOGGER = logging.getLogger("homing.process")
META_LOGGER = logging.getLogger("homing.meta")
NODE_LOGGER = logging.getLogger("homing.node")

_NO_LEVELS = Levels()


def _bound_exception(record: logging.LogRecord) -> bool:
    """A filter that makes the text of a record's exception, before a formatter makes one of any length."""
    fault = fault_of(record)
    if fault is not None and not record.exc_text:
        record.exc_text = traceback_text(fault)
    return True


for _logger in (PROCESS_LOGGER, META_LOGGER, NODE_LOGGER):
    _logger.addFilter(_bound_exception)


class ContextAdapter(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds node, pid, name, alias and behavior to each record, and keeps the caller's own `extra`. It
    does not raise the exceptions of the program's handlers and filters: see `bounded.hand_out`."""

    def __init__(self, logger: logging.Logger, extra: dict[str, Any], levels: Levels = _NO_LEVELS) -> None:
        super().__init__(logger, extra)
        self._levels = levels

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name of `logging`
        if self._levels:
            own = self._levels.of(self.extra or {})
            if own is not None:
                return level >= own and level > self.logger.manager.disable
        return self.logger.isEnabledFor(level)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        try:
            if self.isEnabledFor(level):
                kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the record names the caller of this function
                msg, more = self.process(msg, kwargs)
                self.logger._log(level, msg, args, **more)  # not `log`, which asks for the level of the logger again
        except Exception as error:
            handler_failed(error)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def context(
    node: str, pid: PID, behavior: str, *, name: str | None = None, alias: Alias | None = None
) -> dict[str, Any]:
    """Returns the `extra` for the records of a process or meta-process."""
    return {"node": node, "pid": pid, "process_name": name, "alias": alias, "behavior": behavior}
