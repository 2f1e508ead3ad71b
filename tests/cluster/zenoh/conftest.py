"""Fixtures: engines and programs that are ended after each test, and secrets of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from .nodes import Nodes, Programs


@pytest.fixture(scope="session", autouse=True)
def zenoh_has_started(tmp_path_factory: pytest.TempPathFactory) -> None:
    """zenoh's threads and their descriptors, which it keeps once it has them, are no test's."""

    async def once() -> None:
        nodes = Nodes()
        first, one = await nodes.open("first@localhost")
        _, two = await nodes.open("second@localhost", join=first.addresses)
        await one.sees("second@localhost")
        await two.sees("first@localhost")
        await nodes.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("first")))
        asyncio.run(once())


@pytest.fixture(autouse=True)
def runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Secrets are made here."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    made = Nodes()
    yield made
    await made.close()


@pytest.fixture
def programs() -> Iterator[Programs]:
    made = Programs()
    yield made
    made.end()
