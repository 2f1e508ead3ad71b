"""Sends lines from standard input to everybody who has sent a datagram: a meta-process with a blocking `start`.

python examples/announce.py 4000            # type lines here
nc -u 127.0.0.1 4000                        # in other terminals: press Enter once to join
"""

import os
import sys

import homing
from homing import act, gen, meta

MOST_LISTENERS = 1000  # source addresses may be forged: a flood of them must not fill the memory


class Lines(gen.MetaBehavior):
    """Reads standard input in a thread of its own; each line is a message to the parent."""

    def start(self):
        while line := os.read(sys.stdin.fileno(), 4096):
            self.process.send(self.process.parent, line)


class Announcer(act.Actor):
    async def init(self, port):
        self.listeners = {}
        server = await meta.listen_udp(self, host="127.0.0.1", port=port)
        self.udp = server.alias
        self.link_alias(await self.spawn_meta(Lines()))  # the end of the input ends this process
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        if isinstance(message, meta.MessageUDP):
            if len(self.listeners) >= MOST_LISTENERS or message.addr in self.listeners:
                return
            self.listeners[message.addr] = None
            print(len(self.listeners), "listening", flush=True)
        else:
            for addr in self.listeners:
                self.send(self.udp, meta.MessageUDP(addr=addr, data=message))


if __name__ == "__main__":
    homing.run(Announcer, int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
