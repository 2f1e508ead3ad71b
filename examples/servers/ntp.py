"""An NTP server (RFC 5905): tells the time of this machine, with the kernel's time of each datagram's arrival.

homing demo ntp, or: python examples/servers/ntp.py [PORT]
chronyd -Q -t 8 'server 127.0.0.1 port 11123 iburst'
"""

import struct
import sys
import time
from typing import Any, NamedTuple

import homing
from homing import act, gen, meta

PORT = 11123
TRY = ("chronyd -Q -t 8 'server 127.0.0.1 port {port} iburst'",)

# Leap, version and mode; stratum; poll interval and precision, as exponents of 2 in seconds; distance to the reference
# and its error, in 2^-16 s; the reference; the times of the reference, of the question, its arrival, and the answer.
PACKET = struct.Struct("!BBbbII4s8s8s8s8s")
CLIENT, SERVER = 3, 4  # modes
STRATUM, REFERENCE, PRECISION = 10, b"LOCL", -20  # an undisciplined clock, worse than all real ones; 1 us
DISPERSION = 655  # 10 ms, a guess: how far this machine's clock may be from the true time
EPOCH = 2_208_988_800  # seconds from 1900 to 1970
RATE = meta.RateLimit(rate=4, burst=32)  # questions of a source per second; a client begins with some at once

# The kernel refuses what is no question of a client. So answers are never answered, and nothing is sent for the modes 6
# and 7 (control), whose long answers are known from attacks by forged sources.
ADMIT = (meta.where.length >= PACKET.size) & (meta.where[0] & 7 == CLIENT)


class Request(NamedTuple):
    version: int
    poll: int
    transmitted: bytes  # the client's time, or a random number; it finds its question by it


def parse_untrusted(data: bytes) -> Request:
    """Returns the question of a client. May raise only `ValueError`, whatever the bytes."""
    if len(data) < PACKET.size or len(data) % 4:  # extensions and signatures may follow, which are not understood
        raise ValueError("not of the length of a packet")
    first, _, poll, *_, transmitted = PACKET.unpack_from(data)
    version, mode = first >> 3 & 7, first & 7
    if mode != CLIENT or not 1 <= version <= 4:
        raise ValueError("not a question of a client, or of an unknown version")
    return Request(version, poll, transmitted)


def timestamp(nanoseconds: int) -> bytes:
    """Returns a time since 1970 as NTP has it: seconds since 1900, which begin anew in 2036, and their 2^32nd parts."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return struct.pack("!II", (seconds + EPOCH) % (1 << 32), (rest << 32) // 1_000_000_000)


def answer(request: Request, arrived: int, now: int) -> bytes:
    """Returns the answer; both times in nanoseconds since 1970. It is never longer than the question."""
    first = request.version << 3 | SERVER
    head = (first, STRATUM, request.poll, PRECISION, 0, DISPERSION, REFERENCE)
    return PACKET.pack(*head, timestamp(arrived), request.transmitted, timestamp(arrived), timestamp(now))


class Clock(act.Actor):
    async def init(self, port: int, host: str) -> None:
        self.counts = dict.fromkeys(("answered", "malformed", "without_kernel_time", "slowest_us"), 0)
        server = await meta.listen_udp(
            self, host=host, port=port, admit=ADMIT, rate_limit=RATE, receive_timestamp=True, linger=5.0
        )
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        try:
            request = parse_untrusted(message.data)
        except ValueError:
            self.counts["malformed"] += 1
            return
        now = time.time_ns()
        known = message.info.timestamp if message.info is not None else None
        arrived = min(now, now if known is None else known)
        self.reply(message, answer(request, arrived, time.time_ns()))
        self.counts["answered"] += 1
        self.counts["without_kernel_time"] += known is None
        self.counts["slowest_us"] = max(self.counts["slowest_us"], (now - arrived) // 1000)

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return self.counts.copy()


class Server(act.Supervisor):
    """Restarts the server if it fails; its socket outlives it, so that no question is lost."""

    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="ntp", behavior=Clock, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
