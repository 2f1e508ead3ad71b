"""The log of a program on the command line: plain lines, whatever strangers have sent."""

from __future__ import annotations

import logging

from ..node.logs import PlainFormatter, StderrHandler


def log_to_stderr(level: str, text: str, prefix: str = "") -> None:
    """Has the log printed. Does nothing where logging has been set up."""
    handler = StderrHandler()
    handler.setFormatter(PlainFormatter(text, prefix))
    logging.basicConfig(level=level, handlers=[handler])
