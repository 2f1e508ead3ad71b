"""`homing run --cluster` and `--workers`: programs that see each other, are looked into from each other, and end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from homing.cli.app import app
from homing.observe.control.remote import RemoteObserver
from homing.observe.watching import apply

from ..examples.test_examples import Program
from ..support import DEADLINE
from .nodes import run, run_to_the_end, the_end

pytest.importorskip("zenoh")

LOCAL = ("--listen", "tcp/127.0.0.1:0")
ADDRESS = re.compile(r"listens at (\S+?)(?:,|$)")
TARGET = "member:Counter"


@asynccontextmanager
async def member(runtime: Path, name: str, *options: str) -> AsyncIterator[Program]:
    """A node of the cluster `test`, from its banner on. `output` has the line that says where it listens."""
    async with run(runtime, TARGET, "--name", name, "--cluster", "test", *options) as running:
        await running.line_with("  cluster  ")
        await running.line_with("no UDP server listens yet")
        yield running


def address(running: Program) -> str:
    """Where the banner says that the node listens for others."""
    found = ADDRESS.search("".join(line for line in running.output if "  cluster  " in line).strip())
    assert found is not None, running.output
    return found[1]


async def until_it_sees(node: str, *names: str) -> None:
    """Waits until these, and no others, are the nodes of the cluster that a node sees, with itself."""
    state: Any = {}
    request = {"what": "watch", "interval": 0.1, "nodes": {}}
    async with asyncio.timeout(2 * DEADLINE), aclosing(RemoteObserver(node).stream(request)) as items:
        async for item in items:
            state = item["snapshot"] if "snapshot" in item else apply(state, item["delta"])
            up = sorted(row["name"] for row in state["nodes"]["rows"].values() if row["up"])
            if up == sorted(names):
                return
    raise AssertionError(f"{node} has ended")


async def ask_all(node: str, what: str, **fields: Any) -> dict[str, Any]:
    return await RemoteObserver(node).ask({"what": "cluster", "ask": {"what": what, **fields}})


async def test_a_node_is_looked_into_from_another_and_missed_when_it_is_killed(runtime: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(member(runtime, "a@localhost", *LOCAL))
        options = ("--join", address(first), "--cluster-inspect")
        second = await stack.enter_async_context(member(runtime, "b@localhost", *options))
        await until_it_sees("a@localhost", "a@localhost", "b@localhost")
        await until_it_sees("b@localhost", "a@localhost", "b@localhost")
        found = await ask_all("a@localhost", "processes", filter="counter")
        assert [row["node"] for row in found["processes"]] == ["a@localhost", "b@localhost"]
        found = await ask_all("b@localhost", "processes", filter="counter")
        assert [row["node"] for row in found["processes"]] == ["b@localhost"]
        assert "--cluster-inspect" in found["missing"]["a@localhost"]
        second.process.kill()
        await until_it_sees("a@localhost", "a@localhost")


async def test_a_name_and_an_address_that_are_taken_are_one_line_and_an_exit_code(runtime: Path) -> None:
    async with member(runtime, "a@localhost", *LOCAL) as first:
        options = ("--cluster", "test", "--no-control", "--name")
        code, out = await run_to_the_end(runtime, TARGET, *options, "a@localhost", "--join", address(first))
        assert code == 1
        assert "homing run: not started: the cluster has a node 'a@localhost' already" in out
        code, out = await run_to_the_end(runtime, TARGET, *options, "b@localhost", "--listen", address(first))
        assert code == 1
        assert f"homing run: not started: cannot listen at {address(first)}: Address already in use" in out


async def test_a_successor_joins_when_its_predecessor_has_left(runtime: Path) -> None:
    async with member(runtime, "a@localhost", *LOCAL) as first:
        join = ("--join", address(first))
        async with member(runtime, "b@localhost", *join) as before:
            options = (*join, "--listen", address(before), "--takeover")
            async with member(runtime, "b@localhost", *options) as successor:
                assert address(successor) == address(before)
                assert await the_end(before) == 0
                await until_it_sees("a@localhost", "a@localhost", "b@localhost")


async def test_a_placed_application_runs_on_its_owner_and_another_node_steps_in_when_that_is_killed(
    runtime: Path,
) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(member(runtime, "a@localhost", *LOCAL, "--place", "1"))
        await first.line_with("counter runs on node a@localhost")
        options = ("--join", address(first), "--place", "1")
        second = await stack.enter_async_context(member(runtime, "b@localhost", *options))
        await second.line_with("counter runs on node b@localhost")  # a better owner of that name
        await first.line_with("counter ends on node a@localhost")
        second.process.kill()
        await first.line_with("counter runs on node a@localhost")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--cluster", "test", "--listen", "tcp/0.0.0.0:7447"), "--listen='tcp/0.0.0.0:7447': other machines reach"),
        (("--cluster", ""), "--cluster='': give the name of the cluster"),
        (("--listen", "tcp/127.0.0.1:0"), "--listen needs it: give the name of the cluster"),
        (("--cluster", "test", "--cluster-secret", "nothing"), "--cluster-secret='nothing': cannot be read"),
        (("--workers", "2", "--processes", "2"), "--workers are OS processes already; leave --processes out"),
        (("--workers", "2", "--no-control"), "--workers needs the sockets that --no-control switches off"),
        (("--workers", "2", "--reload"), "--reload runs one OS process; leave --workers out"),
        (("--place", "1"), "--place chooses nodes of a cluster; give --cluster NAME"),
        (("--place", "0/x", "--cluster", "test"), "--place='0/x': give a number of nodes, or a number and a tag"),
        (("--place", "1", "--cluster", "test", "--takeover"), "--takeover starts the application at once, --place"),
    ],
)
@pytest.mark.usefixtures("runtime")
def test_options_that_do_not_fit_are_one_line_and_exit_code_2(options: tuple[str, ...], why: str) -> None:
    done = CliRunner().invoke(app, ["run", "homing.act:Actor", *options])
    assert done.exit_code == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_workers_are_nodes_of_a_cluster_and_one_that_is_killed_comes_back(runtime: Path) -> None:
    async with run(runtime, TARGET, "--name", "shop@localhost", "--workers", "2", "--cluster-inspect") as running:
        for _ in range(2):
            await running.line_with("no UDP server listens yet")
        workers = ("shop-1@localhost", "shop-2@localhost")
        for worker in workers:
            await until_it_sees(worker, *workers)
        found = await RemoteObserver("shop@localhost").ask({"what": "cluster", "ask": {"what": "node"}})
        first = {one["name"]: one["os_pid"] for one in found["nodes"]}
        assert set(first) == set(workers)
        found = await RemoteObserver("shop@localhost").ask({"what": "nodes"})
        assert [(row["node"], row["own"]) for row in found["nodes"]] == [
            *((worker, own) for worker in workers for own in (True, False)),
        ]
        os.kill(first[workers[0]], signal.SIGKILL)
        await running.line_with("a process was ended by signal 9: it is started again")
        await running.line_with("no UDP server listens yet")
        for worker in workers:
            await until_it_sees(worker, *workers)
        running.process.send_signal(signal.SIGTERM)
        assert await the_end(running) == 0
