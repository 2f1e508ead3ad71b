"""`homing demo NAME`: the servers of examples/servers, from the command line."""

from __future__ import annotations

from asyncio.subprocess import PIPE
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homing import act, gen
from homing.cli import completing, server_demo, servers

from ..examples.test_examples import Program, program, terminate
from ..support import UDPPeer

FOLDER = Path(__file__).parents[2] / "examples" / "servers"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
COMMAND = ("-m", "homing", "demo")


async def errors(running: Program) -> str:
    """The text on stderr of a program that has ended."""
    stderr = running.process.stderr
    assert stderr is not None
    return (await stderr.read()).decode()


async def test_a_server_runs_and_the_commands_of_its_clients_have_its_port(peer: UDPPeer) -> None:
    async with program(*COMMAND, "stun", "--port", "0") as running:
        port = (await running.line_with("stun listens on UDP 127.0.0.1:")).strip(".\n").rpartition(":")[2]
        assert await running.line_with("turnutils") == f"  turnutils_stunclient -p {port} 127.0.0.1\n"
        assert await peer.ask(b"hello", ("127.0.0.1", int(port))) == b"hello"
        assert await terminate(running) == 0
        await running.line_with("stopped in order")


async def test_a_server_ends_by_itself_after_some_seconds_on_another_host() -> None:
    async with program(*COMMAND, "stun", "--port", "0", "--host", "::1", "--seconds", "0.1") as running:
        await running.line_with("stun listens on UDP [::1]:")
        await running.line_with("stopped in order")
        assert await running.end() == 0


async def test_a_server_by_udp_and_tcp_names_both() -> None:
    pytest.importorskip("dns")
    async with program(*COMMAND, "nameserver", "--port", "0", "--seconds", "0.1") as running:
        line = await running.line_with("nameserver listens on UDP 127.0.0.1:")
        address = line.partition("UDP ")[2].partition(",")[0]
        assert line == f"nameserver listens on UDP {address}, TCP {address}.\n"
        assert await running.end() == 0


async def test_a_port_in_use_is_named_with_a_way_out(peer: UDPPeer) -> None:
    async with program(*COMMAND, "stun", "--port", str(peer.address[1]), stderr=PIPE) as running:
        assert await running.end() == 1
        text = await errors(running)
    assert f"cannot bind UDP 127.0.0.1:{peer.address[1]}: Address already in use" in text
    assert "--port 0 takes any free port" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["stn"], "there is no server 'stn'; do you mean stun?"),
        (["qqq"], "there is no server 'qqq'; homing demo --list names all"),
        (["stun", "--load"], "--load and --rate are for the demo without NAME"),
        (["--port", "65535"], "the second server takes the next port"),
    ],
)
async def test_a_wrong_command_line_is_refused_with_advice(arguments: list[str], text: str) -> None:
    async with program(*COMMAND, *arguments, stderr=PIPE) as running:
        assert await running.end() == 2
        assert text in await errors(running)


def test_the_servers_are_listed_with_what_they_are() -> None:
    lines = server_demo.listed().splitlines()
    assert [line.split()[0] for line in lines] == servers.names() == NAMES
    assert all(len(line.split()) > 3 for line in lines)


def test_a_missing_library_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'library.part'", name="library.part")

    monkeypatch.setattr(servers, "load", load)
    with pytest.raises(gen.HomingError, match=r"stun needs library; pip install 'homing\[examples\]'"):
        server_demo.find("stun")


def test_a_server_that_takes_no_host_refuses_another_one() -> None:
    class Server(act.Supervisor):
        def init(self, port: int) -> act.SupervisorSpec:
            raise NotImplementedError

    module: Any = SimpleNamespace(PORT=7, Server=Server)
    assert server_demo.arguments(module, "127.0.0.1", None) == (7,)
    with pytest.raises(gen.HomingError, match="leave out --host"):
        server_demo.arguments(module, "0.0.0.0", 0)


def test_the_name_of_a_server_is_completed() -> None:
    assert "stun" in completing.complete_server("st")
    assert completing.complete_server("qqq") == []


@pytest.mark.parametrize("name", NAMES)
def test_each_server_has_what_the_command_needs(name: str) -> None:
    module = servers.load(name)
    assert issubclass(module.Server, act.Supervisor)
    assert 1024 < module.PORT < 65536
    assert module.TRY
    assert all(command.format(port=module.PORT) for command in module.TRY)
    assert f"homing demo {name}" in str(module.__doc__)
