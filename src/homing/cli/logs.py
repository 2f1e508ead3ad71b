"""The log of a program on the command line. Control characters in received data cannot affect the terminal."""

from __future__ import annotations

import logging

from ..node.logs import StderrHandler


def log_to_stderr(level: str, formatter: logging.Formatter) -> None:
    """Prints the log to stderr. Does nothing if logging has been set up already."""
    handler = StderrHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])
