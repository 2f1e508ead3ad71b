"""The log of a program on the command line: plain lines, whatever strangers have sent."""

from __future__ import annotations

import logging

from ..node.output import tell


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


class StderrHandler(logging.Handler):
    """Writes records to stderr. What nobody there takes is lost, and counted: see `node.output`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tell(self.format(record))
        except Exception:
            self.handleError(record)


def log_to_stderr(level: str, text: str, prefix: str = "") -> None:
    """Has the log printed. Does nothing where logging has been set up."""
    handler = StderrHandler()
    handler.setFormatter(PlainFormatter(text, prefix))
    logging.basicConfig(level=level, handlers=[handler])
