"""The tree: each process once, under what it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen

from .actors import Meta
from .applications import Member, Noted, member


async def child_of(node: homing.Node, parent: gen.PID | str, name: str | None = None) -> gen.PID:
    pid: gen.PID = await node.call(parent, lambda actor: actor.spawn(Member, [], name=name))
    return pid


def names(trees: tuple[gen.ProcessTree, ...]) -> dict[str | None, Any]:
    """The tree as nested dictionaries of names."""
    return {tree.info.name: names(tree.children) for tree in trees}


async def test_processes_stand_under_applications_and_parents_in_the_order_of_their_start(node: homing.Node) -> None:
    await node.application_load(Noted(members=("a", "b")))
    await node.application_load(Noted("idle"))
    await node.application_start("app")
    await node.spawn(Member, [], name="lone")
    for parent, name in (("b", "b1"), ("a", "a1"), ("b", "b2"), ("b1", "b11"), ("lone", "lone1")):
        await child_of(node, parent, name)
    tree = node.tree()
    app, idle = tree.applications
    assert names(app.processes) == {"a": {"a1": {}}, "b": {"b1": {"b11": {}}, "b2": {}}}
    assert list(names(app.processes)["b"]) == ["b1", "b2"]
    assert names(tree.processes) == {"lone": {"lone1": {}}}
    assert (app.info.name, app.info.state, idle.info.name, idle.processes) == (
        "app",
        gen.ApplicationState.RUNNING,
        "idle",
        (),
    )
    assert tree.info.processes == 8


async def test_the_tree_holds_the_snapshots_of_processes_and_their_meta_processes(node: homing.Node) -> None:
    pid = await node.spawn(Member, [], name="owner")
    alias = await node.call(pid, lambda actor: actor.spawn_meta(Meta()))
    (tree,) = node.tree().processes
    assert (tree.info.pid, tree.info.metas, tree.info.kind) == (pid, (alias,), "actor")
    assert [(meta.id, meta.behavior, meta.parent) for meta in tree.metas] == [(alias, "Meta", pid)]


async def test_a_process_that_has_outlived_its_parent_stands_under_its_application_or_under_the_node(
    node: homing.Node,
) -> None:
    await node.application_load(Noted(members=("a", "b")))
    await node.application_start("app")
    await node.spawn(Member, [], name="lone")
    for parent, name in (("a", "a1"), ("a1", "a11"), ("lone", "lone1")):
        await child_of(node, parent, name)
    node.kill(node.application_info("app").members[0])
    node.kill(node.process_info("lone").pid)
    tree = node.tree()
    assert names(tree.applications[0].processes) == {"b": {}, "a1": {"a11": {}}}
    assert names(tree.processes) == {"lone1": {}}


async def test_what_belonged_to_an_application_that_was_unloaded_stands_under_the_node(node: homing.Node) -> None:
    await node.application_load(Noted(members=("a",)))
    await node.application_start("app")
    await child_of(node, "a", "left")
    await node.application_stop("app")
    node.application_unload("app")
    assert names(node.tree().processes) == {"left": {}}
    assert node.process_info("left").application == "app"


async def test_of_many_children_so_many_are_shown_and_the_rest_is_counted(node: homing.Node) -> None:
    await node.application_load(Noted(members=("a", "b", "c")))
    await node.application_start("app")
    for number in range(5):
        await child_of(node, "a", f"a{number}")
    await child_of(node, "a4", "hidden")
    for _ in range(3):
        await node.spawn(Member, [])
    tree = node.tree(children=2)
    assert names(tree.applications[0].processes) == {"a": {"a0": {}, "a1": {}}, "b": {}}
    assert (tree.applications[0].more, tree.applications[0].processes[0].more) == (1, 3)
    assert (len(tree.processes), tree.more) == (2, 1)
    assert node.tree(0).processes == ()


@pytest.mark.parametrize("children", [-1, 1.5, "all", True])
async def test_a_number_of_children_that_is_none_is_refused(node: homing.Node, children: Any) -> None:
    with pytest.raises(gen.BadOption, match="children"):
        node.tree(children)


async def test_a_chain_of_thousands_is_no_deeper_than_the_stack(node: homing.Node) -> None:
    parent = await node.spawn(Member, [])
    for _ in range(3000):
        parent = await child_of(node, parent)
    (tree,) = node.tree().processes
    depth = 1
    while tree.children:
        (tree,) = tree.children
        depth += 1
    assert (depth, tree.info.pid) == (3001, parent)


async def test_pools_and_supervisors_tell_what_they_are(node: homing.Node) -> None:
    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=act.Actor, pool_size=2)

    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="workers", behavior=Workers),))

    await node.application_load(Noted(members=(member(Top, "top"),)))
    await node.application_start("app")
    (top,) = node.tree().applications[0].processes
    (workers,) = top.children
    kinds = [process.info.kind for process in (top, workers, *workers.children)]
    assert kinds == ["supervisor", "pool", "actor", "actor"]
    assert all(process.info.application == "app" for process in (top, workers, *workers.children))
