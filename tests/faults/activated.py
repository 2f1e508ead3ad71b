"""A service as systemd starts one: a server for each argument `name=port`, which answers with its name.

"crash" crashes the server's owner, "children" answers with what a child process has of the sockets and variables.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import homing
from homing import act, gen, meta

CHILD = """
import os
variables = [name for name in os.environ if name.startswith("LISTEN_")]
print(variables, sorted(map(int, os.listdir("/proc/self/fd"))))
"""


class Server(act.Actor):
    async def init(self, name: str, port: int) -> None:
        options = meta.UDPServerOptions(host="127.0.0.1", port=port, activation=name or None, receive_buffer=50_000)
        server = meta.create_udp_server(options)
        udp = await self.spawn_meta(server)
        facts = await self.inspect_meta(udp)
        self.answer = name.encode() or b"unnamed"
        print(f"listens {name} {server.local_address[1]} {facts['receive_buffer']}", flush=True)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message.data == b"crash":
            raise RuntimeError("on request")
        answer = self.answer
        if message.data == b"children":
            command = [sys.executable, "-c", CHILD]
            answer = subprocess.run(command, close_fds=False, capture_output=True, check=True, timeout=10).stdout
        self.send(message.id, message.reply(answer))


class Service(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        wanted = [argument.split("=") for argument in sys.argv[1:]]
        children = [
            act.ChildSpec(name=f"server {number}", behavior=Server, args=(name, int(port)))
            for number, (name, port) in enumerate(wanted)
        ]
        return act.SupervisorSpec(children=tuple(children))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    print("LISTEN_PID" in os.environ, flush=True)
    homing.run(Service)
