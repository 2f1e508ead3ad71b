"""The pytest plugin, in a pytest of its own: with pytest-asyncio and without it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ..support import DEADLINE

ROOT = Path(__file__).parents[2]
ACTORS = """
from homing import act, gen, meta

class Echo(act.Actor):
    async def init(self, port=0):
        guard = meta.ReplyGuard(burst=200)
        self.server = await meta.listen_udp(self, host="10.0.0.1", port=53, reply_guard=guard)

    def handle_message(self, sender, message):
        self.reply(message, b"OK: " + message.data)

class Doer(act.Actor):
    def handle_message(self, sender, message):
        raise ValueError(message)

    def handle_call(self, sender, ref, request):
        return request
"""


class Inner:
    """A directory of tests, and the pytest that runs them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def run(self, tests: str, *arguments: str, asyncio: bool = False) -> subprocess.CompletedProcess[str]:
        (self._path / "test_inner.py").write_text(ACTORS + tests)
        plugins = ["-p", "pytest_homing"]
        if asyncio:
            plugins += ["-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function"]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "-rA", *plugins, *arguments]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
        return subprocess.run(
            command, cwd=self._path, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )

    def passes(self, tests: str, *, asyncio: bool = False) -> None:
        done = self.run(tests, asyncio=asyncio)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def inner(tmp_path: Path) -> Inner:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return Inner(tmp_path)


ON_THE_VIRTUAL_LOOP = """
def test_a_minute_takes_no_time(virtual_loop, fake_network, homing_node):
    import asyncio

    async def main():
        await homing_node.spawn(Echo)
        with fake_network.socket("10.0.0.2") as peer:
            peer.send(b"q", ("10.0.0.1", 53))
            assert (await peer.receive())[0] == b"OK: q"
        await asyncio.sleep(60)

    virtual_loop.run_until_complete(main())
    assert virtual_loop.time() >= 60
"""

IN_A_COROUTINE = """
import asyncio, pytest

@pytest.mark.asyncio
async def test_the_node_runs_on_the_loop_of_the_test(homing_node, fake_network):
    await homing_node.spawn(Echo)
    with fake_network.socket("10.0.0.2") as peer:
        peer.send(b"q", ("10.0.0.1", 53))
        assert (await peer.receive())[0] == b"OK: q"
"""


@pytest.mark.parametrize("asyncio", [False, True], ids=["without pytest-asyncio", "with it"])
def test_a_plain_test_has_a_node_in_virtual_time(inner: Inner, asyncio: bool) -> None:
    inner.passes(ON_THE_VIRTUAL_LOOP, asyncio=asyncio)


def test_a_coroutine_has_a_node_on_its_loop(inner: Inner) -> None:
    inner.passes(IN_A_COROUTINE, asyncio=True)


def test_a_coroutine_without_pytest_asyncio_is_told_what_it_needs(inner: Inner) -> None:
    done = inner.run("\nasync def test_it(homing_node): pass\n")
    assert "needs pytest-asyncio" in done.stdout


CRASHES = """
import pytest

async def crash(node):
    import asyncio
    node.send(await node.spawn(Doer), "boom")
    await asyncio.sleep(0.001)

def test_a_process_crashes(virtual_loop, homing_node):
    virtual_loop.run_until_complete(crash(homing_node))

@pytest.mark.homing_crashes
def test_a_crash_is_expected(virtual_loop, homing_node):
    virtual_loop.run_until_complete(crash(homing_node))
"""


def test_a_crash_fails_the_test_unless_it_is_expected(inner: Inner) -> None:
    done = inner.run(CRASHES)
    assert "a process has crashed, see the log" in done.stdout
    assert "ValueError: boom" in done.stdout
    assert "ERROR test_inner.py::test_a_process_crashes" in done.stdout
    assert "ERROR test_inner.py::test_a_crash_is_expected" not in done.stdout


def test_a_crash_fails_a_coroutine_too(inner: Inner) -> None:
    test = "\nimport pytest\n@pytest.mark.asyncio\nasync def test_it(homing_node): await crash(homing_node)\n"
    done = inner.run(CRASHES + test, "-k", "test_it", asyncio=True)
    assert "a process has crashed" in done.stdout, done.stdout


def test_a_failure_shows_the_network_and_each_run_has_the_same(inner: Inner) -> None:
    test = "\ndef test_it(fake_network): assert not fake_network.seed, fake_network.seed\n"
    one, two = inner.run(test).stdout, inner.run(test).stdout
    seeds = [line for line in one.splitlines() if line.startswith("FakeNetwork(seed=")]
    assert seeds
    assert seeds == [line for line in two.splitlines() if line.startswith("FakeNetwork(seed=")]


def test_homing_is_imported_only_when_a_fixture_is_used(inner: Inner) -> None:
    (inner._path / "conftest.py").write_text(
        "import sys\n\ndef pytest_collection(session):\n    assert 'homing' not in sys.modules\n"
    )
    inner.passes("\ndef test_it(): pass\n")


def test_the_marker_is_known(inner: Inner) -> None:
    assert "homing_crashes" in inner.run("", "--markers").stdout


def test_the_distribution_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"homing": "pytest_homing"}
