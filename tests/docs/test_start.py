"""The programs of the first pages, which serve until they are stopped, answer as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..support import UDPPeer
from ..test_readme import answer
from .pages import DOCS, FENCE, PAGES, name_of
from .test_guides import SERVICE

ANSWERS = {"echo.py": b"OK: hello", "service.py": b"1\n"}
"""What each answers to the first b"hello"."""


def services() -> list[Any]:
    found = []
    for path in PAGES:
        for block in FENCE.finditer(path.read_text()):
            if SERVICE.match(block[2]):
                found.append(pytest.param(block[2], id=name_of(path)))
    return found


@pytest.mark.parametrize("service", services())
async def test_a_service_of_the_first_pages_answers_when_pasted(peer: UDPPeer, tmp_path: Path, service: str) -> None:
    name = service.splitlines()[0].removeprefix("# ")
    assert await answer(peer, tmp_path, service, b"hello") == ANSWERS[name]


def test_the_first_pages_show_services() -> None:
    shown = {Path(DOCS.parent, parameter.id).name for parameter in services()}
    assert shown == {"index.md", "first-server.md", "first-service.md", "five-lines.md"}
