"""`homing trace`, and `homing run --otel`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from homing.cli.traces import duration, summary_line, trace_lines

from ..support import DEADLINE, UDPPeer
from .nodes import environment, run, run_to_the_end, udp_port


async def trace(
    runtime: Path, peer: UDPPeer, port: int, *arguments: str, data: bytes = b"hello"
) -> tuple[int, str, str]:
    """`homing trace` while packets come: its exit code, and what it printed to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "homing", "trace"),
        *arguments,
        env=environment(runtime),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * DEADLINE):
        reading = asyncio.create_task(process.communicate())
        while not reading.done():
            peer.send(data, ("127.0.0.1", port))
            await asyncio.sleep(0.01)
        out, err = await reading
    return process.returncode or 0, out.decode(), err.decode()


async def test_it_prints_each_packet_with_its_handler_and_reply_and_a_summary(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service") as running:
        port = await udp_port(running)
        code, out, err = await trace(runtime, peer, port, f":{port}", "--limit", "2", "--payload")
        assert (code, err) == (0, "")
        first, payload, handled, replied, second, *_, summary = out.splitlines()
        time = r"[\d.]+ (?:us|ms|s)"
        to = rf"127\.0\.0\.1:{peer.address[1]}"
        assert re.fullmatch(rf"#1  [\d:.]+  packet of 5 bytes from {to} at 127\.0\.0\.1:{port}, {time}", first)
        assert payload.strip() == "payload 68656c6c6f"
        assert re.fullmatch(rf"    queue {time}, echo Echo <served@localhost\.\d+> handled it in {time}", handled)
        assert re.fullmatch(rf"      \+{time} +reply 2 bytes to {to}", replied)
        assert second.startswith("#2  ")
        assert re.fullmatch(
            rf"2 traces(?:, [\d,]+ more messages skipped, above the rate)?; queue p50 {time}, p99 {time}; "
            rf"handling p50 {time}, p99 {time}",
            summary,
        )
        code, out, err = await trace(runtime, peer, port, "--limit", "1", "--json")
        record, summed = map(json.loads, out.splitlines())
        assert (code, err) == (0, "")
        assert record["socket"] == f"127.0.0.1:{port}"
        assert record["payload"] is None
        assert summed["ended"] == "limit"
        code, out, err = await trace(runtime, peer, port, "workers", "--seconds", "0.1")
        assert (code, out, err) == (0, "no message came in 0.1 s\n", "")


async def test_it_says_why_it_ends_with_an_exit_code_above_0(runtime: Path, peer: UDPPeer) -> None:
    expected = [
        (("nobody",), 1, "homing trace: no process has the name 'nobody'"),
        (("--limit", "0"), 2, "homing trace: limit=0: give an integer from 1 to 10,000"),
        (("--node", "x"), 2, "homing trace: no node x runs"),
    ]
    async with run(runtime, "served:Service") as running:
        port = await udp_port(running)
        found = await asyncio.gather(*(trace(runtime, peer, port, *arguments) for arguments, *_ in expected))
    for (code, out, err), (_, expected_code, text) in zip(found, expected, strict=True):
        assert (code, out) == (expected_code, "")
        assert text in err


async def test_run_with_otel_says_that_no_sdk_is_configured_and_serves(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "served:Service", "--otel", "--otel-sample", "1") as running:
        port = await udp_port(running)
        assert "opentelemetry-instrument" in await running.line_with("no OpenTelemetry SDK is configured")
        assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK"


async def test_run_with_otel_sends_the_spans_to_the_provider_of_the_service(runtime: Path, peer: UDPPeer) -> None:
    async with run(runtime, "spanned:Service", "--otel", "--otel-sample", "1") as running:
        port = await udp_port(running)
        assert await peer.ask(b"hello", ("127.0.0.1", port)) == b"OK"
        await running.line_with("span udp packet")
    assert not any("no OpenTelemetry SDK" in line for line in running.output)


async def test_run_with_otel_refuses_a_share_of_none(runtime: Path) -> None:
    code, output = await run_to_the_end(runtime, "served:Service", "--otel", "--otel-sample", "0")
    assert code == 1
    assert "sample=0" in output


# --- the words --------------------------------------------------------------------------------------------


def handling(number: int, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "parent": 0,
        "step": 0,
        "kind": "packet",
        "receiver": "<a@b.1001>",
        "process": "<a@b.1001>",
        "name": None,
        "behavior": "Echo",
        "after": 0.001,
        "queue": 0.001,
        "handling": 0.002,
        "outcome": "ok",
        "error": "",
        "steps": [],
        "steps_left_out": 0,
        **more,
    }


def step(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "to": "db", "after": 0.0015, "seconds": None, "size": None, "error": "", **more}


def record(*handlings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "item": "trace",
        "number": 1,
        "kind": "packet",
        "at": 0.0,
        "socket": "127.0.0.1:1",
        "source": "127.0.0.1:2",
        "size": 5,
        "count": 1,
        "payload": None,
        "seconds": 0.003,
        "complete": True,
        "handlings": list(handlings),
        "left_out": 0,
        **more,
    }


def test_a_step_is_followed_by_what_it_has_led_to_one_level_deeper() -> None:
    first = handling(1, steps=[step("call", seconds=0.0004), step("send", to="log"), step("reply", to="p", size=1)])
    lines = list(trace_lines(record(first, handling(2, parent=1, step=2), handling(3, parent=1, step=1, name="db"))))
    assert [line.strip() for line in lines[2:]] == [
        "+1.5 ms    call db, answered in 400 us",
        "queue 1 ms, db Echo <a@b.1001> handled it in 2 ms",
        "+1.5 ms    send to log",
        "queue 1 ms, Echo <a@b.1001> handled it in 2 ms",
        "+1.5 ms    reply 1 byte to p",
    ]
    assert [len(line) - len(line.lstrip()) for line in lines[1:]] == [4, 6, 8, 6, 8, 6]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"outcome": "error", "error": "ValueError('x')"}, "handled it in 2 ms and crashed"),
        ({"outcome": "stopped"}, "handled it in 2 ms and ended"),
        ({"outcome": "waiting", "queue": None}, "waits for <a@b.1001>"),
        ({"outcome": "running"}, "still handles it"),
        ({"outcome": "lost", "queue": None}, "never handled; it was for <a@b.1001>"),
        ({"queue": None}, "queue unknown, "),
        ({"steps": [step("call")]}, "call db, no answer yet"),
        ({"steps": [step("call", error="CallTimeout()")]}, "call db: CallTimeout()"),
        ({"steps_left_out": 2}, "... and 2 more steps"),
    ],
)
def test_each_outcome_has_its_words(more: dict[str, Any], text: str) -> None:
    assert text in "\n".join(trace_lines(record(handling(1, **more))))


def test_a_batch_a_message_and_a_trace_that_is_not_over_have_their_words() -> None:
    batch = record(handling(1), kind="batch", count=3, source=None)
    assert "batch of 3 packets, 5 bytes, at 127.0.0.1:1, 3 ms" in next(trace_lines(batch))
    message = record(handling(1), kind="message", size=None, socket=None, source="<a@b.1002>", complete=False)
    assert "message from <a@b.1002>, not over after 3 ms" in next(trace_lines(message))
    assert list(trace_lines(record(handling(1), left_out=1)))[-1].strip() == "... and 1 more message, not followed"


def test_a_summary_names_what_was_not_in_order() -> None:
    summary = {"ended": "seconds", "count": 2, "errors": 1, "lost": 0, "incomplete": 1, "skipped": 1200}
    summary |= {"queue_p50": 0.001, "queue_p99": 0.002, "handling_p50": None, "handling_p99": None}
    assert summary_line(summary, 10.0) == (
        "2 traces in 10 s, 1 with a crash, 1 not over, 1,200 more messages skipped, above the rate; "
        "queue p50 1 ms, p99 2 ms"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 us"), (24e-6, "24 us"), (0.00124, "1.24 ms"), (0.9999, "1 s"), (2.1, "2.1 s"), (0.0009999, "1 ms")],
)
def test_a_time_has_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
