"""One service on one port number, by UDP and by TCP: clients use TCP for answers that are too long for a datagram.

python examples/cookbook/tcp_beside_udp.py 4000
"""

import sys
from collections import deque

import homing
from homing import act, meta

MOST_CONNECTIONS, IDLE, MOST_NOTES, LONGEST, LONGEST_UDP = 100, 30.0, 100, 200, 64


class Notes(act.Actor):
    async def init(self, port):
        self.notes = deque(maxlen=MOST_NOTES)
        server = await meta.listen_tcp(
            self,
            host="127.0.0.1",
            port=port,
            frame=meta.Delimiter(b"\n", most=LONGEST + 4),
            both=meta.UDPServerOptions(reply_guard=meta.ReplyGuard()),
            announce=False,
            most_connections=MOST_CONNECTIONS,
            idle_timeout=IDLE,
        )
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        answer = self.answer(message.data)
        if isinstance(message, meta.MessageTCP):
            for line in answer:
                self.reply(message, line)
        else:
            text = b"\n".join(answer) + b"\n"
            self.reply(message, text if len(text) <= LONGEST_UDP else b"too long, ask by TCP\n")

    def answer(self, request):
        word, _, note = request.strip().partition(b" ")
        if word == b"add" and note and len(note) <= LONGEST and b"\n" not in note:
            self.notes.append(note)
        return [b"notes: %d" % len(self.notes), *(self.notes if word == b"list" else ())]


if __name__ == "__main__":
    homing.run(Notes, int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
