"""Options of peers are checked one by one, and the errors name them."""

from __future__ import annotations

from typing import Any

import pytest

from homing import act, gen, meta

from .players import Player


async def a_coroutine(message: meta.MessageUDP) -> bool:
    return True


class Asynchronous:
    async def __call__(self, message: meta.MessageUDP) -> bool:
        return False


class Batches(Player):
    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        pass


BAD: list[tuple[str, Any]] = [
    ("worker", None),
    ("worker", Player()),
    ("worker", int),
    ("worker", Batches),
    ("worker_args", [1]),
    ("worker_options", {}),
    ("worker_options", gen.ProcessOptions(mailbox_size=5)),
    ("worker_options", gen.ProcessOptions(link_child=True)),
    ("worker_options", gen.ProcessOptions(thread=True)),
    *(("idle", value) for value in (0, -1, "1", float("nan"), True)),
    *(("most", value) for value in (0, -1, 1.5, "1", True, 10**7)),
    *(("unproven_share", value) for value in (0, -0.5, 1.1, "1", float("nan"), None)),
    *(("queue", value) for value in (0, 1.5, None)),
    *(("queue_bytes", value) for value in (0, "1", None)),
    *(("rate", value) for value in (0, -1, "1", float("inf"))),
    ("burst", 0),
    ("burst", 5),
    *(("accept", value) for value in (5, a_coroutine, Asynchronous())),
    *(("key", value) for value in (b"id", a_coroutine, Asynchronous())),
    *(("notify", value) for value in ("", 5, Player)),
    *(("restart", value) for value in ("permanent", None, 1)),
    *(("intensity", value) for value in (-1, 1.5, 10**6)),
    *(("period", value) for value in (0, None)),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}-{number}" for number, (name, _) in enumerate(BAD)])
def test_a_bad_option_is_named(name: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.PeerOptions(**{"worker": Player, name: value})
    assert caught.value.option == name


def test_a_burst_below_one_is_named() -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.PeerOptions(worker=Player, rate=5, burst=0)
    assert caught.value.option == "burst"


@pytest.mark.parametrize(
    ("name", "value"), [("process", "somebody"), ("worker", Player), ("workers", 3), ("route", "source")]
)
def test_datagrams_go_to_peers_or_elsewhere_not_both(name: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPServerOptions(peers=meta.PeerOptions(worker=Player), **{name: value})
    assert caught.value.option == name


@pytest.mark.parametrize("value", [Player, {"worker": Player}, True])
def test_peers_are_given_as_options(value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        meta.UDPServerOptions(peers=value)
    assert caught.value.option == "peers"


def test_any_actor_may_be_the_worker() -> None:
    assert meta.PeerOptions(worker=act.Actor).worker is act.Actor


def test_unproven_peers_always_have_a_place() -> None:
    assert meta.PeerOptions(worker=Player, most=1, unproven_share=0.1).most_unproven == 1
