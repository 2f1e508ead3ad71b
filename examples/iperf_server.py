"""A server for `iperf -u` (version 2), with a process for each test: counts, and reports the loss at its end.

python examples/iperf_server.py 5001
iperf -u -c 127.0.0.1 -p 5001 -b 10M -t 2
"""

import struct
import sys
import time

import homing
from homing import act, gen, meta

# Each datagram begins with its number, the time when it left (seconds, microseconds), and the upper half of the number.
# The last number is negative. The server answers with this header and its report: flags, bytes (upper, lower half),
# the time of the test (seconds, microseconds), lost, out of order, and all datagrams, jitter (seconds, microseconds).
HEADER = struct.Struct("!iIIi")
REPORT = struct.Struct("!IIIiiiiiii")
HAS_REPORT = 0x80000000
LONGEST_REPORT = 1470  # of iperf's own answers; the client looks for no less than it knows of


def is_first(message):
    """Accepts only datagrams as iperf sends them: no process for anything else."""
    return len(message.data) >= HEADER.size and HEADER.unpack_from(message.data)[0] in range(1000)


class Test(meta.PeerActor):
    """One client's test: the datagrams that have come, and how evenly (RFC 1889, section A.8)."""

    def init(self):
        self.begun = time.perf_counter()
        self.bytes = self.highest = self.received = self.late = 0
        self.jitter, self.transit, self.report = 0.0, None, b""

    def handle_message(self, sender, message):
        if message == "over":
            raise gen.TerminateNormal
        if len(message.data) < HEADER.size:
            return
        number, seconds, microseconds, _ = HEADER.unpack_from(message.data)
        if not self.report:
            self.count(abs(number), len(message.data), time.time() - (seconds + microseconds / 1e6))
        if number < 0:
            self.finish(abs(number), message.data)

    def count(self, number, size, transit):
        self.bytes += size
        self.received += 1
        self.late += number < self.highest
        self.highest = max(self.highest, number)
        if self.transit is not None:
            self.jitter += (abs(transit - self.transit) - self.jitter) / 16
        self.transit = transit

    def finish(self, last, data):
        """Answers the last datagram, which the client repeats until it has the answer."""
        if not self.report:
            took, lost = time.perf_counter() - self.begun, max(0, last - self.received)
            sizes = self.bytes >> 32, self.bytes & 0xFFFFFFFF
            times = int(took), int(took % 1 * 1e6)
            jitter = int(self.jitter), int(self.jitter % 1 * 1e6)
            self.report = REPORT.pack(HAS_REPORT, *sizes, *times, lost, self.late, last, *jitter)
            print(f"{self.peer.address[0]}: {self.received} datagrams, {lost} lost, in {took:.1f} s", flush=True)
            self.send_after(self.pid, "over", 2.0)
        self.peer.send((data[: HEADER.size] + self.report).ljust(LONGEST_REPORT, b"\0"))


class Server(act.Actor):
    async def init(self, port):
        peers = meta.PeerOptions(worker=Test, accept=is_first, idle=10.0, most=100, unproven_share=1.0, queue=1000)
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, receive_buffer=1 << 20, peers=peers)
        print("listening on port", server.local_address[1], flush=True)


async def main(node, port):
    await node.spawn(Server, port)
    await node.wait()


if __name__ == "__main__":
    homing.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 5001)
