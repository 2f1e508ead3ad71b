"""A small GELF collector: log messages that are compressed, or split into up to 128 datagrams, or both.

python examples/gelf.py 12201
echo '{"version":"1.1","host":"here","short_message":"disk is full","level":3}' | gzip | nc -u -w1 127.0.0.1 12201
"""

import dataclasses
import json
import sys
import time

import homing
from homing import act, meta

SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


class Collector(act.Actor):
    """Joins and decompresses the messages, prints each, and counts those that are not GELF as malformed."""

    async def init(self, port):
        self.assembler = meta.Assembler(parse=meta.gelf_chunk, decompress="auto", timeout=5.0)
        self.malformed = 0
        server = await meta.listen_udp(self, host="127.0.0.1", port=port)
        self.send_every(self.pid, "expire", 1.0)
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        now = time.monotonic()
        if message == "expire":
            self.assembler.expire(now)
            return
        whole = self.assembler.add(message.data, message.addr, now)
        if whole is not None:
            self.record(whole)

    def record(self, whole):
        try:
            fields = json.loads(whole)
            level, host, text = int(fields.get("level", 1)), str(fields["host"]), str(fields["short_message"])
            severity = dict(enumerate(SEVERITIES))[level]
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError):
            self.malformed += 1
        else:
            print(f"{severity:9} {host!r} {text!r}", flush=True)

    def handle_inspect(self, sender, *items):
        return {**dataclasses.asdict(self.assembler.counters), "not_gelf": self.malformed}

    def terminate(self, reason):
        print("counts:", self.handle_inspect(None), flush=True)


if __name__ == "__main__":
    homing.run(Collector, int(sys.argv[1]) if len(sys.argv) > 1 else 12201)
