"""What the tests of services share: the address of a function's UDP server, and its counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from homing import Node, Service, gen

LOCAL: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
"""Options of a UDP server on a port that the system chooses."""


def service(name: str = "shop", **options: Any) -> Service:
    """A service that no other test has."""
    return Service(name, **options)


def processes(node: Node) -> Iterator[gen.ProcessTree]:
    """All processes of a node, parents first."""
    tree = node.tree()
    rest = [*tree.processes, *(process for application in tree.applications for process in application.processes)]
    while rest:
        process = rest.pop()
        yield process
        rest += process.children


def names(node: Node) -> set[str | None]:
    """The names of all processes."""
    return {process.info.name for process in processes(node)}


async def address(node: Node, name: str = "shop.echo") -> tuple[str, int]:
    """The address of the UDP server of the process `name`."""
    host, port = node.address_of(name)
    return host, port


async def failures(node: Node, name: str = "shop.echo") -> int:
    """How many calls of a function have failed."""
    facts = await node.inspect(name)
    return int(facts["failures"])
