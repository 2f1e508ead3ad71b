"""The runtime's hooks: no attribute of a user's class is taken for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.gen.behavior import takes_batches
from homing.gen.hooks import MetaHooks, ProcessHooks

from ..support import eventually

HOOKS = (
    "_kind",
    "_forwards",
    "_configure",
    "_succeeds",
    "_succeeds_orderly",
    "_terminate_timeout",
    "_bind",
    "_handler",
    "_take_main",
    "_idle",
    "_linger",
    "_orphaned",
    "_adopts",
    "_transferred",
    "kind",
    "forwards",
    "configures",
    "configure",
    "succeeds",
    "succeeds_orderly",
    "terminate_timeout",
    "handler",
    "idle",
    "linger",
    "adopts",
    "orphaned",
    "transferred",
    "hooks",
)
"""The names of hooks, as they are and as they once were."""


class Echo(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


class Two(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=Echo, pool_size=2)


class OneRoute(act.Router):
    def init(self) -> act.RouterOptions:
        return act.RouterOptions(routes=(act.RouteSpec(name="echo", behavior=Echo),))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return "echo"


class Keeper(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="echo", behavior=Echo),))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request


BASES = {"actor": Echo, "pool": Two, "router": OneRoute, "supervisor": Keeper}


@pytest.mark.parametrize("kind", BASES)
async def test_attributes_of_a_users_class_with_the_names_of_hooks_have_no_effect(kind: str, node: homing.Node) -> None:
    mine = object()
    users = type("Users", (BASES[kind],), dict.fromkeys(HOOKS, mine))
    pid = await node.spawn(users)
    assert await node.call(pid, "as ever") == "as ever"
    assert node.process_info(pid).kind == kind
    node.send_exit(pid, gen.TerminateShutdown)
    await eventually(lambda: pid not in node.processes())


async def test_attributes_of_a_users_object_with_the_names_of_hooks_have_no_effect(node: homing.Node) -> None:
    class Users(Echo):
        def __init__(self) -> None:
            for name in (*HOOKS, "_runtime_hooks"):
                setattr(self, name, 7)

    pid = await node.spawn(Users)
    assert await node.call(pid, "as ever") == "as ever"


async def test_attributes_of_a_meta_behavior_with_the_names_of_hooks_have_no_effect(node: homing.Node) -> None:
    class Adapter(gen.MetaBehavior):
        async def start(self) -> None:
            await homing_forever(node)

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return request

    for name in HOOKS:
        setattr(Adapter, name, object())

    class Owner(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return await self.call(await self.spawn_meta(Adapter()), request)

    assert await node.call(await node.spawn(Owner), "as ever") == "as ever"


async def homing_forever(node: homing.Node) -> None:
    await node.wait()


@pytest.mark.parametrize("base", [*BASES.values(), gen.MetaBehavior, meta.UDPServer, meta.UDPClient])
def test_a_behavior_base_shows_no_hooks(base: type) -> None:
    for hooks in (ProcessHooks, MetaHooks):
        for name in _public(hooks):
            assert not hasattr(base, name) or name == "process", name


def _public(kind: type) -> Iterator[str]:
    return (name for name in vars(kind) if not name.startswith("_") and name not in ("behavior", "forwards"))


def test_every_hook_is_documented() -> None:
    for hooks in (ProcessHooks, MetaHooks):
        for name in _public(hooks):
            value = vars(hooks)[name]
            assert not callable(value) or value.__doc__, name


# --- batches ---------------------------------------------------------------------------------------------------


class Batches(act.Actor):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        """Takes them."""


class AsynchronousBatches(act.Actor):
    async def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        """Takes them."""


class BatchesOfAMeta(gen.MetaBehavior):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        """Takes them."""


def test_handle_datagrams_is_declared_where_the_other_callbacks_are() -> None:
    assert "datagrams" in (gen.ProcessBehavior.handle_datagrams.__doc__ or "")


@pytest.mark.parametrize("kind", [Batches, AsynchronousBatches, BatchesOfAMeta, type("Derived", (Batches,), {})])
def test_a_class_that_defines_handle_datagrams_takes_batches(kind: type) -> None:
    assert takes_batches(kind)


@pytest.mark.parametrize("kind", [gen.ProcessBehavior, gen.MetaBehavior, *BASES.values()])
def test_a_class_that_only_inherits_its_declaration_takes_none(kind: type) -> None:
    assert not takes_batches(kind)
