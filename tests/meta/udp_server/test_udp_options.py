"""What cannot work is refused where it is asked for, by an error that names the culprit; no socket is left open.

That none is left is what the fixture `nothing_is_left_behind` of every test asserts.
"""

from __future__ import annotations

import array
import dataclasses
from typing import Any

import pytest

from homing import act, gen, meta


class WithoutPut:
    def get(self) -> bytearray:
        return bytearray(10)


class Giving:
    """A pool that gives the same thing whenever it is asked."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def get(self) -> Any:
        return self.thing

    def put(self, buffer: Any) -> None:
        if buffer is None:
            raise TypeError("a strict pool takes buffers only")


class Raising(Giving):
    def get(self) -> Any:
        raise RuntimeError("no buffer today")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", 70000),
        ("port", 65536),
        ("port", -1),
        ("port", True),
        ("port", 53.0),
        ("port", "53"),
        ("port", None),
        ("host", None),
        ("host", b"localhost"),
        ("host", 127),
        ("activation", ""),
        ("activation", 3),
        ("activation", "x" * 256),
        ("process", ""),
        ("process", "x" * 256),
        ("process", 5),
        ("process", True),
        ("process", b"name"),
        ("process", act.Actor),
        ("process", ("name", "node")),
        ("process", gen.Ref("node", 1, 1)),
        ("process", gen.Event("name", "node")),
        ("buffer_size", 0),
        ("buffer_size", -1),
        ("buffer_size", 65536),
        ("buffer_size", True),
        ("buffer_size", 1500.0),
        ("buffer_size", None),
        ("receive_buffer", 0),
        ("receive_buffer", -4096),
        ("receive_buffer", 2**31),
        ("receive_buffer", "1M"),
        ("receive_buffer", True),
        ("send_buffer", 0),
        ("send_buffer", -1),
        ("send_buffer", 2**31),
        ("send_buffer", 1e6),
        ("high_water", 0),
        ("high_water", -5),
        ("high_water", True),
        ("high_water", None),
        ("low_water", -1),
        ("low_water", 1024),
        ("low_water", 2000),
        ("low_water", 1.5),
        ("receive_batch", 0),
        ("receive_batch", True),
        ("send_queue", 0),
        ("send_queue", -1),
        ("buffer_pool", b"bytes"),
        ("buffer_pool", object()),
        ("buffer_pool", 65535),
        ("buffer_pool", bytearray(100)),
        ("buffer_pool", WithoutPut()),
        ("buffer_pool", meta.BufferPool),
        ("buffer_pool", Giving(b"read-only")),
        ("buffer_pool", Giving(None)),
        ("buffer_pool", Giving("text")),
        ("buffer_pool", Giving(bytearray())),
        ("buffer_pool", Giving(memoryview(b"read-only"))),
        ("buffer_pool", Giving(memoryview(bytearray(10))[::2])),
        ("buffer_pool", Raising(None)),
    ],
)
def test_a_bad_option_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.create_udp_server(meta.UDPServerOptions(**{"host": "127.0.0.1", option: value}))
    assert caught.value.option == option
    assert str(caught.value).startswith(f"{option}=")


def test_low_water_must_be_below_high_water() -> None:
    with pytest.raises(gen.BadOption, match="low_water=10"):
        meta.UDPServerOptions(high_water=10, low_water=10)
    assert meta.UDPServerOptions(high_water=10, low_water=9).low_water == 9


def test_options_cannot_be_changed_and_are_given_by_name_only() -> None:
    options = meta.UDPServerOptions(host="127.0.0.1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.port = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        meta.UDPServerOptions("127.0.0.1", 5)  # type: ignore[misc]


def test_the_defaults_are_those_that_the_documentation_names() -> None:
    options = meta.UDPServerOptions()
    assert (options.host, options.port, options.process, options.buffer_size) == ("", 0, None, 65535)
    assert (options.buffer_pool, options.receive_buffer, options.send_buffer) == (None, None, None)


def test_options_that_are_none_are_refused() -> None:
    with pytest.raises(gen.BadOption, match="options"):
        meta.create_udp_server({"port": 0})  # type: ignore[arg-type]


def test_the_check_of_a_buffer_pool_gives_back_the_buffer_that_it_takes() -> None:
    pool = meta.BufferPool(size=100, capacity=2)
    with meta.create_udp_server(meta.UDPServerOptions(host="127.0.0.1", buffer_pool=pool)):
        assert (pool.lent, pool.idle) == (0, 1)


@pytest.mark.parametrize("buffer", [bytearray(100), memoryview(bytearray(100)), array.array("I", range(100))])
def test_any_writable_contiguous_buffer_may_come_from_a_pool(buffer: Any) -> None:
    assert meta.UDPServerOptions(buffer_pool=Giving(buffer)).buffer_pool is not None


@pytest.mark.parametrize(
    ("option", "value"), [("size", 0), ("size", -1), ("size", True), ("capacity", 0), ("size", None)]
)
def test_a_bad_option_of_the_buffer_pool_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption, match=option):
        meta.BufferPool(**{option: value})
