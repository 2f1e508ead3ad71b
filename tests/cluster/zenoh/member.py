"""A program with a real node in a cluster, by zenoh: `python -m tests.cluster.zenoh.member NAME SEED`.

Its process "echo" answers requests and messages; it says its address, and each node that it sees come and go.
"""

from __future__ import annotations

import sys
from typing import Any

import homing
from homing import act, gen


class Echo(act.Actor):
    """Answers with what it gets."""

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send(sender, ("echo", message))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return ("echo", request)


async def main(node: homing.Node) -> None:
    await node.spawn(Echo, name="echo")
    cluster = await homing.cluster.join(node, gen.ClusterOptions(name="whole", join=tuple(sys.argv[2:])))
    print(*cluster.addresses, flush=True)
    await node.wait()


if __name__ == "__main__":
    homing.run(main, name=sys.argv[1])
