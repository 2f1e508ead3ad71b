"""Completes arguments of the command in a shell: `homing --install-completion`."""

from __future__ import annotations

from collections import Counter

import typer

from ..gen import HomingError

MOST_NAMES = 200
"""Most names of processes that are proposed."""


def complete_node(incomplete: str) -> list[str]:
    """Returns the names of running nodes that begin with `incomplete`: the part before the @ if it is enough.

    Shells such as bash complete nothing behind an @, which separates words there.
    """
    from ..observe.control.client import running_nodes

    try:
        nodes = sorted(running_nodes())
    except (HomingError, OSError):
        return []  # an error would be printed over the line that the user types
    short = Counter(node.partition("@")[0] for node in nodes)
    names = [node.partition("@")[0] if short[node.partition("@")[0]] == 1 else node for node in nodes]
    return [name for name in names if name.startswith(incomplete)]


def complete_target(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the registered names of processes that begin with `incomplete`: of the node that the line names, or the
    only one."""
    from ..observe.control.client import ask, choose

    query = {"what": "processes", "sort": "name", "filter": incomplete, "limit": MOST_NAMES}
    given = context.params.get("node") or context.params.get("named")
    try:
        rows = ask(*choose(given or None), query)["processes"]
    except (HomingError, OSError):
        return []
    names = [row["name"] for row in rows if row["name"]]
    return [name for name in names if name.startswith(incomplete) and name.isprintable()]


def complete_server(incomplete: str) -> list[str]:
    """Returns the names of the servers of `homing demo` that begin with `incomplete`."""
    from .servers import names

    return [name for name in names() if name.startswith(incomplete)]
