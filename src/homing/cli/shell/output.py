"""Prints the answers of a node on stdout: for people at a terminal, otherwise uncut and without colors."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ..saying import say
from .asking import stream
from .columns import for_answer, missing
from .table import Column, Row, layout, lines
from .values import text

MOST_COLUMNS = 1_000_000
"""Columns of an output that is no terminal: no line is cut."""


def show_json(value: Any) -> None:
    """Prints a record as it came."""
    write(json.dumps(value, indent=2))


def show_table(columns: list[Column], answer: Row, rows: str, what: str) -> None:
    """Prints a table, and on stderr what is missing in it. rows: their field in the answer. what: their name."""
    records, total = answer[rows], answer["total"]
    found = layout(for_answer(columns, answer), records, terminal_width())
    show(lines(found, records))
    for line in missing(answer):
        say(f"({line})")
    if len(records) < total:
        say(f"({len(records)} of {total} {what}; --limit shows more)")
    if found.left_out and sys.stdout.isatty():
        say(f"(no room for {', '.join(found.left_out)}; `| cat` shows all)")


def show_done(answer: Row, lines_of: Callable[[Row], Iterable[str]], as_json: bool) -> None:
    """Says what a change has done, on each node if several were asked. Ends the command with 1 if one of these has not
    done it."""
    failed = answer.get("missing", {})
    if as_json:
        show_json(answer)
    else:
        for node, one in answer.get("nodes", {"": answer}).items():
            for line in lines_of(one):
                write(text(f"{node}: {line}" if node else line))
        for node, why in failed.items():
            say(f"{node}: not done: {why}")
    if failed:
        raise typer.Exit(1)


def show_stream(command: str, node: str, request: Row, text_of: Callable[[Row], str], as_json: bool) -> None:
    """Prints the items of a stream, until it ends, or Ctrl-C ends the command."""
    try:
        for item in stream(command, node, request):
            if as_json:
                write(json.dumps(item))
                continue
            for line in missing(item):
                say(f"({line})")
            if set(item) != {"missing"} and (shown := text_of(item)):
                write(shown)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def terminal_width() -> int | None:
    """Returns the number of columns of the terminal; None if stdout is not a terminal."""
    return _console(io.StringIO()).width if sys.stdout.isatty() else None


def show(shown: Iterable[Text]) -> None:
    """Prints lines, with colors if stdout is a terminal and NO_COLOR is not set."""
    memory = io.StringIO()
    console = _console(memory)
    for line in shown:
        console.print(line, soft_wrap=True)
    write(memory.getvalue().rstrip("\n"))


def _console(file: io.StringIO) -> Console:
    terminal = sys.stdout.isatty()
    width = None if terminal else MOST_COLUMNS
    return Console(file=file, force_terminal=terminal, width=width, markup=False, highlight=False, emoji=False)


def write(text: str) -> None:
    """Prints a text. If nobody reads it any more (`homing ps | head -1`), ends the command quietly."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError as error:
        # The rest of the buffer would fail again at the end of the program.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(0) from None
        say(f"homing: the output cannot be written: {error.strerror}")
        raise typer.Exit(1) from None
