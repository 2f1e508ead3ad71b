"""Forks: every descriptor that the package opens for longer than a block is closed in a forked child."""

from __future__ import annotations

import ast
import os
import socket
from pathlib import Path

import pytest

import homing
from homing.datagram.sockets.forks import close_in_forks

PACKAGE = Path(homing.__file__).parent
OPENS = {"socket.socket", "UnixSocket", "os.dup", "os.open", "select.epoll", "socket.socketpair", "socket.fromfd"}
CLOSES = {"close_in_forks", "_closed_on_failure"}

TAKEN = {
    ("datagram/sockets/binding.py", "_duplicate"),  # by `duplicate`, which closes it in forks
    ("datagram/sockets/inherited.py", "__init__"),  # `detach` follows
    ("datagram/sockets/inherited.py", "lend"),  # the descriptor inside of what is closed in forks
    ("datagram/backend/watch.py", "__init__"),  # the watch closes it in forks
    ("datagram/capture/file.py", "_open_now"),  # the `CaptureFile` closes it in forks
    ("meta/upgrade/channel.py", "connect"),  # by its `Channel`
    ("datagram/sockets/inherited.py", "borrowed"),  # `detach` follows
    ("meta/upgrade/handed_sockets.py", "_entries"),  # by their `Inherited`
    ("node/output.py", "secure_standard_streams"),  # the standard streams belong to children as well
    ("node/output.py", "flush_or_discard"),
    ("datagram/sockets/shared/keeper.py", "__init__"),  # the other end is for the program that is started next
    ("datagram/sockets/shared/seat.py", "take_seat"),  # by its `Seat`
    ("datagram/sockets/change_options.py", "_new_like"),  # a block of its caller's closes it
}
"""What is closed in forks by somebody else, or before anything can fork."""


def unguarded(path: Path) -> set[str]:
    """The functions of a source that open a descriptor for longer than a block and leave it to forked children."""
    source = path.read_text()
    if not any(name in source for name in OPENS):
        return set()
    tree = ast.parse(source)
    fine: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.With | ast.AsyncWith):
            fine |= {inner for item in node.items for inner in ast.walk(item.context_expr)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in CLOSES:
            fine |= {inner for argument in node.args for inner in ast.walk(argument)}
        elif isinstance(node, ast.Try) and any("os.close" in ast.unparse(one) for one in node.finalbody):
            fine.add(node)
    found = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            closes = "os.close(descriptor)" in ast.unparse(function)
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in OPENS and node not in fine and not closes:
                    found.add(function.name)
    return found


@pytest.mark.parametrize("layer", ["datagram", "node", "act", "meta"])
def test_what_opens_a_descriptor_says_who_closes_it_in_a_fork(layer: str) -> None:
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        assert {(name, function) for function in unguarded(path)} <= TAKEN, name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_closes_what_lives_and_its_parent_keeps_it() -> None:
    kept, dropped = socket.socket(), socket.socket()
    with kept:
        close_in_forks(kept, socket.socket.close)
        close_in_forks(dropped, socket.socket.close).close()
        child = os.fork()
        if child == 0:
            os._exit(0 if kept.fileno() < 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert kept.fileno() >= 0
