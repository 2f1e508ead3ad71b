"""Each recipe of the cookbook runs as a program, answers real sockets as its page says, and ends in order."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import homing

from ..support import DEADLINE, UDPPeer
from .recipes import HOSTILE, RECIPES, ROOT, load
from .test_examples import Program, program, terminate

LOOPBACK = "127.0.0.1"
MOST_LINES = 60


def recipe(name: str) -> str:
    return f"examples/cookbook/{name}.py"


async def ask_by_tcp(port: int, request: bytes) -> bytes:
    """What comes on a connection until the other side closes it, which it does when it has answered."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        async with asyncio.timeout(DEADLINE):
            writer.write(request)
            writer.write_eof()
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_session_is_opened_with_a_cookie_and_keeps_what_its_peer_has_said(peer: UDPPeer) -> None:
    async with program(recipe("sessions"), "0") as running:
        address = (LOOPBACK, await running.port())
        cookie = (await peer.ask(b"open\n", address)).removeprefix(b"cookie ")
        assert await peer.ask(b"open " + cookie, address) == b"opened\n"
        peer.send(b"nonsense", address)
        assert await peer.ask(b"5\n", address) == b"total 5\n"
        assert await peer.ask(b"37\n", address) == b"total 42\n"
        assert await terminate(running) == 0


# --- what the pages show --------------------------------------------------------------------------------------


class Dialog:
    """The commands of a page and what each prints, as it says; and the ports that the programs really have."""

    def __init__(self, page: str, folder: Path) -> None:
        text = (ROOT / "docs" / "cookbook" / f"{page}.md").read_text()
        found = re.search(r"^```console\n\$ (.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if found is None:
            raise AssertionError(f"{page} shows no commands")
        lines = [command.partition("\n") for command in found[1].split("\n$ ")]
        self.commands = [(command, output.encode() + b"\n" * (output != "")) for command, _, output in lines]
        self.commands[-1] = (self.commands[-1][0], self.commands[-1][1][:-1])
        self.folder = folder
        self.ports: dict[str, int] = {}

    def arguments(self, command: str) -> list[str]:
        """Those of `python`: a port that no program has got yet is 0, files are in a folder of the test's."""
        words = command.removeprefix("python ").removesuffix(" &").split()
        return [self.argument(word) for word in words]

    def argument(self, word: str) -> str:
        if word.isdigit():
            return str(self.ports.get(word, 0))
        return str(self.folder / word) if word.endswith(".db") else word

    async def learn(self, command: str, running: Program) -> None:
        """Takes note of the ports that a program says it has."""
        shown = [word for word in command.split() if word.isdigit() and word not in self.ports]
        for port, text in zip(shown, ("listening on port", "metrics on port"), strict=False):
            self.ports[port] = int((await running.line_with(text)).split()[-1])


@pytest.mark.parametrize("page", ["proxy", "timeouts", "prometheus", "blocking", "tcp-beside-udp", "testing"])
async def test_a_page_shows_what_the_program_answers(page: str, peer: UDPPeer, tmp_path: Path) -> None:
    dialog = Dialog(page, tmp_path)
    answered = 0
    async with AsyncExitStack() as programs:
        for command, output in dialog.commands:
            if command.startswith("python "):
                running = await programs.enter_async_context(program(*dialog.arguments(command)))
                await dialog.learn(command, running)
            elif asked := re.fullmatch(r'echo "?(.*?)"? \| nc -u -w1 127.0.0.1 (\d+)', command):
                peer.send(asked[1].encode() + b"\n", (LOOPBACK, dialog.ports[asked[2]]))
                if output:
                    assert await peer.receive() == (output, (LOOPBACK, dialog.ports[asked[2]]))
                    answered += 1
            elif asked := re.fullmatch(r"echo (.*) \| nc -w1 127.0.0.1 (\d+)", command):
                assert await ask_by_tcp(dialog.ports[asked[2]], asked[1].encode() + b"\n") == output
                answered += 1
            elif asked := re.fullmatch(r"curl http://127.0.0.1:(\d+)/metrics", command):
                page_of = await ask_by_tcp(dialog.ports[asked[1]], b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
                assert page_of.partition(b"\r\n\r\n")[2] == output
                answered += 1
            else:
                assert command.startswith("pytest ")
        assert await terminate(running) == 0
    assert answered


multicast = pytest.mark.skipif(sys.platform != "linux", reason="needs multicast on the loopback interface")


@multicast
async def test_a_service_answers_a_question_to_the_group(peer: UDPPeer) -> None:
    discovery, title = load("discovery"), secrets.token_hex(8)  # others may test at the same time
    peer.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
    async with program(recipe("discovery"), "serve", title, "lo") as running:
        await running.line_with("serving")
        for payload in (*HOSTILE, discovery.QUESTION):
            peer.send(payload, (discovery.GROUP, discovery.PORT))
        while (await peer.receive())[0] != title.encode():
            pass
        assert await terminate(running) == 0


@multicast
async def test_a_finder_prints_the_services_of_the_network(node: homing.Node) -> None:
    discovery, title = load("discovery"), f"\x1b[2J{secrets.token_hex(8)}"
    await node.spawn(discovery.Service, title, "lo")
    found = ""
    async with asyncio.timeout(DEADLINE):
        while title[-16:] not in found:  # it waits for a moment only, in which a busy machine may not answer
            async with program(recipe("discovery"), "find", "lo") as running:
                stdout = running.process.stdout
                assert stdout is not None
                found = (await stdout.read()).decode()
                assert await running.end() == 0
    assert repr(title) in found


def names_of_tests() -> list[str]:
    """Of those that the recipe brings."""
    source = (ROOT / recipe("test_thermometer")).read_text()
    return [line[4:-3] for line in source.splitlines() if line.startswith("def test_")]


@pytest.fixture
def thermometer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tests of the thermometer, which import it as pytest lets them: by its name."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "cookbook")
    monkeypatch.delitem(sys.modules, "thermometer", raising=False)
    yield load("test_thermometer")
    sys.modules.pop("thermometer", None)


@pytest.mark.parametrize("name", names_of_tests())
def test_the_thermometer_passes_its_own(thermometer: Any, name: str) -> None:
    getattr(thermometer, name)()


def test_the_thermometer_has_tests_at_three_levels() -> None:
    source = (ROOT / recipe("test_thermometer")).read_text()
    assert [f"# Level {level}:" in source for level in (1, 2, 3)] == [True, True, True]
    assert len(names_of_tests()) >= 3


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_on_a_screen(path: Path) -> None:
    assert len(path.read_text().splitlines()) < MOST_LINES
