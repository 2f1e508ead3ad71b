"""On a virtual loop waiting takes no time, and everything that waits for a time works."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import FakeNetwork, VirtualLoop, run_virtual

from .networks import CLIENT, SERVER, Echo

HOUR = 3600.0
Main = Callable[[homing.Node], Coroutine[Any, Any, Any]]


def on_node(main: Main) -> Any:
    """Runs `main(node)` in virtual time, and stops the node."""

    async def body() -> Any:
        async with homing.start_node("test@localhost") as node:
            return await main(node)

    return run_virtual(body)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_coroutine_in_the_place_of_its_function_is_refused_with_advice() -> None:
    async def main() -> None: ...

    with pytest.raises(gen.BadOption, match="give the function itself"):
        run_virtual(main())  # type: ignore[arg-type]


# --- the loop ---------------------------------------------------------------------------------------------


def test_an_hour_is_over_at_once() -> None:
    async def main(word: str) -> tuple[str, float]:
        await asyncio.sleep(HOUR)
        return word, now()

    begun = time.monotonic()
    assert run_virtual(main, "done") == ("done", HOUR)
    assert time.monotonic() - begun < HOUR / 100


def test_timers_fire_in_their_order_each_at_its_time() -> None:
    async def main() -> list[float]:
        fired: list[float] = []
        loop = asyncio.get_running_loop()
        for seconds in (3.0, 1e-7, 0.1, 100_000.0, 2.5):
            loop.call_later(seconds, lambda: fired.append(now()))
        await asyncio.sleep(200_000)
        return fired

    assert run_virtual(main) == [1e-7, 0.1, 2.5, 3.0, 100_000.0]


def test_a_timeout_ends_what_would_wait_for_ever() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return now()

    assert run_virtual(main) == 60.0


def test_what_main_raises_is_raised() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_virtual(main)


def test_with_patience_a_thread_is_waited_for_before_the_clock_jumps() -> None:
    async def main() -> float:
        async with asyncio.timeout(1.0):
            await asyncio.to_thread(time.sleep, 0.05)
        return now()

    assert run_virtual(main, patience=5.0) == 0.0


def test_sockets_of_the_system_work_as_well() -> None:
    async def main() -> bytes:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
            other.sendto(b"hello", one.getsockname())
            return await asyncio.get_running_loop().sock_recv(one, 100)

    assert run_virtual(main) == b"hello"


@pytest.mark.parametrize("patience", [-1, float("inf"), "long"])
def test_a_bad_patience_is_refused(patience: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        VirtualLoop(patience=patience)
    assert caught.value.option == "patience"


# --- the runtime on it ------------------------------------------------------------------------------------


def test_send_after_and_send_every_keep_their_times() -> None:
    class Clock(act.Actor):
        def init(self, ticks: list[tuple[str, float]]) -> None:
            self.ticks = ticks
            self.send_after(self.pid, "once", HOUR)
            self.send_every(self.pid, "often", HOUR / 4)

        def handle_message(self, sender: gen.PID, message: str) -> None:
            self.ticks.append((message, now()))

    async def main(node: homing.Node) -> list[tuple[str, float]]:
        ticks: list[tuple[str, float]] = []
        await node.spawn(Clock, ticks)
        await asyncio.sleep(HOUR + 1)
        return ticks

    assert on_node(main) == [*(("often", 900.0 * n) for n in (1, 2, 3)), ("once", HOUR), ("often", HOUR)]


def test_a_call_times_out_at_its_time() -> None:
    class Silent(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return gen.NO_REPLY

    async def main(node: homing.Node) -> float:
        with pytest.raises(gen.CallTimeout):
            await node.call(await node.spawn(Silent), "anybody?", timeout=HOUR)
        return now()

    assert on_node(main) == HOUR


class Crashes(act.Actor):
    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise RuntimeError("asked to")


@pytest.mark.parametrize(("seconds", "survives"), [(1.1, True), (0.9, False)])
def test_a_supervisor_counts_restarts_by_virtual_time(seconds: float, survives: bool) -> None:
    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            child = act.ChildSpec(name="child", behavior=Crashes)
            return act.SupervisorSpec(children=(child,), intensity=5, period=5.0)

    async def main(node: homing.Node) -> bool:
        top = await node.spawn(Top)
        for _ in range(50):
            try:
                node.send("child", "crash")
            except gen.NameUnknown:
                break
            await asyncio.sleep(seconds)
        return top in node.processes()

    assert on_node(main) is survives


def test_a_router_paces_the_restarts_of_its_routes_by_virtual_time() -> None:
    starts: list[float] = []

    class Route(Crashes):
        def init(self) -> None:
            starts.append(now())

    class Top(act.Router):
        def init(self) -> act.RouterOptions:
            return act.RouterOptions(routes=(act.RouteSpec(name="route", behavior=Route),))

        def route_message(self, sender: gen.PID, message: Any) -> str:
            return "route"

    async def main(node: homing.Node) -> None:
        top = await node.spawn(Top)
        for seconds in (0.0, 10.0, 1.0, 10.0):
            await asyncio.sleep(seconds)
            node.send(top, "crash")
        await asyncio.sleep(10)

    on_node(main)
    assert starts == pytest.approx([0.0, 0.0, 10.0, 11.1, 21.0])


def test_a_socket_lingers_for_its_time_and_no_longer() -> None:
    async def main(node: homing.Node) -> tuple[bool, bool]:
        with FakeNetwork(seed=1) as network:
            owner = await node.spawn(Echo, {"linger": HOUR})
            node.kill(owner)
            await asyncio.sleep(HOUR - 1)
            before = bool(network._traffic.sockets)
            await asyncio.sleep(2)
            return before, bool(network._traffic.sockets)

    assert on_node(main) == (True, False)


def test_a_successor_adopts_what_has_waited_for_an_hour() -> None:
    async def main(node: homing.Node) -> list[bytes]:
        with FakeNetwork(seed=1, delay=0.01) as network:
            node.kill(await node.spawn(Echo, {"linger": 2 * HOUR}))
            peer = network.socket(*CLIENT)
            for number in range(3):
                peer.send(b"%d" % number, SERVER)
            await asyncio.sleep(HOUR)
            await node.spawn(Echo, {"linger": 2 * HOUR})
            return [(await peer.receive())[0] for _ in range(3)]

    assert on_node(main) == [b"0", b"1", b"2"]


def test_a_node_that_is_stopped_kills_who_does_not_end_when_its_time_is_up() -> None:
    class Stubborn(act.Actor):
        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            await asyncio.sleep(10 * HOUR)

    async def main() -> tuple[bool, float]:
        node = await homing.start_node("test@localhost")
        node.send(await node.spawn(Stubborn), "work")
        await asyncio.sleep(0)
        return await node.stop(60.0), now()

    in_order, when = run_virtual(main)
    assert not in_order
    assert 60 <= when < 70


# --- a protocol -------------------------------------------------------------------------------------------


class Client(act.Actor):
    """Asks again until it is answered, twice as late each time; matches answers by number."""

    async def init(self, host: str, count: int, answers: list[int]) -> None:
        self.answers = answers
        self.open = dict.fromkeys(range(count), 0.2)
        self.udp = await self.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(host=host)))
        for number in range(count):
            self.ask(number)

    def ask(self, number: int) -> None:
        if number in self.open:
            self.send(self.udp, meta.MessageUDP(None, SERVER, b"%d" % number))
            self.send_after(self.pid, number, self.open[number])
            self.open[number] *= 2

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP | int) -> None:
        if isinstance(message, int):
            self.ask(message)
        elif self.open.pop(int(message.data), None) is not None:
            self.answers.append(int(message.data))


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_request_that_is_repeated_survives_a_loss_of_30_percent(seed: int) -> None:
    async def main(node: homing.Node) -> list[list[int]]:
        bad: dict[str, Any] = {"loss": 0.3, "duplicate": 0.1, "reorder": 0.2, "delay": (0.001, 0.05)}
        with FakeNetwork(seed=seed, **bad) as network:
            await node.spawn(Echo)
            answers: list[list[int]] = [[] for _ in range(3)]
            for place, own in enumerate(answers):
                await node.spawn(Client, f"10.0.1.{place}", 40, own)
            await asyncio.sleep(HOUR)
            assert network.statistics.lost > 30
            assert network.statistics.in_flight == 0
            return answers

    assert [sorted(own) for own in on_node(main)] == [list(range(40))] * 3


def test_a_server_paces_what_it_sends_by_virtual_time() -> None:
    async def main(node: homing.Node) -> float:
        with FakeNetwork(seed=1) as network:
            peer = network.socket(*CLIENT)
            await node.spawn(Echo, {"send_rate": meta.Pacing(bytes_per_second=1000, burst=1000)})
            for _ in range(101):
                peer.send(bytes(72), SERVER)
            for _ in range(101):
                await peer.receive()
            return now()

    assert on_node(main) == pytest.approx(9.0)  # 101 packets of 100 octets, of which those in the first 1000 go at once
