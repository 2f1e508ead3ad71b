"""A UDP echo server.

python examples/echo.py 2345
echo hello | nc -u -w1 127.0.0.1 2345
"""

import sys

import homing
from homing import act, meta


class Echo(act.Actor):
    async def init(self, port):
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, reply_guard=meta.ReplyGuard())
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        if not message.data.startswith(b"OK: "):  # an answer is not answered
            self.reply(message, b"OK: " + message.data)


if __name__ == "__main__":
    homing.run(Echo, int(sys.argv[1]) if len(sys.argv) > 1 else 2345)
