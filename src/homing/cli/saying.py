"""Text for the person at the terminal, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

import typer

from ..gen import BadConfiguration
from ..node.output import tell


class Style:
    """How texts are printed. formatter: as log records, so that stderr has nothing but these; None: as they are."""

    formatter: logging.Formatter | None = None


def say(text: str, level: int = logging.INFO) -> None:
    """Prints `text` on stderr, without characters that would control the terminal."""
    if Style.formatter is not None:
        record = logging.LogRecord("homing.cli", level, __file__, 0, text.strip("\n"), None, None)
        tell(Style.formatter.format(record))
        return
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    for line in text.split("\n"):
        tell(printable(line, encoding))


def printable(text: str, encoding: str | None) -> str:
    """Returns `text` in `encoding`, without characters that control a terminal: names of a program may hold any."""
    clean = "".join(sign if sign.isprintable() else "?" for sign in text)
    return clean.encode(encoding or "ascii", "replace").decode(encoding or "ascii")


def fail(command: str, text: str, code: int) -> NoReturn:
    """Says why `homing command` fails, and ends it with the exit code `code`. 2: the command line was wrong."""
    say(f"homing {command}: {text}", logging.ERROR)
    raise typer.Exit(code)


def fail_configuration(command: str, error: BadConfiguration) -> NoReturn:
    """Says all that is wrong with a file or with environment variables, and ends the command with exit code 2."""
    for problem in error.problems:
        say(f"homing {command}: {problem}", logging.ERROR)
    raise typer.Exit(2)
