"""Who may use the server: addresses, tokens, Host, Origin; and the headers of responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import gen, observe
from homing.observe.http import guard
from homing.observe.http.options import HTTPOptions
from homing.observe.http.server import HTTPServer

from .asking import BEARER, TOKEN, ask

Serve = Callable[..., HTTPServer]


# --- the address and the token ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])
async def test_an_address_that_others_reach_is_refused_without_public_and_a_token(node: homing.Node, host: str) -> None:
    with pytest.raises(gen.BadOption, match="public=True and a token"):
        observe.start_http(node, host, 0, token=TOKEN)
    with pytest.raises(gen.BadOption, match="other machines can connect") as raised:
        observe.start_http(node, host, 0, public=True)
    assert raised.value.option == "token"


async def test_with_both_it_is_served(node: homing.Node) -> None:
    server = observe.start_http(node, "0.0.0.0", 0, public=True, token=TOKEN)
    assert (await ask(server, "/metrics")).status == 401
    assert (await ask(server, "/metrics", headers=BEARER)).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
async def test_a_loopback_address_needs_neither(node: homing.Node, host: str) -> None:
    assert (await ask(observe.start_http(node, host, 0), "/health/live")).status == 200


async def test_changes_need_a_token_even_on_loopback(node: homing.Node) -> None:
    with pytest.raises(gen.BadOption) as raised:
        observe.start_http(node, port=0, allow=True)
    assert raised.value.option == "token"


@pytest.mark.parametrize("token", ["", "short", "x" * 5000, "with space in it 123", "ümlaut-0123456789", b"0" * 16, 7])
async def test_a_bad_token_is_refused_and_not_shown(node: homing.Node, token: Any) -> None:
    with pytest.raises(gen.BadOption) as raised:
        observe.start_http(node, port=0, token=token)
    assert raised.value.option == "token"
    assert not token or str(token) not in str(raised.value)


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/node", "/api/v1/nothing", "/openapi.json", "/nothing"])
async def test_without_the_token_nothing_is_told(serve: Serve, path: str) -> None:
    reply = await ask(serve(token=TOKEN), path)
    assert (reply.status, reply.code) == (401, "no_token")
    assert reply.headers["www-authenticate"] == 'Bearer realm="homing"'


WRONG = [
    "Bearer wrong",
    f"Basic {TOKEN}",
    "Bearer",
    f"Bearer {TOKEN}x",
    f"Bearer x{TOKEN}",
    "\xff",
    f"Bearer {TOKEN[:-1]}",
]


@pytest.mark.parametrize("header", WRONG)
async def test_a_wrong_token_is_refused(serve: Serve, header: str) -> None:
    reply = await ask(serve(token=TOKEN), "/metrics", headers={"Authorization": header})
    assert (reply.status, reply.code) == (401, "wrong_token")


async def test_the_page_is_served_without_the_token_so_that_it_can_ask_for_it(serve: Serve) -> None:
    assert (await ask(serve(token=TOKEN), "/")).status == 200


# --- Host and Origin --------------------------------------------------------------------------------------

LOCAL = ["localhost", "localhost:80", "127.0.0.1:1234", "[::1]:9911", "app.localhost", "LOCALHOST.", "127.1.2.3"]
FOREIGN = [
    "evil.example",
    "evil.example:9911",
    "localhost.evil.example",
    "8.8.8.8",
    "[2001:db8::1]",
    "a:b:c",
    "[::1",
    "",
]
PUBLIC = ["10.0.0.7:9911", "app", "app:9911", "app.svc", "app.default.svc.cluster.local", "[2001:db8::1]:1"]


@pytest.mark.parametrize("host", LOCAL)
async def test_names_of_this_machine_are_accepted(serve: Serve, host: str) -> None:
    assert (await ask(serve(), "/health/live", headers={"Host": host})).status == 200


@pytest.mark.parametrize("host", FOREIGN)
async def test_other_names_are_refused_as_they_may_be_rebound(serve: Serve, host: str) -> None:
    reply = await ask(serve(), "/health/live", headers={"Host": host})
    assert (reply.status, reply.code) == (421, "unknown_host")


async def test_further_names_can_be_given(serve: Serve) -> None:
    server = serve(hosts=("Stats.example",))
    assert (await ask(server, "/health/live", headers={"Host": "stats.example:443"})).status == 200


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_server_accepts_addresses_and_names_that_nobody_can_register(host: str) -> None:
    hosts = guard.Hosts(HTTPOptions(host="0.0.0.0", public=True, token=TOKEN))
    assert hosts.known(host.encode())
    assert not hosts.known(b"evil.example")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://localhost:1", "x"])
async def test_another_origin_is_refused(serve: Serve, origin: str) -> None:
    reply = await ask(serve(), "/api/v1/node", headers={"Origin": origin})
    assert (reply.status, reply.code) == (403, "foreign_origin")


async def test_the_servers_own_origin_is_accepted(serve: Serve) -> None:
    server = serve()
    assert (await ask(server, "/api/v1/node", headers={"Origin": server.url.rstrip("/")})).status == 200


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_a_browser_that_asks_for_another_site_is_refused(serve: Serve, site: str, status: int) -> None:
    assert (await ask(serve(), "/api/v1/node", headers={"Sec-Fetch-Site": site})).status == status


async def test_a_link_from_another_site_may_open_the_page(serve: Serve) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    server = serve()
    assert (await ask(server, "/", headers=headers)).status == 200
    assert (await ask(server, "/api/v1/node", headers=headers)).status == 403


async def test_no_response_lets_other_sites_read_it(serve: Serve) -> None:
    server = serve()
    for path in ("/", "/health/live", "/api/v1/node", "/nothing"):
        headers = (await ask(server, path)).headers
        assert "access-control-allow-origin" not in headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


# --- rates ------------------------------------------------------------------------------------------------


async def test_too_many_requests_are_refused_for_a_while(serve: Serve) -> None:
    server = serve(request_rate=1.0)
    replies = [await ask(server, "/health/live") for _ in range(4)]
    assert [reply.status for reply in replies[:2]] == [200, 200]
    assert (replies[-1].status, replies[-1].code) == (429, "too_many_requests")
    assert int(replies[-1].headers["retry-after"]) >= 1


def test_a_rate_is_that_of_an_address() -> None:
    rates = guard.RequestRates(1.0)
    assert [rates.wait("192.0.2.1", 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert rates.wait("192.0.2.2", 0.0) == 0.0
    assert rates.wait("192.0.2.1", 1.0) == 0.0


def test_a_rate_of_ipv6_is_that_of_a_network_as_one_machine_has_all_its_addresses() -> None:
    rates = guard.RequestRates(1.0)
    assert [rates.wait(f"2001:db8::{number}", 0.0) for number in (1, 2, 3)] == [0.0, 0.0, 1.0]
    assert rates.wait("2001:db8:0:1::1", 0.0) == 0.0


def test_the_addresses_remembered_are_bounded() -> None:
    rates = guard.RequestRates(1.0)
    for number in range(guard.MOST_ADDRESSES * 2):
        rates.wait(f"10.0.{number // 256}.{number % 256}", 0.0)
    assert len(rates._left) == guard.MOST_ADDRESSES
