"""Each option is checked, and the error names it and says what to give; so is each argument."""

from __future__ import annotations

from typing import Any

import pytest

from homing import gen, meta

from ...hostile import Hostile, HostileText
from .chunks import ONE, read


async def waits(data: bytes, addr: Any) -> None:
    return None


WRONG: dict[str, dict[str, Any]] = {
    "parse none": {"parse": None},
    "parse text": {"parse": "gelf"},
    "parse awaits": {"parse": waits},
    "most_messages zero": {"most_messages": 0},
    "most_messages true": {"most_messages": True},
    "most_messages text": {"most_messages": "10"},
    "most_messages hostile": {"most_messages": Hostile()},
    "most_bytes few": {"most_bytes": 4095},
    "most_bytes few for a source": {"most_bytes": 16_383},
    "most_bytes fraction": {"most_bytes": 1e6},
    "most_bytes endless": {"most_bytes": 2**63},
    "per_source zero": {"per_source": 0},
    "per_source more than all": {"per_source": 1.5},
    "per_source count": {"per_source": 16},
    "per_source nan": {"per_source": float("nan")},
    "per_source none": {"per_source": None},
    "timeout zero": {"timeout": 0},
    "timeout negative": {"timeout": -1.0},
    "timeout nan": {"timeout": float("nan")},
    "timeout infinite": {"timeout": float("inf")},
    "timeout none": {"timeout": None},
    "most_chunks zero": {"most_chunks": 0},
    "most_chunks endless": {"most_chunks": 65_537},
    "decompress other": {"decompress": "brotli"},
    "decompress true": {"decompress": True},
    "decompress hostile": {"decompress": Hostile()},
    "decompress hostile text": {"decompress": HostileText("gzip?")},
    "most_output zero": {"most_output": 0},
    "most_output endless": {"most_output": 2**31 - 1},
}
WRONG_DEDUPE: dict[str, dict[str, Any]] = {
    "key none": {"key": None},
    "key awaits": {"key": waits},
    "window zero": {"window": 0},
    "window endless": {"window": 65_537},
    "window hostile": {"window": Hostile()},
    "window half": {"window": 129, "bits": 8},
    "bits one": {"bits": 1},
    "bits many": {"bits": 65},
    "bits none": {"bits": None},
    "most_jump zero": {"most_jump": 0},
    "most_jump none": {"most_jump": None},
    "restart zero": {"restart": 0},
    "restart text": {"restart": "3"},
    "idle zero": {"idle": 0},
    "idle nan": {"idle": float("nan")},
    "most_streams zero": {"most_streams": 0},
    "most_streams fraction": {"most_streams": 1.5},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_option_of_an_assembler_is_named_in_the_error(name: str) -> None:
    options = {"parse": read, **WRONG[name]}
    with pytest.raises(gen.BadOption, match="give") as caught:
        meta.Assembler(**options)
    assert caught.value.option == name.split()[0]


@pytest.mark.parametrize("name", WRONG_DEDUPE)
def test_a_wrong_option_of_a_dedupe_is_named_in_the_error(name: str) -> None:
    options = {"key": read, **WRONG_DEDUPE[name]}
    with pytest.raises(gen.BadOption, match="give") as caught:
        meta.Dedupe(**options)
    assert caught.value.option == name.split()[0]


def test_the_smallest_and_the_largest_values_are_taken() -> None:
    least = {"most_messages": 1, "most_bytes": 4096, "per_source": 1, "most_chunks": 1, "most_output": 1}
    most = {"most_messages": 2**31 - 1, "most_bytes": 2**62, "per_source": 1.0, "most_chunks": 65_536}
    for options in (least, most):
        subject = meta.Assembler(parse=lambda data, addr: meta.Chunk(1, 0, 1, data), **options)  # type: ignore[arg-type]
        assert subject.add(b"x", ONE, 0) == b"x"
    for given in ({"window": 1, "bits": 2, "most_streams": 1}, {"window": 65_536, "bits": 64, "most_jump": 2**63}):
        assert meta.Dedupe(key=lambda data, addr: 1, **given).fresh(b"", ONE, 0)  # type: ignore[arg-type]


def test_a_share_that_is_too_small_for_any_message_says_how_many_bytes_it_takes() -> None:
    with pytest.raises(gen.BadOption, match=r"give 40961 or more, or a larger per_source=0\.1"):
        meta.Assembler(parse=read, most_bytes=10_000, per_source=0.1)
    meta.Assembler(parse=read, most_bytes=40_961, per_source=0.1)


DATA: dict[str, Any] = {"text": "text", "none": None, "a length": 10**9, "list": [1], "hostile": Hostile()}
SOURCES: dict[str, Any] = {
    "list": ["10.0.0.1", 1],
    "hostile": Hostile(),
    "host hostile": (Hostile(), 1),
    "host with methods": (HostileText("10.0.0.1"), 1),
    "endless": ("x" * 1000, 1),
    "float": 1.5,
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_is_no_payload_is_refused_and_named(name: str) -> None:
    for call in (meta.Assembler(parse=read).add, meta.Dedupe(key=read).fresh):
        with pytest.raises(gen.BadOption, match="data="):
            call(DATA[name], ONE, 0.0)


@pytest.mark.parametrize("name", SOURCES)
def test_an_address_that_is_none_is_refused_and_named(name: str) -> None:
    for call in (meta.Assembler(parse=read).add, meta.Dedupe(key=read).fresh):
        with pytest.raises(gen.BadOption, match="addr="):
            call(b"data", SOURCES[name], 0.0)


@pytest.mark.parametrize("addr", [("::1", 9, 0, 2), "/run/peer.sock", b"\0abstract", None, ""])
def test_addresses_of_every_family_are_taken(addr: Any) -> None:
    assert meta.Assembler(parse=read).add(b"data", addr, 0.0) == b"data"
    assert meta.Dedupe(key=lambda data, addr: 1).fresh(b"data", addr, 0.0)
