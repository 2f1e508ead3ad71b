"""The log of a program on the command line. Control characters in received data cannot affect the terminal."""

from __future__ import annotations

import logging

from ..node.logs import PlainFormatter, StderrHandler


def log_to_stderr(level: str, text: str, prefix: str = "") -> None:
    """Prints the log to stderr. Does nothing if logging has been set up already."""
    handler = StderrHandler()
    handler.setFormatter(PlainFormatter(text, prefix))
    logging.basicConfig(level=level, handlers=[handler])
