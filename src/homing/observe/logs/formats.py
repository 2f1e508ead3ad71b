"""How records are written: lines of JSON for machines, lines of text for people. For any handler of `logging`."""

from __future__ import annotations

import json
import logging
import re

from ...node.logs.stderr import lines_of
from .records import LogRecord, facts_of

_PLAIN = re.compile(r"[\w.:@<>/+-]+").fullmatch
_CONTEXT = ("node", "pid", "name", "behavior", "alias", "peer")


class JSONFormatter(logging.Formatter):
    """Writes each record as a line of JSON in ASCII, with the fields of `LogRecord`: at most 16,000 bytes of valid JSON
    whatever was logged."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(facts_of(record))


class TextFormatter(logging.Formatter):
    """Writes each record as `TIME LEVEL logger: message [facts]`, and behind it the exception, in at most 16,000 bytes.
    Control characters, which could steer a terminal, are escaped; all lines of a record but the first are indented.

    prefix: written before each record, unchanged.
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        return self._prefix + text_of(facts_of(record))


def text_of(facts: LogRecord) -> str:
    """Returns the facts of a record as `TextFormatter` writes them."""
    known = {name: facts[name] for name in _CONTEXT if facts[name] is not None}  # type: ignore[literal-required]
    told = " ".join(f"{name}={_value(value)}" for name, value in {**known, **(facts["extra"] or {})}.items())
    first, *others = facts["message"].split("\n")
    head = f"{facts['time']} {facts['level']} {facts['logger']}: {first}" + (f" [{told}]" if told else "")
    fault = facts["exception"]
    return lines_of(head, *others, "" if fault is None else fault["traceback"], facts["stack"] or "")


def _value(value: object) -> str:
    """Returns a value without quotes if its end is plain to see."""
    text = str(value)
    return text if _PLAIN(text) else json.dumps(text, ensure_ascii=False)
