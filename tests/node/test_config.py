"""The configuration of a node: read by processes, changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import homing
from homing import gen
from homing.node.node import internals

from ..support import Probe


@dataclass
class Limits:
    most: int = 3


class Raising:
    """An object of the program that cannot be compared."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("fault")


def change(node: homing.Node, **sections: Any) -> list[str]:
    return internals(node).core.configuration.change(gen.Configuration(sections=sections))


def test_a_section_that_is_not_given_has_the_defaults_of_its_class() -> None:
    assert gen.Configuration().section(Limits, "limits") == Limits()


def test_a_section_of_another_class_is_refused() -> None:
    configuration = gen.Configuration(sections={"limits": 5})
    with pytest.raises(gen.BadOption, match=r"config\['limits'\]=5: the program asks for a Limits, not a int"):
        configuration.section(Limits, "limits")


def test_a_section_without_values_is_refused_if_its_class_needs_some() -> None:
    @dataclass
    class Needy:
        url: str

    with pytest.raises(gen.BadOption, match=r"there is no such section, and .*url"):
        gen.Configuration().section(Needy, "")


@pytest.mark.parametrize("name", ["sections", "servers"])
def test_a_configuration_that_is_not_a_mapping_is_refused(name: str) -> None:
    with pytest.raises(gen.BadOption, match=f"{name}=5: give a mapping"):
        gen.Configuration(**{name: 5})  # type: ignore[arg-type]


def test_options_of_a_node_take_nothing_else_as_a_configuration() -> None:
    with pytest.raises(gen.BadOption, match=r"config=\{\}: give a gen.Configuration"):
        gen.NodeOptions(config={})  # type: ignore[arg-type]


async def test_a_process_and_the_node_read_the_same_values() -> None:
    options = gen.NodeOptions(config=gen.Configuration(sections={"limits": Limits(7)}))
    async with homing.start_node("test@localhost", options) as node:
        probe = await Probe.start(node)
        assert await probe.do(lambda actor: actor.config(Limits, "limits")) == Limits(7)
        assert node.config(Limits, "limits") == Limits(7)
        assert node.config(Limits) == Limits()


@pytest.mark.parametrize(("arguments", "text"), [((5,), "kind=5"), ((Limits, 5), "section=5")])
async def test_a_wrong_request_is_refused(arguments: tuple[Any, ...], text: str) -> None:
    async with homing.start_node("test@localhost") as node:
        with pytest.raises(gen.BadOption, match=text):
            node.config(*arguments)


async def test_a_process_that_has_asked_is_told_of_a_change_of_its_section_and_others_are_not() -> None:
    async with homing.start_node("test@localhost") as node:
        told, untold = await Probe.start(node), await Probe.start(node)
        await told.do(lambda actor: actor.config(Limits, "limits", notify=True))
        await told.do(lambda actor: actor.config(Limits, "limits", notify=True))
        await untold.do(lambda actor: actor.config(Limits, "limits"))
        assert change(node, limits=Limits(), other=Limits(4)) == []
        assert change(node, limits=Limits(4)) == ["limits"]
        assert await told.get() == gen.MessageConfig("limits", Limits(4))
        assert await told.do(lambda actor: actor.config(Limits, "limits")) == Limits(4)
        assert told.waiting() == untold.waiting() == []


async def test_a_change_that_a_section_does_not_fit_changes_nothing() -> None:
    async with homing.start_node("test@localhost") as node:
        probe = await Probe.start(node)
        for section in ("a", "b"):
            await probe.do(lambda actor, section=section: actor.config(Limits, section, notify=True))
        with pytest.raises(gen.BadOption):
            change(node, a=Limits(9), b=5)
        assert node.config(Limits, "a") == Limits()
        assert probe.waiting() == []


async def test_values_that_cannot_be_compared_count_as_changed() -> None:
    async with homing.start_node("test@localhost") as node:
        node.config(Raising, "odd")
        assert change(node, odd=Raising()) == ["odd"]


async def test_a_process_that_has_ended_or_has_a_full_mailbox_does_not_keep_others_from_the_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with homing.start_node("test@localhost") as node:
        gone, told = await Probe.start(node), await Probe.start(node)
        full = await Probe.start(node, options=gen.ProcessOptions(mailbox_size=1))
        for probe in (gone, full, told):
            await probe.do(lambda actor: actor.config(Limits, notify=True))
        node.kill(gone.pid)
        await gone.ended.wait()
        node.send(full.pid, "first")
        change(node, **{"": Limits(5)})
        assert await told.get() == gen.MessageConfig("", Limits(5))
        assert "was not told of the new configuration" in caplog.text
        assert str(gone.pid) not in caplog.text
