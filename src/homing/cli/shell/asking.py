"""Asks a node on behalf of a command. Failures become messages on stderr and exit codes.

0    the node has answered
1    no node runs, it does not answer, or it has refused the request
2    the command line was wrong: an option that the node does not take, or a name that none or several of the nodes have
130  Ctrl-C
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..saying import fail

Answer = dict[str, Any]

_ADDRESS = re.compile(r"(?:Alias)?<(?P<node>[^<>]*)\.(?:\d+|'.*')>", re.DOTALL)


def ask(command: str, node: str, request: Answer) -> Answer:
    """Sends a request to the node that `node` names, "" for the only one, and returns its answer. Ends the command if
    that fails."""
    from ...observe.control.client import ask as send
    from ...observe.control.client import choose

    with failing(command):
        name, path = choose(node or None)
        return send(name, path, request)
    raise AssertionError("unreachable")


def stream(command: str, node: str, request: Answer) -> Iterator[Answer]:
    """Sends a request and yields the items of the stream until it ends. Ends the command if that fails."""
    from ...observe.control.client import ask as send
    from ...observe.control.client import choose
    from ...observe.control.client import stream as items

    with failing(command):
        name, path = choose(node or None)
        send(name, path, {"what": "node"})  # a node that does not answer is named: a stream may be silent for long
        yield from items(name, path, request)


@contextmanager
def failing(command: str) -> Iterator[None]:
    """Ends the command if no node can be chosen or asked, or it refuses."""
    from ...observe import RequestRefused
    from ...observe.control.client import NotOneNode
    from ...observe.control.directory import ControlError

    try:
        yield
    except NotOneNode as error:
        fail(command, str(error), 2 if error.running else 1)
    except ControlError as error:
        fail(command, str(error), 1)
    except RequestRefused as error:
        fail(command, error.message, 2 if error.code == "bad_request" else 1)


def of_cluster(request: Mapping[str, Any]) -> Answer:
    """Returns the request that all nodes of the cluster answer."""
    return {"what": "cluster", "ask": dict(request)}


def node_of(target: str, node: str) -> str:
    """Returns the node to ask about a target: `node` if it was given, otherwise that in the text of an address."""
    found = None if node else _ADDRESS.fullmatch(target)
    return found["node"] if found is not None else node
