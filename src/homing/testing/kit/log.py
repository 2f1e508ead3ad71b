"""The log records of the subject."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...gen.foreign import same
from ...node.processes.process import Process

_LOGGER = logging.getLogger("homing")


class Log(logging.Handler):
    """Keeps the records of the process that `find` returns; none if it returns None."""

    def __init__(self, find: Callable[[], Process | None]) -> None:
        super().__init__()
        self._find = find
        self._level = logging.NOTSET
        self.records: list[logging.LogRecord] = []

    def open(self) -> None:
        """Begins to keep records, of every level."""
        self._level = _LOGGER.level
        _LOGGER.addHandler(self)
        _LOGGER.setLevel(logging.DEBUG)

    def shut(self) -> None:
        """Keeps no more records."""
        if self in _LOGGER.handlers:
            _LOGGER.removeHandler(self)
            _LOGGER.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        process = self._find()
        if process is not None and same(getattr(record, "pid", None), process.id):
            self.records.append(record)
