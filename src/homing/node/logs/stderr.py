"""Lines on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..output import tell
from .texts import LONGEST_RECORD, escaped, exception_text, fitted, message_text, size_of, stack_text


class PlainFormatter(logging.Formatter):
    """Writes `LEVEL logger: message` and the exception, in at most `LONGEST_RECORD` bytes. Escapes control characters,
    which could steer a terminal, and indents all lines of a record but the first: the text of an exception may come
    from the network, and must not look like another record.

    prefix: written before each record, unchanged.
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        head = f"{fitted(record.levelname, 100)} {fitted(record.name, 200)}: "
        behind = exception_text(record), stack_text(record)
        room = LONGEST_RECORD - 500 - sum(map(size_of, behind))
        return self._prefix + lines_of(head + message_text(record, room), *behind)


def lines_of(first: str, *others: str) -> str:
    """Returns the texts that are not empty as lines of one record, escaped and indented."""
    text = "\n".join(filter(None, (first, *others)))
    return "\n  ".join(escaped(line) for line in text.split("\n"))


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
    handler.setFormatter(PlainFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)
