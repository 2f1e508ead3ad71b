"""`homing reload`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from .parts import AS_JSON, NODE, NODE_OPTION, one_node


def reload(node: NODE = "", named: NODE_OPTION = "", as_json: AS_JSON = False) -> None:
    """Read the file of `homing run --config` again, and apply what can change.

    Prints the changes in force now, and those that need a restart.
    If anything in the file is wrong, nothing changes, and the exit code is 1.
    Needs `homing run --allow`. SIGHUP does the same without it.
    """
    from ..shell.asking import ask
    from ..shell.output import show_done

    answer = ask("reload", one_node(node, named), {"what": "reload"})
    show_done(answer, _lines, as_json)
    if any(each["failed"] for each in answer.get("nodes", {"": answer}).values()):
        raise typer.Exit(1)


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    from ..config.changes import Change

    yield from (f"applied: {Change(**change)}" for change in answer["applied"])
    yield from (f"needs a restart: {Change(**change)}" for change in answer["restart"])
    yield from (f"not applied: {text}" for text in answer["failed"])
    yield from (f"not used: {text}" for text in answer["unused"])
    if not (answer["applied"] or answer["restart"] or answer["failed"]):
        yield f"{answer['file']} was read again: nothing has changed"
