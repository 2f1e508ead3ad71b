"""A world for thousands of players: each is a process; ten times a second, each gets the positions of those near it.

homing demo game, or: python examples/servers/game.py [PORT]
printf '%-16s' join | nc -u -w1 127.0.0.1 4000
A client sends "join", padded to 16 bytes, returns the token that it gets, and then sends "X Y", its position on a map
of 1000 x 1000, as often as it likes.
"""

import re
import secrets
import sys
import time
from collections import Counter, defaultdict
from typing import Any

import homing
from homing import act, gen, meta

PORT = 4000
TRY = ("printf '%-16s' join | nc -u -w1 127.0.0.1 {port}", "iperf -u -c 127.0.0.1 -p {port} -b 20M -t 5")
TICK, SIZE, CELL, MOST_SEEN = 0.1, 1000, 100, 50  # s, and the length of the map and of a cell; 50 players: 400 bytes
MOST_PLAYERS, IDLE, RATE = 10_000, 30.0, 50  # some 30 MB; s; datagrams a second: five positions a tick
JOIN = b"join".ljust(16)  # as long as the token, which is the answer: nothing to amplify
POSITION = re.compile(rb"\s*(\d{1,3})\s+(\d{1,3})\s*")


def parse_untrusted(data: bytes) -> tuple[int, int]:
    """Returns a position. May raise only `ValueError`, whatever the bytes."""
    found = POSITION.fullmatch(data)
    if found is None:
        raise ValueError("not a position")
    return int(found[1]), int(found[2])


def latest(message: meta.MessageUDP) -> Any:
    """Of the positions of a player that wait, only the newest counts; all other datagrams do."""
    return message.addr if POSITION.fullmatch(message.data) else None


class Player(meta.PeerActor):
    """One player. Nobody plays in another's name: who joins has to return a token that was sent to his address."""

    def init(self, counts: Counter[str]) -> None:
        self.counts, self.token = counts, secrets.token_hex(8).encode()  # counts: of all, on the node's one thread

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        if message.data == self.token:  # also a second time: the first welcome may be lost
            self.peer.proven()
            self.peer.send(b"welcome")
        elif not self.peer.is_proven:
            self.peer.send(self.token)
        elif message.data == b"leave":
            raise gen.TerminateNormal
        else:
            self.move_untrusted(message.data)

    def move_untrusted(self, data: bytes) -> None:
        try:
            self.send("world", (self.peer, parse_untrusted(data)))
        except ValueError:
            self.counts["malformed"] += 1


class World(act.Actor):
    """Knows where everybody is, and tells each player who else is in its cell."""

    async def init(self, port: int, host: str) -> None:
        self.places, self.counts = dict[meta.Peer, tuple[int, int]](), Counter[str]()
        peers = meta.PeerOptions(
            worker=Player,
            worker_args=(self.counts,),
            accept=lambda message: message.data == JOIN,
            idle=IDLE,
            most=MOST_PLAYERS,
            rate=RATE,
            notify="world",
        )
        server = await meta.listen_udp(
            self, host=host, port=port, receive_buffer=1 << 20, peers=peers, conflate=latest, amplification=3.0
        )
        self.begin, self.last, self.worst = time.monotonic(), 0, 0.0
        self.send_every(self.pid, "tick", TICK)
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender: Any, message: Any) -> None:
        match message:
            case "tick":
                self.tick()
            case meta.MessagePeerDown(peer=peer):
                self.places.pop(peer, None)
            case (meta.Peer() as peer, place):
                self.places[peer] = place

    def tick(self) -> None:
        number, late = divmod(time.monotonic() - self.begin, TICK)
        self.counts["ticks"] += 1
        self.counts["missed"] += int(number) - self.last - 1
        self.last, self.worst = int(number), max(self.worst, late)
        cells = defaultdict(list)
        for peer, (x, y) in self.places.items():
            cells[x // CELL, y // CELL].append((peer, x, y))
        for inside in cells.values():
            seen = b" ".join(b"%d,%d" % (x, y) for _, x, y in inside[:MOST_SEEN])  # one snapshot for all in the cell
            for peer, _, _ in inside:
                peer.send(seen)

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        return {"players": len(self.places), "worst_ms": round(self.worst * 1000, 1), **self.counts}


class Server(act.Supervisor):
    """Restarts the world if it fails; the players have to join again."""

    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="world", behavior=World, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
