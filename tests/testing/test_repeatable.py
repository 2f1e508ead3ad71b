"""The same seed and program give the same run, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import asyncio, random, sys, time
import homing
from homing import act, meta
from homing.testing import FakeNetwork, run_virtual


class Worker(act.Actor):
    async def handle_message(self, sender, message):
        if message.data == b"13":
            raise RuntimeError("unlucky")
        if SLOW:
            time.sleep(random.random() * 0.001)
        self.send(message.id, message.reply(message.data))
        self.send_after(message.id, message.reply(b"again"), 0.01)


class Owner(act.Actor):
    async def init(self, host):
        options = meta.UDPServerOptions(host=host, port=53, worker=Worker, workers=5, high_water=32, linger=1.0)
        await self.spawn_meta(meta.create_udp_server(options))


class Top(act.Supervisor):
    def init(self):
        hosts = [f"10.0.0.{number}" for number in range(1, 4)]
        children = [act.ChildSpec(name=host, behavior=Owner, args=(host,)) for host in hosts]
        return act.SupervisorSpec(children=tuple(children))


async def main():
    bad = dict(loss=0.1, duplicate=0.1, reorder=0.2, delay=(0.0, 0.02))
    with FakeNetwork(seed=int(sys.argv[1]), trace=print, **bad) as network:
        async with homing.start_node("test@localhost") as node:
            await node.spawn(Top)
            peers = [network.socket(f"10.0.1.{number}") for number in range(5)]
            for number in range(30):
                for place, peer in enumerate(peers):
                    peer.send(b"%d" % number, (f"10.0.0.{place % 3 + 1}", 53))
                await asyncio.sleep(0.001)
            await asyncio.sleep(10)
    print(network.statistics)


SLOW = sys.argv[2] == "slow"
run_virtual(main)
"""


def trace(seed: int, hash_seed: str, speed: str = "fast") -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", PROGRAM, str(seed), speed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_runs_have_the_same_trace_whatever_the_hash_seed_is() -> None:
    first = trace(7, "1")
    assert first.count("\n") > 500
    assert trace(7, "2") == first


def test_how_fast_the_program_runs_changes_nothing() -> None:
    assert trace(7, "1", "slow") == trace(7, "1")


def test_another_seed_has_another_trace() -> None:
    assert trace(8, "1") != trace(7, "1")
