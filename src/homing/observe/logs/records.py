"""The facts of a log record, bounded, as JSON has them. One schema: of `--log-format json`, `homing logs --json` and
the streams."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from math import isfinite
from typing import Any, TypedDict
from weakref import ref

from ...gen.foreign import qualified_name, safe_str
from ...node.logs.texts import (
    LONGEST_RECORD,
    exception_text,
    fault_of,
    fitted,
    message_text,
    size_of,
    stack_text,
)
from .origin import current_activity, peer_of

_LONGEST_FIELD = 200
"""Most bytes of a name or an address. Ten of them, and the names of the fields, are less than `_FIXED`."""

_FIXED = 2_600

_LONGEST_TEXT = 1_000
"""Most bytes of the text of an exception, which the traceback has too; and of all values of `extra`."""

_STANDARD = {
    *vars(logging.makeLogRecord({})),
    *("message", "asctime", "taskName", "node", "pid", "process_name", "alias", "behavior"),
}
"""Attributes of a record that are not the caller's own `extra`."""


class ExceptionFacts(TypedDict):
    """An exception that was logged.

    type: its class, with the module. text: its own text. traceback: the traceback with all causes, as Python prints it;
    the middle of a long one is left out.
    """

    type: str
    text: str
    traceback: str


class LogRecord(TypedDict):
    """A log record. As a line of JSON it has at most 16,000 bytes, whatever was logged: longer texts are cut, and tell
    their length.

    time: RFC 3339, in UTC, with milliseconds.
    level: "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", or the program's own.
    logger: its name, mostly a module.
    message: text. Lone surrogates are written as escape sequences.
    node, pid, name, behavior: the process that logged it; alias: the meta-process. Null for none.
    peer: source of the datagram that was being handled; null for none.
    exception: null for none. stack: the calls that led to the record, if it was logged with them.
    extra: the first values of the caller's own `extra`; null for none.
    """

    time: str
    level: str
    logger: str
    message: str
    node: str | None
    pid: str | None
    name: str | None
    behavior: str | None
    alias: str | None
    peer: str | None
    exception: ExceptionFacts | None
    stack: str | None
    extra: dict[str, Any] | None


class Suppressed(TypedDict):
    """An item of a stream of records. suppressed: how many records were left out here, because there were more than 200
    a second, or the reader is slow."""

    suppressed: int


class LevelChange(TypedDict):
    """Answer to `log_level`: the level that applies now, and what to; target and module null: the whole program."""

    level: str
    target: str | None
    module: str | None


def facts_of(record: logging.LogRecord) -> LogRecord:
    """Returns the facts of a record. Handlers that ask one after another get the same object."""
    global _latest
    known, facts = _latest
    if known() is not record:
        facts = _make(record)
        _latest = ref(record), facts
    return facts


def _make(record: logging.LogRecord) -> LogRecord:
    activity = current_activity()
    given = vars(record)
    if "pid" not in given and activity is not None:
        given = dict(activity.log_adapter.extra or {})
    trace, stack, extra = exception_text(record), stack_text(record), _extra(record)
    room = LONGEST_RECORD - _FIXED - size_of(trace) - size_of(stack) - (_LONGEST_TEXT if trace else 0)
    return {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _field(record.levelname) or "",
        "logger": _field(record.name) or "",
        "message": message_text(record, room - (_LONGEST_TEXT if extra else 0)),
        "node": _field(given.get("node")),
        "pid": _field(given.get("pid")),
        "name": _field(given.get("process_name")),
        "behavior": _field(given.get("behavior")),
        "alias": _field(given.get("alias")),
        "peer": peer_of(record, activity),
        "exception": _exception(record, trace),
        "stack": stack or None,
        "extra": extra,
    }


def _field(value: object) -> str | None:
    return None if value is None else fitted(safe_str(value, _LONGEST_FIELD), _LONGEST_FIELD)


def _exception(record: logging.LogRecord, trace: str) -> ExceptionFacts | None:
    fault = fault_of(record)
    if fault is None:  # a handler that passes records to another thread may keep only the text
        return {"type": "", "text": "", "traceback": trace} if trace else None
    kind = fitted(qualified_name(type(fault)), _LONGEST_FIELD)
    return {"type": kind, "text": fitted(safe_str(fault), _LONGEST_TEXT), "traceback": trace}


def _extra(record: logging.LogRecord) -> dict[str, Any] | None:
    """Returns what the caller has given as `extra`, as long as there is room."""
    found: dict[str, Any] = {}
    left = _LONGEST_TEXT
    for name, value in tuple(vars(record).items()):
        if name not in _STANDARD:
            key, shown = fitted(safe_str(name, 100), 100), _plain(value)
            left -= size_of(key) + size_of(str(shown)) + 6
            if left < 0:
                break
            found[key] = shown
    return found or None


def _plain(value: Any) -> Any:
    """Returns a value that JSON has, otherwise a short text."""
    if value is None or type(value) is bool or (type(value) is int and abs(value) < 2**53):
        return value
    if type(value) is float and isfinite(value):
        return value
    return fitted(safe_str(value, _LONGEST_FIELD), _LONGEST_FIELD)


_nobody = logging.makeLogRecord({})
_latest: tuple[ref[logging.LogRecord], LogRecord] = ref(_nobody), _make(_nobody)
