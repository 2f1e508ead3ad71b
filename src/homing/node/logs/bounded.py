"""Records that processes and strangers can cause, such as crashes: how they are made, and how many are logged."""

from __future__ import annotations

import logging
from typing import NamedTuple

from ...gen.foreign import class_name, clipped, safe_str, traceback_of
from .complaints import handler_failed
from .tracebacks import TRACEBACK_LIMIT, raised_at, traceback_text

_PREFIX = 100
"""Approximate bytes that a handler writes before a record: the time, the level, the logger."""


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
    if not log.isEnabledFor(level):
        return 0
    logger = log.logger
    told = tuple(arg if type(arg) in (str, int, float) else safe_str(arg) for arg in args)
    trace = None if fault is None else traceback_text(fault)
    exc_info = None if fault is None else (type(fault), fault, traceback_of(fault))
    if fault is not None and place is _NOWHERE:
        place = Place(*(raised_at(fault) or _NOWHERE))
    path, line, function, stack = place
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


class RateLimited:
    """Logs the first record of a kind, then at most one per `interval` seconds with the number held back meanwhile.
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
        self._write(now, kind, logging.WARNING, text, args, None)

    def error(self, now: float, text: str, *args: object, fault: BaseException) -> None:
        """Logs `text % args` as an error with the traceback of `fault`; its kind is the class of `fault`."""
        self._write(now, class_name(fault), logging.ERROR, text, args, fault)

    def _write(
        self, now: float, kind: str, level: int, text: str, args: tuple[object, ...], fault: BaseException | None
    ) -> None:
        last = self._last.get(kind)
        if last is not None and now - last < self._interval:
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return
        self._last[kind] = now
        held_back = self._held_back.pop(kind, 0)
        if held_back:
            text, args = text + " (and %d more like it)", (*args, held_back)
        self._whole.write(now, self._log, level, text, args, fault=fault)


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
