"""Every two of the options that drop, mark, replace, limit or record datagrams work together on one server: whatever
comes, and whatever is switched off and on meanwhile, the ledger is exact, and each of the two does what it promises."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...captures import captured, untap
from ...datagram.traffic import linux_only
from ...support import Probe, eventually, examples
from ..servers import balanced, open_server
from .paired import ON, REFUSED, SEPARATE, Run

pytestmark = pytest.mark.backends

MARKED = {"kernel", "receiver_full", "receiver_oldest", "no_receiver", "expired", "codel", "unfair"}
"""The causes of drops that have markers."""
MOST_SHOWN = 10
"""Sources in `unfair_sources`."""
AFTER_WAITING = "after it had waited"
"""In the comment of a second record of a datagram."""
REFUSED_PAIRS = {
    ("loss_markers", "admit in the kernel"),
    ("admit in the process", "admit in the kernel"),
}
"""The pairs that are refused, and those that are two values of one option."""
PAIRS = [
    pytest.param(pair, id=" and ".join(pair), marks=[linux_only] if "admit in the kernel" in pair else [])
    for pair in combinations(ON, 2)
    if pair not in REFUSED_PAIRS
]


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(examples(1, 25)))
@pytest.mark.parametrize("pair", PAIRS)
async def test_two_options_of_a_server_do_what_they_promise_together(
    pair: tuple[str, str], seed: int, node: homing.Node, probe: Probe, tmp_path: Path
) -> None:
    with Run(pair, f"{pair} {seed}", tmp_path / "x.pcapng") as run:
        await run.start(node, probe)
        await run.go(30)
        ledger = await run.settle()
        check_datagrams(run, ledger)
        if run.always("loss_markers"):
            await check_markers(run)
        check_freshness(run, ledger)
        check_admission(run, ledger)
        await check_answers(run)
        if run.always("tap"):
            await check_tap(run, ledger)
        if "state" in pair:
            await eventually(lambda: run.crashes == 0 and run.is_alive())
            assert await node.call("receiver", "handled") == ledger.delivered
        if run.always("fair"):
            losers = (await node.inspect_meta(run.alias, "unfair_sources"))["unfair_sources"]
            assert sum(losers.values()) == ledger.dropped["unfair"] or len(losers) == MOST_SHOWN
        if "high_water_seconds" in pair:
            now = (await node.inspect_meta(run.alias, "high_water_now"))["high_water_now"]
            assert now <= run.high_water
        if run.pool is not None:
            await eventually(lambda: run.pool is None or run.pool.lent == 0)


def check_datagrams(run: Run, ledger: meta.Ledger) -> None:
    """Each datagram came as it was sent, once, and in its order."""
    got = run.datagrams
    assert all(one.intact for one in got)
    numbers = [one.number for one in got]
    assert len(set(numbers)) == len(numbers)
    if not {"conflate", "fair"} & set(run.pair):
        assert numbers == sorted(numbers)
    for lane in {(one.source, one.key) for one in got}:
        of_one = [one.number for one in got if (one.source, one.key) == lane]
        assert of_one == sorted(of_one)
    causes = {cause for cause, count in ledger.dropped.items() if count}
    possible = {"kernel", "receiver_full", "receiver_oldest", "no_receiver"}
    if "state" not in run.pair:
        possible.remove("no_receiver")
    own = {
        "max_age": "expired",
        "conflate": "conflated",
        "codel": "codel",
        "admit in the process": "filtered",
        "fair": "unfair",
    }
    assert causes <= possible | {own[name] for name in run.pair if name in own}


async def check_markers(run: Run) -> None:
    """The markers tell of all drops that have any, and stand where the datagrams are missing."""
    wanted = {cause: n for cause, n in balanced(run.server).dropped.items() if n and cause in MARKED}

    def told() -> Counter[str]:
        causes: Counter[str] = Counter()
        for marker in run.markers:
            causes[marker.cause] += marker.count
        return causes

    try:
        await eventually(lambda: told() == wanted)
    except AssertionError:
        raise AssertionError(f"{told()} were told, {wanted} dropped") from None
    if {"conflate", "fair"} & set(run.pair):
        return
    following = marked = 0
    for one in run.got:
        if one.marker is not None:
            marked += one.marker.count
            continue
        missing = one.number - following
        refused = sum(data[1] == REFUSED for data in run.sent[following : one.number]) if run.admits else 0
        assert missing - refused <= marked <= missing
        following, marked = one.number + 1, 0
    assert marked <= len(run.sent) - following


def check_freshness(run: Run, ledger: meta.Ledger) -> None:
    """Nothing came that was too old, and the last of each key did, if nothing but newer ones could take its place."""
    assert not [one for one in run.datagrams if one.number in one.stale]
    others = sum(ledger.dropped.values()) - ledger.dropped["conflated"]
    if run.always("conflate") and others == 0:
        got = {one.number for one in run.datagrams}
        last = {(data[0], data[1]): number for number, data in enumerate(run.sent)}
        assert set(last.values()) <= got
        assert {number for number, data in enumerate(run.sent) if data[1] == SEPARATE} <= got


def check_admission(run: Run, ledger: meta.Ledger) -> None:
    """Nothing came that is refused, and it was counted where it was refused."""
    refused = sum(data[1] == REFUSED for data in run.sent)
    got = sum(one.key == REFUSED for one in run.datagrams)
    if run.always("admit in the process"):
        assert got == 0
        assert refused - ledger.dropped["kernel"] <= ledger.dropped["filtered"] <= refused
    if run.always("admit in the kernel"):
        assert (got, ledger.dropped["filtered"]) == (0, 0)
        assert ledger.dropped["kernel"] == refused if not run.small else ledger.dropped["kernel"] >= refused


async def check_answers(run: Run) -> None:
    """Each datagram was answered, or its answer was counted; and no source got more than its part."""
    handled = len(run.datagrams) if run.answers else 0

    def done() -> bool:
        counted = run.server.statistics()
        return counted.packets_out + counted.amplification_limited == handled

    await eventually(done, "the account of the answers")
    if not run.always("amplification"):
        return
    for number, source in enumerate(run.sources):
        came = sum(len(data) for data in run.sent if data[0] == number)
        source.socket.setblocking(False)
        assert received_by(source.socket) <= 3 * came


def received_by(sock: Any) -> int:
    """The bytes that wait at a socket."""
    size = 0
    while True:
        try:
            size += len(sock.recv(65536))
        except BlockingIOError:
            return size


async def check_tap(run: Run, ledger: meta.Ledger) -> None:
    """The capture has each datagram that was read, and each drop with its cause."""
    state = await untap(run.node, run.server, run.alias)
    assert (state["missed"], state["error"]) == (0, "")
    records = captured(run.path)
    came = [one for one in records if not one.outgoing]
    first = [one for one in came if AFTER_WAITING not in one.comment]
    assert len(first) == ledger.received - ledger.dropped.get("kernel", 0)
    dropped = Counter(cause_of(one.comment) for one in came if one.comment.startswith("dropped"))
    assert dropped == {cause: n for cause, n in ledger.dropped.items() if n and cause != "kernel"}
    read = [one.data for one in first]
    assert len(set(read)) == len(read)
    assert set(read) >= {run.sent[one.number] for one in run.datagrams}
    assert [data for data in run.sent if data in set(read)] == read
    counted = run.server.statistics()
    left = Counter(one.comment.partition(",")[0] for one in records if one.outgoing)
    wanted = {"out": counted.packets_out, "dropped out: amplification": counted.amplification_limited}
    assert left == {comment: n for comment, n in wanted.items() if n}


def cause_of(comment: str) -> str:
    """The cause in the comment of a datagram that was dropped."""
    return comment.partition(",")[0].removeprefix("dropped in: ")


async def test_markers_beside_a_tap_are_refused_if_sources_are_limited(
    node: homing.Node, probe: Probe, tmp_path: Path
) -> None:
    tap = meta.Tap(tmp_path / "x.pcapng")
    limits: list[dict[str, Any]] = [
        {"allow": ("127.0.0.0/8",)},
        {"deny": ("127.0.0.9",)},
        {"admit": meta.where.length > 1, "admit_in": "process"},
        {"rate_limit": meta.RateLimit(rate=1)},
    ]
    for limit in limits:
        with pytest.raises(gen.BadOption, match=f"loss_markers.*{next(iter(limit))}="):
            meta.UDPServerOptions(loss_markers=True, tap=tap, **limit)
        _, alias = await open_server(probe, loss_markers=True, **limit)
        with pytest.raises(gen.BadOption, match="loss_markers"):
            await node.call(alias, meta.Reconfigure(tap=tap))


@linux_only
@pytest.mark.parametrize("pair", sorted(REFUSED_PAIRS)[1:])
async def test_two_options_that_exclude_each_other_are_refused_at_the_start_and_later(
    pair: tuple[str, str], node: homing.Node, probe: Probe, tmp_path: Path
) -> None:
    with Run(pair, "refused", tmp_path / "x.pcapng") as run:
        one, other = (run.options_of(name) for name in pair)
        with pytest.raises(gen.BadOption, match="loss_markers"):
            meta.UDPServerOptions(**one, **other)
        for first, second in ((one, other), (other, one)):
            _, alias = await open_server(probe, **first)
            with pytest.raises(gen.BadOption, match="loss_markers"):
                await node.call(alias, meta.Reconfigure(**second))
