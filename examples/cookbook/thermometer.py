"""Keeps the latest temperature of each room, and forgets a room that is silent for a minute.

python examples/cookbook/thermometer.py 4000
"""

import asyncio
import sys

import homing
from homing import act, meta

MOST_ROOMS, LONGEST, SECONDS = 100, 20, 60.0


def parse(data):
    """Returns the room and the temperature of a payload such as b"kitchen 21.5"; None if it is malformed."""
    room, _, number = data.strip().partition(b" ")
    try:
        temperature = float(number)
    except ValueError:
        return None
    return (room, temperature) if 0 < len(room) <= LONGEST and -90 < temperature < 90 else None


class Thermometer(act.Actor):
    async def init(self, host="127.0.0.1", port=0):
        self.rooms = {}
        guard = meta.ReplyGuard()
        self.server = await meta.listen_udp(self, host=host, port=port, reply_guard=guard)
        print("listening on port", self.server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        now = asyncio.get_running_loop().time()
        self.rooms = {room: reading for room, reading in self.rooms.items() if now - reading[1] <= SECONDS}
        if reading := parse(message.data):
            room, temperature = reading
            if room in self.rooms or len(self.rooms) < MOST_ROOMS:
                self.rooms[room] = temperature, now
        elif (room := message.data.strip()) in self.rooms:
            self.reply(message, b"%.1f\n" % self.rooms[room][0])

    def handle_call(self, sender, ref, request):
        return self.server.local_address


if __name__ == "__main__":
    homing.run(Thermometer, "127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
