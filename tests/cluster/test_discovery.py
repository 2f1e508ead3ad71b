"""Seeds: names that are looked up again, and what answers."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from homing.cluster.discovery import Seeds, answers, is_own, reachable
from homing.cluster.endpoints import TCP, TLS, UNIX, Endpoint, parse


class Resolver:
    """Stands in for the DNS: answers by host; an exception is raised."""

    def __init__(self, **hosts: Any) -> None:
        self.hosts = hosts

    async def look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        answer = self.hosts[host]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answer]


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    made = Resolver()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", made.look_up)
    return made


async def test_addresses_of_a_name_are_added_to_those_that_are_given(resolver: Resolver) -> None:
    resolver.hosts = {"pods": ["10.0.0.2", "10.0.0.1", "10.0.0.2"]}
    seeds = Seeds([parse("join", "dns:pods:7000"), parse("join", "tls/seed:1")], secure=True)
    assert seeds.has_names
    assert await seeds.look_up() == (
        Endpoint(TLS, "seed", 1),
        Endpoint(TLS, "10.0.0.1", 7000),
        Endpoint(TLS, "10.0.0.2", 7000),
    )


async def test_a_later_answer_replaces_the_earlier_one(resolver: Resolver) -> None:
    seeds = Seeds([parse("join", "dns:pods")], secure=False)
    resolver.hosts = {"pods": ["10.0.0.1", "10.0.0.2"]}
    await seeds.look_up()
    resolver.hosts = {"pods": ["10.0.0.3"]}
    assert await seeds.look_up() == (Endpoint(TCP, "10.0.0.3", 7447),)


async def test_a_name_that_is_not_found_keeps_its_addresses_and_is_logged_once(
    resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = Seeds([parse("join", "dns:pods")], secure=False)
    resolver.hosts = {"pods": ["10.0.0.1"]}
    await seeds.look_up()
    resolver.hosts = {"pods": socket.gaierror(-2, "Name or service not known")}
    for _ in range(3):
        assert await seeds.look_up() == (Endpoint(TCP, "10.0.0.1", 7447),)
    assert caplog.text.count("cannot look it up") == 1


async def test_of_an_endless_answer_64_addresses_are_taken(resolver: Resolver) -> None:
    resolver.hosts = {"pods": [f"10.0.{number // 256}.{number % 256}" for number in range(1000)]}
    assert len(await Seeds([parse("join", "dns:pods")], secure=False).look_up()) == 64


async def test_only_what_accepts_connections_is_reachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        there = Endpoint(TCP, "127.0.0.1", server.getsockname()[1])
        local, nobody = Endpoint(UNIX, str(tmp_path / "s")), Endpoint(TCP, "127.0.0.1", 1)
        assert await reachable([there, nobody, local]) == [there, local]
    assert not await answers(there)
    assert not await answers(Endpoint(TCP, "no.such.host.invalid", 1))


def test_an_own_listener_is_recognized_by_any_address_of_this_machine() -> None:
    listening = [Endpoint(TCP, "0.0.0.0", 7447)]
    assert is_own(Endpoint(TCP, "127.0.0.1", 7447), listening)
    assert not is_own(Endpoint(TCP, "127.0.0.1", 7448), listening)
    assert not is_own(Endpoint(TCP, "203.0.113.9", 7447), listening)
    assert not is_own(Endpoint(UNIX, "/x"), [Endpoint(UNIX, "/y")])
