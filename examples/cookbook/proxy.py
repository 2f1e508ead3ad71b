"""A UDP proxy: each client has a socket of its own towards the server behind, so that its answers find their way back.

python examples/cookbook/proxy.py 4000 127.0.0.1 2345
"""

import sys

import homing
from homing import act, gen, meta

MOST_CLIENTS = 100  # each costs a socket, and the source of a datagram can be forged
IDLE = 60.0  # seconds: a client that is silent for so long is forgotten, within twice as long


class Proxy(act.Actor):
    async def init(self, port, host, server_port):
        self.server = {"host": host, "port": server_port}
        self.sockets, self.clients, self.active = {}, {}, set()
        guard = meta.ReplyGuard(rate=1000, burst=1000, amplification=10)
        front = await meta.listen_udp(self, host="127.0.0.1", port=port, reply_guard=guard)
        self.front = front.alias
        self.send_every(self.pid, "sweep", IDLE)
        print("listening on port", front.local_address[1], flush=True)

    async def handle_message(self, sender, message):
        if message == "sweep":
            self.sweep()
        elif message.id == self.front:
            await self.to_server(message)
        elif message.id in self.clients:  # else it comes too late: the client is forgotten
            self.send(self.front, meta.MessageUDP(addr=self.clients[message.id], data=message.data))

    async def to_server(self, message):
        if message.addr not in self.sockets:
            if len(self.sockets) >= MOST_CLIENTS:
                return  # those who are here are served on
            back = await meta.connect_udp(self, **self.server)
            self.sockets[message.addr], self.clients[back.alias] = back.alias, message.addr
        self.active.add(message.addr)
        self.send(self.sockets[message.addr], message.data)

    def sweep(self):
        for addr in self.sockets.keys() - self.active:
            alias = self.sockets.pop(addr)
            del self.clients[alias]
            self.send_exit_meta(alias, gen.TerminateNormal)
        self.active.clear()


if __name__ == "__main__":
    port, host, server_port = sys.argv[1:] if len(sys.argv) > 3 else ("4000", "127.0.0.1", "2345")
    homing.run(Proxy, int(port), host, int(server_port))
