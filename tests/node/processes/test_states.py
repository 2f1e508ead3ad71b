"""The states that processes and meta-processes go through, compared with the table of `gen.state`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.gen import TRANSITIONS, ProcessState
from homing.node.mailbox.lane import COMPILED
from homing.node.scheduling.activity import Activity
from homing.node.scheduling.owned_mailbox import OwnedMailbox

from ...support import eventually

Change = tuple[ProcessState, ProcessState]

pytestmark = pytest.mark.skipif(COMPILED, reason="compiled code sets the field without telling; it is the same source")


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Change]]:
    """The changes of state that are made in a test, all of which have to be in the table."""
    slot: Any = vars(OwnedMailbox)["state"]
    found: set[Change] = set()

    def change(activity: Activity, state: ProcessState) -> None:
        try:
            before = slot.__get__(activity)
        except AttributeError:
            before = state  # it is being made
        if before is not state:
            found.add((before, state))
        slot.__set__(activity, state)

    monkeypatch.setattr(OwnedMailbox, "state", property(slot.__get__, change))
    yield found
    assert found <= {(state, after) for state in TRANSITIONS for after in TRANSITIONS[state]}


class Lives(act.Actor):
    """Does in its callbacks what it is sent."""

    def init(self, error: Exception | None = None) -> None:
        if error is not None:
            raise error

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await message(self)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return gen.NO_REPLY if request == "never" else request


class Adapter(gen.MetaBehavior):
    def __init__(self, ends: bool) -> None:
        self.ends = ends

    async def start(self) -> None:
        await asyncio.sleep(0 if self.ends else 60)


async def hang(actor: Any) -> None:
    await asyncio.sleep(60)


async def crash(actor: Any) -> None:
    raise LookupError("for the test")


async def end(node: homing.Node, pid: gen.PID) -> None:
    await eventually(lambda: pid not in node.processes())


async def test_processes_go_through_the_changes_of_the_table_and_no_others(
    node: homing.Node, changes: set[Change]
) -> None:
    echo = await node.spawn(Lives)
    tasks: list[asyncio.Task[Any]] = []

    async def ask(actor: Any) -> None:
        await actor.call(echo, "now")

    async def wait(actor: Any) -> None:
        await actor.call(echo, "never", timeout=60)

    async def leave_behind(actor: Any) -> None:
        tasks.append(asyncio.ensure_future(actor.call(echo, "never", timeout=60)))
        await asyncio.sleep(0)

    with pytest.raises(LookupError):
        await node.spawn(Lives, LookupError("in init"))
    for message in (hang, crash, wait):
        pid = await node.spawn(Lives)
        await node.call(pid, "sleeps again")
        node.send(pid, message)
        state = ProcessState.WAIT_RESPONSE if message is wait else ProcessState.RUNNING
        if message is not crash:
            await eventually(lambda pid=pid, state=state: node.process_info(pid).state is state)
            node.kill(pid)
        await end(node, pid)
    pid = await node.spawn(Lives)
    for message in (ask, leave_behind):
        node.send(pid, message)
    await eventually(lambda: tasks and node.process_info(pid).state is ProcessState.SLEEP)
    node.kill(pid)
    await end(node, pid)
    tasks[0].cancel()
    expected = {(state, after) for state in TRANSITIONS for after in TRANSITIONS[state]}
    assert changes == expected


async def test_meta_processes_go_through_changes_of_the_table(node: homing.Node, changes: set[Change]) -> None:
    class Owner(act.Actor):
        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return await self.spawn_meta(request)

    owner = await node.spawn(Owner)
    first = await node.call(owner, Adapter(ends=True))
    await eventually(lambda: first not in node.process_info(owner).metas)
    await node.call(owner, Adapter(ends=False))
    node.kill(owner)
    await end(node, owner)
    assert (ProcessState.INIT, ProcessState.SLEEP) in changes
    assert (ProcessState.ZOMBIE, ProcessState.TERMINATED) in changes


async def test_a_process_on_a_thread_goes_through_changes_of_the_table(node: homing.Node, changes: set[Change]) -> None:
    pid = await node.spawn(Lives, options=gen.ProcessOptions(thread=True))
    await node.call(pid, "sleeps again")
    node.send(pid, crash)
    await end(node, pid)
    assert (ProcessState.RUNNING, ProcessState.ZOMBIE) in changes
