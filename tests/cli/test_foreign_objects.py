"""Objects of the program whose methods raise, where the command line shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.cli.run import _ended
from homing.observe import Observer
from homing.observe.tree import look

from .. import hostile
from ..hostile import Hostile, HostileMethod
from ..node.actors import Doer, throw
from ..support import eventually


class Facts(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise HostileMethod

    def __iter__(self) -> Iterator[str]:
        raise HostileMethod

    def __len__(self) -> int:
        raise HostileMethod


@pytest.mark.parametrize("name", hostile.ERRORS)
async def test_the_tree_of_a_node_shows_all_that_can_be_shown(node: homing.Node, name: str) -> None:
    class Parent(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=Doer),))

    class Shy(Parent):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=())

        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            return {"a": Hostile(), "b": [Hostile()]}

    class Closed(Shy):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            return Facts()

    await node.spawn(Parent)
    await node.spawn(Shy)
    await node.spawn(Closed)
    first = node._core.registry.names["child"].id
    node.send("child", throw(hostile.ERRORS[name]()))
    await eventually(lambda: "child" in node._core.registry.names and node._core.registry.names["child"].id != first)
    snapshot = json.loads(json.dumps(await look(Observer(node))))
    by_behavior = {process["behavior"]: process for process in snapshot["processes"]}
    assert by_behavior["Parent"]["facts"]["children"]
    assert "HostileMethod" in by_behavior["Shy"]["facts"]["a"]
    assert by_behavior["Closed"]["facts"] is None


@pytest.mark.parametrize("name", hostile.ERRORS)
def test_the_end_of_an_application_is_told_whatever_its_reason(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert _ended("name", hostile.ERRORS[name](), by_itself=True, clean=True) == 1
    assert "application name ended: " in capsys.readouterr().err
