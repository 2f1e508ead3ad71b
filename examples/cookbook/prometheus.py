"""Counts readings that come by UDP, and shows the counters to Prometheus by HTTP.

python examples/cookbook/prometheus.py 4000 9100
"""

import asyncio
import sys
from contextlib import closing, suppress

import homing
from homing import act, gen, meta

MOST_CONNECTIONS, SECONDS = 20, 5.0
END = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, gen.DeliveryError)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n"


class Metrics(gen.MetaBehavior):
    """Answers each HTTP request, whatever it asks for, with the page that the owner makes."""

    def __init__(self, port):
        self.port, self.places = port, asyncio.Semaphore(MOST_CONNECTIONS)

    async def start(self):
        with closing(await asyncio.start_server(self.serve, "127.0.0.1", self.port)) as server:
            print("metrics on port", server.sockets[0].getsockname()[1], flush=True)
            await asyncio.Event().wait()  # until the owner ends: then this is cancelled

    async def serve(self, reader, writer):
        with closing(writer), suppress(*END):  # TimeoutError is an OSError
            if not self.places.locked():
                async with self.places, asyncio.timeout(SECONDS):
                    await reader.readuntil(b"\r\n\r\n")
                    page = asyncio.Future()
                    self.process.send_with_priority(self.process.parent, page, gen.MessagePriority.HIGH)
                    writer.write(HEAD + await page)
                    await writer.drain()


class Collector(act.Actor):
    async def init(self, port, metrics_port):
        self.counts = {"temperature": 0, "humidity": 0, "other": 0}  # strangers add no names
        self.server = await meta.listen_udp(self, host="127.0.0.1", port=port)
        print("listening on port", self.server.local_address[1], flush=True)
        self.link_alias(await self.spawn_meta(Metrics(metrics_port)))

    def handle_message(self, sender, message):
        if isinstance(message, meta.MessageUDP):
            name = message.data.partition(b" ")[0].decode("latin-1")
            self.counts[name if name in self.counts else "other"] += 1
        elif not message.done():  # a page is asked for; its lane passes the datagrams that wait
            counted = self.server.statistics()
            page = {f'readings_total{{kind="{kind}"}}': count for kind, count in self.counts.items()}
            page |= {"udp_packets_total": counted.packets_in, "udp_kernel_drops_total": counted.kernel_drops or 0}
            message.set_result("".join(f"{name} {value}\n" for name, value in page.items()).encode())


if __name__ == "__main__":
    homing.run(Collector, *map(int, sys.argv[1:] if len(sys.argv) > 2 else (4000, 9100)))
