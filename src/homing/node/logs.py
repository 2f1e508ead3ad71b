"""Logging: the standard library's, with what the runtime knows in `extra`; and processes that receive log records.

What a log receiver logs while it handles records goes to the ordinary handlers only, never to a receiver again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from ..gen import NodeTerminated
from .mailbox.envelope import LogEntry

if TYPE_CHECKING:
    from ..gen import PID, Alias
    from .core import Core

PROCESS_LOGGER = logging.getLogger("homing.process")
META_LOGGER = logging.getLogger("homing.meta")
NODE_LOGGER = logging.getLogger("homing.node")


class PlainFormatter(logging.Formatter):
    """Escapes what would steer a terminal, and indents each line of a record but the first. An exception's text may
    have come from the network: it shall not look like another record.

    prefix: is put before each record, as it is.
    """

    def __init__(self, text: str, prefix: str = "") -> None:
        super().__init__(text)
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        return self._prefix + "\n  ".join(escaped(line) for line in super().format(record).split("\n"))


def escaped(line: str) -> str:
    """`line` with what is not printable written as in Python."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


class _Unconfigured(logging.StreamHandler[TextIO]):
    """Prints to stderr as long as nobody else has set up logging."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


@contextmanager
def logging_configured() -> Iterator[None]:
    """Within it, what Homing logs at level INFO or above goes to stderr, unless the program has set up logging; if it
    does so later, from then on what it has set up holds."""
    logger = logging.getLogger("homing")
    if logger.hasHandlers() or logger.level != logging.NOTSET or logging.getLogger().level != logging.WARNING:
        yield
        return
    handler = _Unconfigured()
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)


class ContextAdapter(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds node, pid, name, alias and behavior to each record, and keeps the caller's own `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def context(
    node: str, pid: PID, behavior: str, *, name: str | None = None, alias: Alias | None = None
) -> dict[str, Any]:
    """The `extra` of what a process or meta-process logs."""
    return {"node": node, "pid": pid, "process_name": name, "alias": alias, "behavior": behavior}


class Receiver(logging.Handler):
    """Hands the node's log records to a process: each comes to its `handle_log`, by its log lane."""

    def __init__(self, core: Core, pid: PID, level: int) -> None:
        super().__init__(level)
        self._core = core
        self.pid = pid

    def emit(self, record: logging.LogRecord) -> None:
        node = getattr(record, "node", self._core.name)
        if node != self._core.name or getattr(record, "pid", None) in self._core.log_receivers:
            return
        if threading.get_ident() == self._core.thread:
            self._put(record)
        else:
            try:
                self._core.from_thread(self._put, record)
            except NodeTerminated:
                pass  # its loop was closed before the node was stopped: nobody is there to get the record

    def _put(self, record: logging.LogRecord) -> None:
        target = self._core.registry.routes.get(self.pid)
        if target is None:
            return  # it is ending
        target.put_log(LogEntry(record))
        if not target.scheduled:
            self._core.scheduler.schedule(target)


class RateLimited:
    """Logs the first of a kind, then at most one record per `interval` seconds with the number held back meanwhile."""

    __slots__ = ("_held_back", "_interval", "_last", "_log")

    def __init__(self, log: logging.LoggerAdapter[logging.Logger], interval: float = 5.0) -> None:
        self._log = log
        self._interval = interval
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def warning(self, now: float, kind: str, text: str, *args: object) -> None:
        """Logs `text % args` as a warning of `kind`, unless one was logged less than the interval before `now`."""
        last = self._last.get(kind)
        if last is not None and now - last < self._interval:
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return
        self._last[kind] = now
        held_back = self._held_back.pop(kind, 0)
        if held_back:
            self._log.warning(text + " (and %d more like it)", *args, held_back)
        else:
            self._log.warning(text, *args)


class CrashLog:
    """Logs crashes, `most` of them in each second: a flood of what a handler dies of must not become a flood of
    tracebacks. Those held back are counted, and the number is logged with the first of a later second.

    500 a second is the burst limit of the log handlers of Erlang/OTP.
    """

    __slots__ = ("_held_back", "_log", "_logged", "_most", "_since")

    def __init__(self, log: logging.LoggerAdapter[logging.Logger], most: int = 500) -> None:
        self._log = log
        self._most = most
        self._since = float("-inf")
        self._logged = 0
        self._held_back = 0

    def error(
        self, now: float, log: logging.LoggerAdapter[logging.Logger], text: str, *args: object, fault: BaseException
    ) -> None:
        """Logs `text % args` to `log` with the traceback of `fault`, unless there were too many in this second."""
        if now - self._since >= 1.0:
            self._since, self._logged = now, 0
            self._tell_held_back()
        if self._logged >= self._most:
            self._held_back += 1
            return
        self._logged += 1
        log.error(text, *args, exc_info=fault)

    def _tell_held_back(self) -> None:
        if self._held_back:
            held_back, self._held_back = self._held_back, 0
            self._log.error("%d more crashes were not logged, being more than %d in a second", held_back, self._most)
