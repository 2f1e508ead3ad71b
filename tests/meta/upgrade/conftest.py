"""A path to take over by, and a node that is stopped before it is looked at what is left there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import homing
from homing.datagram.sockets import inherited
from homing.meta.upgrade import predecessor as handing_over
from homing.meta.upgrade import successor as taking_over

from ...cli.nodes import short_directory


@pytest.fixture
def path() -> Iterator[str]:
    with short_directory() as directory:
        yield str(directory / "takeover")
        assert list(directory.iterdir()) == []
    assert inherited.kept() == []


@pytest.fixture
def node(path: str, node: homing.Node) -> homing.Node:
    """Made after `path`, and stopped before that is looked at."""
    return node


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (handing_over, taking_over):
        monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.2)
