"""The options of sessions say what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from homing import gen, meta


async def later(message: Any) -> bytes:
    return b""


@pytest.mark.parametrize("key", [None, "address", slice(3), slice(4, 4), slice(-1, 3), slice(0, 8, 2), later, 5])
def test_a_key_that_is_none_is_refused(key: Any) -> None:
    if key == slice(3):
        assert meta.Sessions(key=key).key == slice(3)  # from the beginning
        return
    with pytest.raises(gen.BadOption, match="key"):
        meta.Sessions(key=key)


def test_sessions_need_peers() -> None:
    with pytest.raises(gen.BadOption, match="peers="):
        meta.UDPServerOptions(sessions=meta.Sessions(key="source", name="game"))


def test_the_key_is_given_once() -> None:
    peers = meta.PeerOptions(worker=meta.PeerActor, key=lambda message: b"")
    with pytest.raises(gen.BadOption, match="sessions="):
        meta.UDPServerOptions(peers=peers, sessions=meta.Sessions(key="source", name="game"))


def test_sessions_need_a_name() -> None:
    peers = meta.PeerOptions(worker=meta.PeerActor)
    with pytest.raises(gen.BadOption, match="name"):
        meta.UDPServerOptions(peers=peers, sessions=meta.Sessions(key="source"))
    assert meta.UDPServerOptions(name="game", peers=peers, sessions=meta.Sessions(key="source")).sessions is not None
