"""Nodes of one program that see each other as nodes of a cluster, without a network: what an observer asks goes from
one to another by `Node.call`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import homing
from homing import gen
from homing.observe import answer_cluster


def info(name: str, **facts: Any) -> gen.RemoteNodeInfo:
    """A node as another one sees it."""
    plain: dict[str, Any] = {
        "creation": 1,
        "up": True,
        "since": time.time() - 5,
        "addresses": ("tcp/127.0.0.1:7447",),
        "tags": (),
        "weight": 1,
        "draining": False,
        "in_flight": 0,
        "waiting": 0,
        "rtt": 0.0002,
        "undelivered": {},
        **dict.fromkeys(("messages_in", "messages_out", "batches_in", "batches_out"), 0),
        **dict.fromkeys(("bytes_in", "bytes_out", "dropped", "resets"), 0),
    }
    return gen.RemoteNodeInfo(name, **{**plain, **facts})


class Member:
    """The cluster as one node knows it. infos: the others."""

    name = "prod"
    addresses = ("tcp/127.0.0.1:7447",)
    draining = False

    def __init__(self, **options: Any) -> None:
        self.options = gen.ClusterOptions(name="prod", **options)
        self.infos: list[gen.RemoteNodeInfo] = []

    def nodes(self) -> list[gen.RemoteNodeInfo]:
        return self.infos


class Clusters:
    """All members, by the names of their nodes. answers: what a node says instead of its own answer: an error or any
    value."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.members: dict[str, Member] = {}
        self.nodes: dict[str, homing.Node] = {}
        self.answers: dict[str, Any] = {}
        call = homing.Node.call

        def member(node: homing.Node) -> Member:
            if node.name not in self.members:
                raise gen.NotAllowed("this node is in no cluster")
            return self.members[node.name]

        async def called(node: homing.Node, to: Any, request: Any, **more: Any) -> Any:
            if not isinstance(to, gen.ProcessID) or to.node == node.name:
                return await call(node, to, request, **more)
            answer = self.answers.get(to.node)
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer
            return await call(self.nodes[to.node], to, request, **more)

        patch.setattr(homing.Node, "cluster", property(member), raising=False)
        patch.setattr(homing.Node, "call", called)

    def join(self, node: homing.Node, **options: Any) -> Member:
        """Makes a node a member. It sees those that have joined before, and these see it."""
        member = Member(**options)
        for name, other in self.members.items():
            other.infos.append(info(node.name))
            member.infos.append(info(name))
        self.members[node.name], self.nodes[node.name] = member, node
        return member

    @asynccontextmanager
    async def running(self, *names: str, inspect: bool = True) -> AsyncIterator[list[homing.Node]]:
        """Nodes of a cluster, which let others look into them."""
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(homing.start_node(name)) for name in names]
            for node in nodes:
                self.join(node, inspect=inspect)
                if inspect:
                    await answer_cluster(node)
            yield nodes
