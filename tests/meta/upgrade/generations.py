"""What the tests of upgrades share: a second node of the same name, and successors made by hand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import homing
from homing import gen, meta
from homing.meta.upgrade.channel import PROTOCOL, Channel, connect

from ...support import eventually


@asynccontextmanager
async def running(node: homing.Node) -> AsyncIterator[homing.Node]:
    """Another node of the same name."""
    options = gen.NodeOptions(handle_signals=False, stop_timeout=2.0, slow_callback_seconds=None)
    async with homing.start_node(node.name, options) as other:
        yield other


async def offered(node: homing.Node, path: str) -> None:
    """The node can be taken over from."""
    async with meta.TakeOver(node, path) as taken:
        assert taken.predecessor is None


async def stopped(node: homing.Node) -> None:
    await eventually(lambda: node.info().state == "stopped")


async def enter(node: homing.Node, path: str) -> None:
    """Tries to take over, which is to be refused."""
    async with meta.TakeOver(node, path):
        raise AssertionError("it was not refused")


async def connected(path: str) -> Channel:
    channel = await connect(path, 5.0)
    assert channel is not None
    return channel


async def successor(node: homing.Node, path: str) -> Channel:
    """A successor made by hand, which has got the sockets."""
    channel = await connected(path)
    await channel.send("hello", protocol=PROTOCOL, node=node.name)
    for descriptor in (await channel.receive_descriptors("sockets"))[1]:
        os.close(descriptor)
    return channel
