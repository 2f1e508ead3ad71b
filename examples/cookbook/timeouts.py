"""A gateway that answers in time, although the server behind it may not: it asks again, and gives up after 0.35 s.

python examples/cookbook/timeouts.py 4000
"""

import secrets
import sys

import homing
from homing import act, gen, meta

LONGEST, MOST_OPEN = 512, 100  # bytes of a question; questions that are open at a time, others wait


class Backend(act.Actor):
    """Plays the server behind: it answers in capital letters, and never to a question that begins with "lost"."""

    async def init(self):
        guard = meta.ReplyGuard(rate=10_000, burst=10_000)
        self.server = await meta.listen_udp(self, host="127.0.0.1", reply_guard=guard)

    def handle_message(self, sender, message):
        if message.data[4:8] != b"lost":
            self.reply(message, message.data[:4] + message.data[4:].upper())

    def handle_call(self, sender, ref, request):
        return self.server.local_address


class Gateway(act.Actor):
    """One worker of many: it waits for the answer to one question, meanwhile the others go on."""

    def init(self, backend):
        self.backend = backend

    async def handle_message(self, sender, message):
        if not 0 < len(message.data) <= LONGEST:
            return
        try:
            answer = await self.call(self.backend, secrets.token_bytes(4) + message.data)
            self.reply(message, answer.data[4:])
        except gen.RequestTimeout as error:
            self.reply(message, b"no answer, asked %d times\n" % error.attempts)
        except gen.PeerUnreachable:  # PeerRefused as well: at once, without waiting
            self.reply(message, b"nobody there\n")


class Listener(act.Actor):
    async def init(self, port):
        host, backend_port = await self.call(await self.spawn(Backend), "address")
        limits = {"timeout": 0.05, "backoff": 2.0, "retries": 2}  # 0.05 + 0.1 + 0.2 s
        backend = await meta.connect_udp(self, host=host, port=backend_port, key=lambda data: bytes(data[:4]), **limits)
        options = {"worker": Gateway, "workers": MOST_OPEN, "worker_args": (backend.alias,), "route": "least"}
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, reply_guard=meta.ReplyGuard(), **options)
        print("listening on port", server.local_address[1], flush=True)


if __name__ == "__main__":
    homing.run(Listener, int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
