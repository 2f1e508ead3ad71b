"""`Reconfigure`: the limits of a TCP server change while it runs."""

from __future__ import annotations

from typing import Any

import pytest

from homing import gen, meta

from ...support import Probe, eventually
from .players import HOST, Stream, open_echo, open_tcp


async def change(probe: Probe, server: meta.TCPServer, **changes: Any) -> meta.TCPReconfigured:
    found: meta.TCPReconfigured = await probe.do(lambda actor: actor.call(server.alias, meta.Reconfigure(**changes)))
    return found


async def test_limits_hold_for_new_connections_and_open_ones_stay(probe: Probe) -> None:
    server = await open_echo(probe)
    async with await Stream.to(server.local_address) as stays:
        assert await stays.ask(b"1") == b"OK: 1"
        answer = await change(probe, server, most_connections=1, deny=("192.0.2.1",))
        assert (answer.options.most_connections, answer.local_address) == (1, server.local_address)
        async with await Stream.to(server.local_address) as refused:
            assert await refused.rest() == b""
        assert await stays.ask(b"2") == b"OK: 2"
        await change(probe, server, most_connections=2, deny=("127.0.0.0/8",))
        async with await Stream.to(server.local_address) as denied:
            assert await denied.rest() == b""
    assert (server.statistics().refused_full, server.statistics().denied) == (1, 1)


async def test_a_shorter_timeout_holds_for_connections_that_are_open(probe: Probe) -> None:
    server = await open_echo(probe, idle_timeout=1000.0, first_byte_timeout=1000.0)
    async with await Stream.to(server.local_address) as peer:
        assert await peer.ask(b"1") == b"OK: 1"
        await change(probe, server, idle_timeout=0.05)
        assert await peer.rest() == b""
    await eventually(lambda: server.statistics().cut_idle == 1)


async def test_with_both_the_limits_of_udp_change_too(probe: Probe) -> None:
    server = await open_tcp(probe, both=True)
    await change(probe, server, deny=("127.0.0.9",))
    udp = server.udp
    assert udp is not None
    answer = await probe.do(lambda actor: actor.call(udp.alias, meta.Reconfigure()))
    assert answer.options.deny == ("127.0.0.9",)


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"host": HOST}, "host"), ({"idle_timeout": -1.0}, "idle_timeout"), ({"linger": 1.0}, "linger")],
)
async def test_what_cannot_change_is_refused_by_name_and_all_stays(
    changes: dict[str, Any], name: str, probe: Probe
) -> None:
    server = await open_tcp(probe)
    error = await probe.do(lambda actor: failure(actor, server, {"most_connections": 5, **changes}))
    assert isinstance(error, gen.BadOption)
    assert name in str(error)
    assert (await change(probe, server)).options.most_connections == 1024


async def failure(actor: Any, server: meta.TCPServer, changes: dict[str, Any]) -> Exception | None:
    try:
        await actor.call(server.alias, meta.Reconfigure(**changes))
    except gen.HomingError as error:
        return error
    return None


async def test_a_udp_server_refuses_options_of_tcp(probe: Probe) -> None:
    server = await probe.do(lambda actor: meta.listen_udp(actor, host=HOST))
    with pytest.raises(gen.BadOption, match="TCP"):
        raise await probe.do(lambda actor: failure(actor, server, {"idle_timeout": 5.0})) or AssertionError
