"""One service on one port number, by UDP and by TCP: what is too long for a datagram is asked for by TCP.

python examples/cookbook/tcp_beside_udp.py 4000
"""

import asyncio
import sys
from collections import deque
from contextlib import closing, suppress

import homing
from homing import act, gen, meta

MOST_CONNECTIONS, IDLE, MOST_NOTES, LONGEST, LONGEST_UDP = 100, 30.0, 100, 200, 64
END = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, gen.DeliveryError)


class TCP(gen.MetaBehavior):
    """Homing has no TCP server: this is asyncio's. Each line is a request to the owner, which has the answer."""

    def __init__(self, port):
        self.port, self.places = port, asyncio.Semaphore(MOST_CONNECTIONS)

    async def start(self):
        with closing(await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=LONGEST)):
            print("listening on port", self.port, flush=True)
            await asyncio.Event().wait()  # until the owner ends: then this is cancelled

    async def serve(self, reader, writer):
        with closing(writer), suppress(*END):  # TimeoutError is an OSError
            while not self.places.locked():
                async with self.places, asyncio.timeout(IDLE):
                    self.process.send(self.process.parent, (await reader.readuntil(), answer := asyncio.Future()))
                    writer.write(await answer)
                    await writer.drain()


class Notes(act.Actor):
    async def init(self, port):
        self.notes = deque(maxlen=MOST_NOTES)
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, reply_guard=meta.ReplyGuard())
        self.link_alias(await self.spawn_meta(TCP(server.local_address[1])))

    def handle_message(self, sender, message):
        if isinstance(message, meta.MessageUDP):
            answer = self.answer(message.data)
            self.reply(message, answer if len(answer) <= LONGEST_UDP else b"too long, ask by TCP\n")
        elif not message[1].done():
            message[1].set_result(self.answer(message[0]))

    def answer(self, request):
        word, _, note = request.strip().partition(b" ")
        if word == b"add" and note and len(note) <= LONGEST and b"\n" not in note:
            self.notes.append(note + b"\n")
        return b"".join([b"notes: %d\n" % len(self.notes), *(self.notes if word == b"list" else ())])


if __name__ == "__main__":
    homing.run(Notes, int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
