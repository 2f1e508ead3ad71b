"""A process for each peer, which keeps what the peer has said so far and ends when the peer is silent.

python examples/cookbook/sessions.py 4000
"""

import hmac
import secrets
import sys

import homing
from homing import act, gen, meta

MOST_SESSIONS, IDLE = 1000, 300.0


class Session(act.Actor):
    """Adds up the numbers of one peer."""

    def init(self):
        self.total, self.cancel = 0, self.send_after(self.pid, "idle", IDLE)

    def handle_message(self, sender, message):
        word = b"close" if message == "idle" else message.data.strip()
        if word == b"close":
            raise gen.TerminateNormal
        self.cancel()
        self.cancel = self.send_after(self.pid, "idle", IDLE)
        if word.isdigit() and len(word) < 10:
            self.total += int(word)
            self.reply(message, b"total %d\n" % self.total)


class Sessions(act.Actor):
    """A session is opened for a peer that repeats its cookie: so its address is not forged, and memory not wasted."""

    async def init(self, port):
        self.secret, self.sessions, self.peers = secrets.token_bytes(), {}, {}
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, reply_guard=meta.ReplyGuard())
        print("listening on port", server.local_address[1], flush=True)

    async def handle_message(self, sender, message):
        if isinstance(message, gen.MessageDownPID):
            del self.sessions[self.peers.pop(message.pid)]
        elif message.addr not in self.sessions:
            cookie = hmac.digest(self.secret, repr(message.addr).encode(), "sha256").hex()[:16].encode()
            word = message.data.strip()
            if word == b"open":
                self.reply(message, b"cookie %s\n" % cookie)
            elif hmac.compare_digest(word, b"open " + cookie) and len(self.sessions) < MOST_SESSIONS:
                pid = self.sessions[message.addr] = await self.spawn(Session)
                self.peers[pid] = message.addr
                self.monitor(pid)
                self.reply(message, b"opened\n")
        else:  # it is alive: the word of its end would have come first, as that takes the system lane
            self.send(self.sessions[message.addr], message)


if __name__ == "__main__":
    homing.run(Sessions, int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
