"""A mistake in a service is an error where it is made, and says what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from homing import Service, act, gen, meta

from ..support import eventually
from .serving import LOCAL, processes, service


def echo(packet: meta.MessageUDP) -> bytes:
    return b""


async def async_echo(packet: meta.MessageUDP) -> bytes:
    return b""


class Handler(act.Actor):
    """A class."""


@pytest.mark.parametrize(
    ("options", "option", "advice"),
    [
        ({"name": ""}, "name", "1 to 100 characters"),
        ({"name": "a b"}, "name", "without spaces"),
        ({"name": "a@b"}, "name", "without spaces and @"),
        ({"name": 5}, "name", "1 to 100 characters"),
        ({"name": "a", "description": 5}, "description", "a string"),
        ({"name": "a", "version": None}, "version", "a string"),
        ({"name": "a", "env": 5}, "env", "a mapping"),
        ({"name": "a", "depends": "b"}, "depends", "a tuple"),
    ],
)
def test_an_option_of_a_service_is_checked(options: dict[str, Any], option: str, advice: str) -> None:
    with pytest.raises(gen.BadOption, match=advice) as caught:
        Service(**options)
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("options", "option", "advice"),
    [
        ({"port": 70000}, "port", "0 to 65535"),
        ({"port": 1, "high_water": 0}, "high_water", "1 or more"),
        ({"port": 1, "process": "a"}, "process", "leave this out"),
        ({"port": 1, "peers": meta.PeerOptions(worker=Handler), "workers": 2}, "workers", "leave this out"),
        ({"port": 1, "worker": Handler}, "worker", "leave this out"),
        ({"port": 1, "worker_args": (1,)}, "worker_args", "write args="),
        ({"port": 1, "route": "source"}, "route", "give workers="),
        ({"port": 1, "workers": 0}, "workers", "1"),
        ({"port": 1, "workers": 2, "route": "nearest"}, "route", "give"),
        ({"port": 1, "workers": 2, "worker_options": 5}, "worker_options", "gen.ProcessOptions"),
        ({"port": 1, "worker_options": 5}, "worker_options", "gen.ProcessOptions"),
        ({"port": 1, "concurrency": 0}, "concurrency", "1 or more"),
        ({"port": 1, "concurrency": "many"}, "concurrency", "an integer"),
        ({"port": 1, "on_exception": "ignore"}, "on_exception", '"log" or "crash"'),
        ({"port": 1, "args": 5}, "args", "a tuple"),
    ],
)
def test_an_option_of_udp_is_checked_when_the_decorator_is_made(
    options: dict[str, Any], option: str, advice: str
) -> None:
    with pytest.raises(gen.BadOption, match=advice) as caught:
        service().udp(**options)
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("name", "advice"), [("prot", "write port="), ("concurency", "write concurrency="), ("zzz", "UDPServerOptions")]
)
def test_an_unknown_option_is_named_with_a_similar_one(name: str, advice: str) -> None:
    with pytest.raises(TypeError, match=f"there is no option '{name}'; .*{advice}"):
        service().udp(**{name: 5})


@pytest.mark.parametrize(
    ("handler", "options", "option", "advice"),
    [
        (5, {}, "function", "give a function"),
        (None, {}, "function", "give a function"),
        (int, {}, "handler", "a class derived from act.Actor"),
        (lambda: b"", {}, "function", r"too many positional arguments; let it take \(packet\) or \(packet, state\)"),
        (lambda packet, peer: b"", {}, "function", "missing a required argument: 'peer'"),
        (lambda state: b"", {}, "function", r"\(packet\) or \(packet, state\)"),
        (lambda packet, state, more: b"", {}, "function", "'more'"),
        (lambda packet, *, key: b"", {}, "function", "'key'"),
        (functools.partial(lambda packet: b"", 1), {}, "function", "too many positional arguments"),
        (echo, {"concurrency": 5}, "concurrency", "echo is a plain def"),
        (
            async_echo,
            {"concurrency": 5, "worker_options": gen.ProcessOptions(thread=True)},
            "concurrency",
            "give 1 with thread=True",
        ),
        (echo, {"args": (1,)}, "args", "only with a class"),
        (Handler, {"on_exception": "crash"}, "on_exception", "is a class"),
        (echo, {"peers": meta.PeerOptions(worker=Handler)}, "peers", "served by a class derived from meta.PeerActor"),
        (Handler, {"peers": meta.PeerOptions(worker=act.Actor)}, "peers", "write worker=Handler"),
        (Handler, {"peers": meta.PeerOptions(worker=Handler), "args": (1,)}, "args", "give worker_args"),
        (
            Handler,
            {"peers": meta.PeerOptions(worker=Handler), "worker_options": gen.ProcessOptions()},
            "worker_options",
            "of meta.PeerOptions",
        ),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused(
    handler: Any, options: dict[str, Any], option: str, advice: str
) -> None:
    with pytest.raises(gen.BadOption, match=advice) as caught:
        service().udp(port=0, **options)(handler)
    assert caught.value.option == option


def test_a_decorator_without_options_says_how_to_write_it() -> None:
    with pytest.raises(gen.BadOption, match=r"write @service.udp\(port=2345\)"):
        service().udp(echo)


@pytest.mark.parametrize("seconds", [0, -1, "1", None, echo, float("nan")])
def test_an_interval_is_a_positive_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        service().every(seconds)
    assert caught.value.option == "seconds"


@pytest.mark.parametrize("way", ["every", "on_start", "on_stop"])
def test_a_function_without_a_datagram_takes_nothing_or_the_state(way: str) -> None:
    shop = service()
    decorate: Callable[[Any], Any] = shop.every(1.0) if way == "every" else getattr(shop, way)
    with pytest.raises(gen.BadOption, match=r"'packet'.*let it take"):
        decorate(lambda packet: None)
    with pytest.raises(gen.BadOption, match="give a function"):
        decorate(5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"port": 53}, {"port": 53}),
        ({"port": 53}, {"port": 53, "host": "127.0.0.1"}),
        ({"port": 53, "reuse_port": True}, {"port": 53}),
        ({"path": "/tmp/a"}, {"path": "/tmp/a"}),
    ],
)
def test_two_functions_on_one_port_are_refused_and_the_other_is_named(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    shop = service()
    shop.udp(**one)(echo)
    with pytest.raises(gen.BadOption, match=r"shop\.echo has it already; give shop\.async_echo another"):
        shop.udp(**other)(async_echo)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"port": 0}, {"port": 0}),
        ({"port": 53}, {"port": 54}),
        ({"port": 53, "host": "127.0.0.1"}, {"port": 53, "host": "127.0.0.2"}),
        ({"port": 53}, {"port": 53, "host": "::1"}),
        ({"port": 53, "reuse_port": True}, {"port": 53, "reuse_port": True}),
    ],
)
def test_functions_on_different_addresses_are_accepted(one: dict[str, Any], other: dict[str, Any]) -> None:
    shop = service()
    shop.udp(**one)(echo)
    shop.udp(**other)(echo)


def test_a_decorator_returns_the_function_itself() -> None:
    shop = service()
    assert shop.udp(port=0)(echo) is echo
    assert shop.udp(echo, port=0) is echo
    assert shop.every(1)(shop.on_start(shop.on_stop(opened))) is opened


def opened() -> None:
    """Does nothing."""


async def test_a_service_without_functions_does_not_start() -> None:
    with pytest.raises(gen.BadOption, match="it has no function to run"):
        async with service().started():
            raise AssertionError("it has started")


async def test_functions_are_added_before_the_first_start() -> None:
    shop = service()
    decorate = shop.udp(**LOCAL)
    shop.udp(echo, **LOCAL)
    async with shop.started():
        for late in (
            lambda: shop.udp(port=0),
            lambda: decorate(echo),
            lambda: shop.every(1.0),
            lambda: shop.on_start(opened),
            lambda: shop.on_stop(opened),
        ):
            with pytest.raises(gen.NotAllowed, match="'shop' has been started; add all functions before that"):
                late()


async def test_processes_have_the_names_of_their_functions_and_no_two_have_the_same() -> None:
    shop = service("echo")
    for _ in range(2):
        shop.udp(echo, **LOCAL)
    shop.udp(async_echo, **LOCAL)
    async with shop.started() as node:
        names = {process.info.name for process in processes(node)}
        await eventually(lambda: names)
    assert names == {None, "echo", "echo-2", "echo.async_echo"}


def test_the_state_is_an_empty_namespace_by_default() -> None:
    assert service().state == SimpleNamespace()
    assert service(state=0).state == 0
