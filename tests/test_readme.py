"""The README tells the truth: its programs run as they stand, and its two commands exist."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from .examples.test_examples import program, terminate
from .support import UDPPeer, free_port

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


async def answer(peer: UDPPeer, tmp_path: Path, block: str, question: bytes) -> bytes:
    """Runs a program that serves on port 2345, on a free one, asks it, stops it, and gives its answer."""
    port = free_port()
    source = tmp_path / "program.py"
    source.write_text(block.replace("2345", str(port)) + "\n")
    async with program(str(source)) as running:
        for _ in range(1000):  # it prints nothing: ask until the port answers
            try:
                async with asyncio.timeout(0.05):
                    reply = await peer.ask(question, ("127.0.0.1", port))
                    break
            except TimeoutError:
                continue
        assert await terminate(running) == 0
    return reply


async def test_the_first_program_answers_when_pasted(peer: UDPPeer, tmp_path: Path) -> None:
    assert await answer(peer, tmp_path, BLOCKS[0], b"hello") == b"OK: hello"


async def test_the_service_of_five_lines_answers_when_pasted(peer: UDPPeer, tmp_path: Path) -> None:
    assert await answer(peer, tmp_path, BLOCKS[1], b"hello") == b"OK: hello"


def test_the_first_program_has_about_ten_lines() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 10


async def test_the_supervised_service_answers_when_pasted(peer: UDPPeer, tmp_path: Path) -> None:
    assert (await answer(peer, tmp_path, BLOCKS[2], b"hello")).strip().isdigit()


async def test_the_program_with_batches_answers_when_pasted(peer: UDPPeer, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    assert int(await answer(peer, tmp_path, BLOCKS[3], (1000).to_bytes(4, "big"))) % 1000 == 0


@pytest.mark.parametrize("command", ["demo", "test"])
def test_the_two_commands_are_targets_of_the_makefile(command: str) -> None:
    assert f"make {command} " in README
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", README))))
def test_what_the_readme_links_to_exists(link: str) -> None:
    assert (ROOT / link).exists()
