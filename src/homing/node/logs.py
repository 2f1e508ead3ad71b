"""Logging with the standard library: node, PID and behavior in `extra`; and processes that receive log records.

Records that a log receiver logs while it handles records go to the ordinary handlers only, never to a receiver.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from time import monotonic
from traceback import format_exception, format_tb, walk_tb
from typing import TYPE_CHECKING, Any, NamedTuple

from ..gen import PID, NodeTerminated
from ..gen.foreign import clipped, safe_repr, safe_str, same
from .mailbox.envelope import LogEntry
from .output import tell

if TYPE_CHECKING:
    from ..gen import Alias
    from .core import Core

PROCESS_LOGGER = logging.getLogger("homing.process")
META_LOGGER = logging.getLogger("homing.meta")
NODE_LOGGER = logging.getLogger("homing.node")

TRACEBACK_LIMIT = 8000
"""Characters of a traceback in the log: some fifty frames. The middle of a longer traceback is left out."""

_PREFIX = 100
"""Approximate bytes that a handler writes before a record: the time, the level, the logger."""

_COMPLAINT_INTERVAL = 5.0
"""Seconds between two lines on stderr about handlers that raise."""


class PlainFormatter(logging.Formatter):
    """Escapes control characters, which could steer a terminal, and indents all lines of a record but the first: the
    text of an exception may come from the network, and must not look like another record.

    prefix: written before each record, unchanged.
    """

    def __init__(self, text: str, prefix: str = "") -> None:
        super().__init__(text)
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        return self._prefix + "\n  ".join(escaped(line) for line in super().format(record).split("\n"))


def escaped(line: str) -> str:
    """Returns `line` with each unprintable character as a Python escape sequence."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


class StderrHandler(logging.Handler):
    """Writes records to stderr. Records that cannot be written are lost, and counted: see `node.output`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tell(self.format(record))
        except Exception:
            self.handleError(record)


class _Unconfigured(StderrHandler):
    """Writes to stderr as long as the program has not set up logging."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


@contextmanager
def logging_configured() -> Iterator[None]:
    """A context in which Homing's records of level INFO or above go to stderr, unless the program has set up logging;
    if it does so later, its set-up applies from then on."""
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
    """A logger that adds node, pid, name, alias and behavior to each record, and keeps the caller's own `extra`. It
    does not raise the exceptions of the program's handlers and filters: see `hand_out`."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the record names the caller, not this function
        try:
            super().log(level, msg, *args, **kwargs)
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


class Place(NamedTuple):
    """The origin of a record: a line of code; `stack`: the calls that led there."""

    path: str
    line: int
    function: str
    stack: str = ""


_NOWHERE = Place(__file__, 0, "")


def hand_out(
    log: logging.LoggerAdapter[logging.Logger],
    level: int,
    text: str,
    args: tuple[object, ...],
    *,
    fault: BaseException | None = None,
    place: Place = _NOWHERE,
) -> int:
    """Logs `text % args`, with the traceback of `fault`, as from `place`. Returns the approximate bytes in a log file.

    The arguments are turned into short texts here, so that handlers call no method of the program's objects. An
    exception of a handler or filter is reported on stderr, at a bounded rate, and not raised.
    """
    logger = log.logger
    if not logger.isEnabledFor(level):
        return 0
    told = tuple(arg if type(arg) in (str, int, float) else safe_str(arg) for arg in args)
    trace = None if fault is None else traceback_text(fault)
    exc_info = None if fault is None else (type(fault), fault, _traceback_of(fault))
    path, line, function, stack = place if fault is None or place is not _NOWHERE else _raised_at(fault)
    extra = dict(log.extra or {})
    try:
        record = logger.makeRecord(
            logger.name,
            level,
            path,
            line,
            text,
            told,
            exc_info,
            function,
            extra,
            clipped(stack, TRACEBACK_LIMIT) or None,
        )
        record.exc_text = trace
        logger.handle(record)
    except Exception as error:
        handler_failed(error)
    written = "".join((text, *map(str, told), trace or "", stack[:TRACEBACK_LIMIT]))
    return _PREFIX + len(written.encode("utf-8", "backslashreplace"))


_traceback_of = BaseException.__dict__["__traceback__"].__get__


def _raised_at(fault: BaseException) -> Place:
    """Returns the line that raised `fault`."""
    place = _NOWHERE
    for frame, line in walk_tb(_traceback_of(fault)):
        place = Place(frame.f_code.co_filename, line, frame.f_code.co_name)
    return place


def traceback_text(fault: BaseException) -> str:
    """Returns an exception with its traceback and its causes, in about `TRACEBACK_LIMIT` characters, its own text in a
    thousand at most."""
    try:
        pieces = format_exception(type(fault), fault, _traceback_of(fault))
    except Exception:  # Python evaluates the exception's truth, its notes and more, and any of these may raise
        pieces = ["Traceback (most recent call last):", *format_tb(_traceback_of(fault)), safe_repr(fault)]
    text = "".join(clipped(piece.rstrip("\n")) + "\n" for piece in pieces)
    if len(text) > TRACEBACK_LIMIT:
        first, last = TRACEBACK_LIMIT // 4, TRACEBACK_LIMIT * 3 // 4
        text = f"{text[:first]}\n... {len(text) - first - last} characters left out ...\n{text[-last:]}"
    return text.rstrip("\n")


class Complaints:
    """Counts the handlers and filters that raised: `total`, and `untold` since the last line on stderr at `told_at`."""

    total = 0
    untold = 0
    told_at = float("-inf")


def handler_failed(error: BaseException) -> None:
    """Counts and reports a log handler or filter that raised. Reports nothing if `logging.raiseExceptions` is off."""
    now = monotonic()
    Complaints.total += 1
    Complaints.untold += 1
    if logging.raiseExceptions and now - Complaints.told_at >= _COMPLAINT_INTERVAL:
        untold, Complaints.told_at = Complaints.untold, now
        if tell(f"homing: a log handler raised {safe_repr(error)} ({untold} records since the last report)"):
            Complaints.untold -= untold


class Receiver(logging.Handler):
    """Delivers the node's log records to the log lane of a process, for its `handle_log`."""

    def __init__(self, core: Core, pid: PID, level: int) -> None:
        super().__init__(level)
        self._core = core
        self.pid = pid

    def emit(self, record: logging.LogRecord) -> None:
        node, pid = getattr(record, "node", self._core.name), getattr(record, "pid", None)
        if not same(node, self._core.name) or (type(pid) is PID and pid in self._core.log_receivers):
            return
        if threading.get_ident() == self._core.thread:
            self._put(record)
        else:
            try:
                self._core.from_thread(self._put, record)
            except NodeTerminated:
                pass  # the loop was closed before the node was stopped: the receiver cannot run any more

    def _put(self, record: logging.LogRecord) -> None:
        target = self._core.registry.routes.get(self.pid)
        if target is None:
            return  # the receiver is ending
        target.put_log(LogEntry(record))
        if not target.scheduled:
            self._core.scheduler.schedule(target)


class RateLimited:
    """Logs the first warning of a kind, then at most one per `interval` seconds with the number held back meanwhile.
    All of them stay within the limits of `whole`, the node's bounded log, as there may be many rate limits."""

    __slots__ = ("_held_back", "_interval", "_last", "_log", "_whole")

    def __init__(
        self, log: logging.LoggerAdapter[logging.Logger], whole: BoundedLog | None = None, interval: float = 5.0
    ) -> None:
        self._log = log
        self._whole = BoundedLog(log) if whole is None else whole
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
            text, args = text + " (and %d more like it)", (*args, held_back)
        self._whole.write(now, self._log, logging.WARNING, text, args)


class BoundedLog:
    """Limits the records that processes and datagrams cause, mostly crashes: to `most` records in each second, and to
    `rate` bytes a second with bursts of `burst` bytes. A flood of messages that crash a handler must not become a flood
    of tracebacks. The number of records held back is logged with the first record of a later second.

    500 a second is the burst limit of the log handlers of Erlang/OTP. A million bytes let one second of these through;
    8,000 bytes a second, four tracebacks, are 700 MB a day.
    """

    __slots__ = ("_burst", "_held_back", "_left", "_log", "_logged", "_most", "_rate", "_since")

    def __init__(
        self,
        log: logging.LoggerAdapter[logging.Logger],
        most: int = 500,
        burst: int = 1_000_000,
        rate: int = 8_000,
    ) -> None:
        self._log = log
        self._most = most
        self._burst = burst
        self._rate = rate
        self._since = float("-inf")
        self._logged = 0
        self._left = float(burst)
        self._held_back = 0

    def error(
        self, now: float, log: logging.LoggerAdapter[logging.Logger], text: str, *args: object, fault: BaseException
    ) -> None:
        """Logs `text % args` to `log` with the traceback of `fault`, within the limits."""
        self.write(now, log, logging.ERROR, text, args, fault=fault)

    def write(
        self,
        now: float,
        log: logging.LoggerAdapter[logging.Logger],
        level: int,
        text: str,
        args: tuple[object, ...],
        *,
        fault: BaseException | None = None,
        place: Place = _NOWHERE,
    ) -> None:
        """Like `hand_out`, within the limits."""
        if not log.isEnabledFor(level):
            return
        if now - self._since >= 1.0:
            self._left = min(self._burst, self._left + self._rate * (now - self._since))
            self._since, self._logged = now, 0
            if self._left > 0:
                self._tell_held_back()
        if self._logged >= self._most or self._left <= 0:
            self._held_back += 1
            return
        self._logged += 1
        self._left -= hand_out(log, level, text, args, fault=fault, place=place)

    def _tell_held_back(self) -> None:
        if self._held_back:
            held_back, self._held_back = self._held_back, 0
            text = "%d more records were not logged, being more than %d a second, or %d bytes a second in the long run"
            self._left -= hand_out(self._log, logging.ERROR, text, (held_back, self._most, self._rate))
