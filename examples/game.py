"""A world for thousands of players: each is a process; ten times a second, each gets the positions of those near it.

python examples/game.py 4000
A client sends "join", returns the token that it gets, and then sends "X Y", its position on a map of 1000 x 1000.
"""

import secrets
import sys
from collections import defaultdict

import homing
from homing import act, gen, meta

TICK, SIZE, CELL, MOST_SEEN = 0.1, 1000, 100, 50


class Player(meta.PeerActor):
    """One player. Nobody plays in another's name: who joins has to return a token that was sent to his address."""

    def init(self):
        self.token = secrets.token_hex(8).encode()

    def handle_message(self, sender, message):
        if self.peer.is_proven:
            if message.data == b"leave":
                raise gen.TerminateNormal
            self.move(message.data)
        elif message.data == self.token:
            self.peer.proven()
            self.peer.send(b"welcome")
        else:
            self.peer.send(self.token)

    def move(self, data):
        try:
            x, y = (int(word) for word in data.split())
        except ValueError:
            return
        if 0 <= x < SIZE and 0 <= y < SIZE:
            self.send("world", (self.peer, x, y))


class World(act.Actor):
    """Knows where everybody is, and tells each player who else is in its cell."""

    async def init(self, port):
        self.places = {}
        peers = meta.PeerOptions(
            worker=Player,
            accept=lambda message: message.data == b"join".ljust(16),  # as long as the token: nothing to amplify
            idle=10.0,
            most=10_000,
            rate=50,
            notify="world",
        )
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, receive_buffer=1 << 20, peers=peers)
        self.send_every(self.pid, "tick", TICK)
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        match message:
            case "tick":
                self.tick()
            case meta.MessagePeerDown(peer=peer):
                self.places.pop(peer, None)
            case (meta.Peer() as peer, x, y):
                self.places[peer] = (x, y)

    def tick(self):
        cells = defaultdict(list)
        for peer, (x, y) in self.places.items():
            cells[x // CELL, y // CELL].append((peer, x, y))
        for inside in cells.values():
            seen = b" ".join(b"%d,%d" % (x, y) for _, x, y in inside[:MOST_SEEN])
            for peer, _, _ in inside:
                peer.send(seen)


async def main(node, port):
    await node.spawn(World, port, name="world")
    await node.wait()


if __name__ == "__main__":
    homing.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
