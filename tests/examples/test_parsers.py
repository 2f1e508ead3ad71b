"""Case 37: whatever an example is sent, it refuses or understands it; it neither crashes nor grows without end."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
import tracemalloc
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import gen, meta

from ..faults.figures import figure
from ..support import Probe, eventually
from .fuzz import ADDRESS, EXAMPLES, SEEDS, load, mutated, parser

SECONDS = 20


def datagrams(payloads: list[bytes]) -> list[meta.MessageUDP]:
    return [meta.MessageUDP(None, ADDRESS, payload) for payload in payloads]


def run(main: Any) -> Any:
    return homing.run(main, options=gen.NodeOptions(handle_signals=False, slow_callback_seconds=None))


def pieces(*texts: bytes) -> st.SearchStrategy[bytes]:
    """Payloads made of the words of a grammar, in any order, and of anything else between them."""
    part = st.one_of(st.sampled_from(texts), st.binary(max_size=4), st.integers(-(10**30), 10**400).map(b"%d".__mod__))
    return st.lists(part, max_size=8).map(b"".join)


@settings(max_examples=30)
@given(payloads=st.lists(st.one_of(pieces(b"OK: ", b" words\n", b" "), st.binary(max_size=100)), max_size=30))
@pytest.mark.parametrize(("name", "behavior"), [("echo", "Echo"), ("service", "Counter")])
def test_case_37_what_answers_answers_each_datagram_once_or_not_at_all(
    name: str, behavior: str, payloads: list[bytes]
) -> None:
    async def main(node: homing.Node) -> list[bytes]:
        example = getattr(load(name), behavior)
        probe = await Probe.start(node)
        pid = await node.spawn(type("Bare", (example,), {"init": lambda self: None}))
        for payload in payloads:
            node.send(pid, meta.MessageUDP(probe.pid, ADDRESS, payload))
        node.send(pid, meta.MessageUDP(probe.pid, ADDRESS, b"last"))
        answers = []
        while (answer := bytes((await probe.get()).data)) not in (b"OK: last", b"1 words\n"):
            answers.append(answer)
        assert node.info().crashes == 0
        return answers

    assert len(run(main)) <= len(payloads)


GELF = pieces(
    b'{"host":', b'"short_message":', b'"level":', b'"x"', b",", b"}", b"[", b"NaN", b"-1", b"\x1e\x0f", b"\x78\x9c"
)


@settings(max_examples=200)
@given(payloads=st.lists(st.one_of(GELF, st.sampled_from(SEEDS["gelf"]), st.binary(max_size=100)), max_size=8))
def test_case_37_gelf_takes_any_datagram(payloads: list[bytes]) -> None:
    parse = parser(load_gelf())
    for payload in (*payloads, b"[" * 60_000, b'{"level":' + b"9" * 60_000 + b"}"):
        parse(payload)
    figure(37, "random datagrams that crashed gelf", 0)


async def test_case_37_announce_keeps_no_more_listeners_than_it_may(node: homing.Node) -> None:
    example = load("announce")
    listeners: dict[Any, None] = {}
    pid = await node.spawn(
        type("Bare", (example.Announcer,), {"init": lambda self: setattr(self, "listeners", listeners)})
    )
    for port in range(1, 2001):
        node.send(pid, meta.MessageUDP(None, ("192.0.2.1", port), b""))
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    assert len(listeners) == 1000
    figure(37, "listeners that announce kept of 2,000 false ones", len(listeners))


@settings(max_examples=500)
@given(
    st.one_of(st.binary(max_size=80), st.randoms(use_true_random=False).map(lambda c: mutated(SEEDS["resolver"][0], c)))
)
def test_the_resolver_understands_an_answer_or_says_that_it_is_malformed(payload: bytes) -> None:
    try:
        found = load_resolver().addresses(payload)
    except ValueError:
        return
    assert all(len(address.split(".")) == 4 for address in found)
    assert len(found) <= len(payload) // 4


@cache
def load_resolver() -> Any:
    return load("resolver")


@cache
def load_gelf() -> Any:
    return load("gelf")


# --- for as long as one likes ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_case_37_a_long_time_of_random_datagrams(name: str) -> None:
    parse, chance = parser(load(name)), random.Random(37)
    slowest, count = 0.0, 0
    parse(SEEDS[name][0])
    tracemalloc.start()
    try:
        end = time.monotonic() + SECONDS
        while (begin := time.monotonic()) < end:
            parse(mutated(chance.choice(SEEDS[name]), chance))
            slowest, count = max(slowest, time.monotonic() - begin), count + 1
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    found = f"{count:,}, {slowest * 1000:.0f} ms, {left / 1024:.0f} KiB"
    figure(37, f"random datagrams to {name} in {SECONDS} s, the slowest, left in memory", found)
    assert left < 1 << 20


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed (pip install atheris)")
@pytest.mark.parametrize("name", SEEDS)
def test_case_37_a_long_time_of_datagrams_that_are_led_by_what_they_reach(name: str, tmp_path: Path) -> None:
    for number, seed in enumerate(SEEDS[name]):
        (tmp_path / str(number)).write_bytes(seed)
    command = [sys.executable, "-m", "tests.examples.fuzz", name, str(tmp_path)]
    limits = [f"-max_total_time={SECONDS}", "-max_len=65507", "-timeout=5", "-rss_limit_mb=1024"]
    run = subprocess.run([*command, *limits], cwd=EXAMPLES.parent, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr[-4000:]
    done = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+)", run.stderr)
    figure(37, f"datagrams to {name} led by coverage, edges reached", "{}, {}".format(*done[0]))
