"""A supervised syslog collector: a UDP server in front of a pool of parsers, and one process that counts.

python examples/syslog.py 5514
logger -n 127.0.0.1 -P 5514 -d --rfc3164 -p user.err "disk is full"
"""

import re
import sys

import homing
from homing import act, meta

SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
PRIORITY = re.compile(rb"<(\d{1,3})>1? ?(.*)", re.DOTALL)  # RFC 3164 section 4.1.1, RFC 5424 section 6.2.1


class Parser(act.Actor):
    """Decodes the priority. Datagrams that are no syslog messages are counted as malformed."""

    def handle_message(self, sender, message):
        found = PRIORITY.fullmatch(message.data.strip())
        if found is None or int(found[1]) > 191:
            self.send("counter", ("malformed", message.addr[0], repr(message.data[:80])))
        else:
            text = found[2].decode("utf-8", "backslashreplace")
            self.send("counter", (SEVERITIES[int(found[1]) % 8], message.addr[0], text))


class Parsers(act.Pool):
    def init(self):
        return act.PoolOptions(worker=Parser, pool_size=3)


class Counter(act.Actor):
    """Prints each message, and the counts when it ends."""

    def init(self):
        self.counts = {}

    def handle_message(self, sender, message):
        severity, host, text = message
        self.counts[severity] = self.counts.get(severity, 0) + 1
        print(f"{severity:9} {host} {text!r}", flush=True)

    def terminate(self, reason):
        print("counts:", self.counts, flush=True)


class Listener(act.Actor):
    async def init(self, port):
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, process="parsers")
        print("listening on port", server.local_address[1], flush=True)


class Collector(act.Supervisor):
    def init(self, port):
        return act.SupervisorSpec(
            children=(
                act.ChildSpec(name="counter", behavior=Counter),
                act.ChildSpec(name="parsers", behavior=Parsers),
                act.ChildSpec(name="listener", behavior=Listener, args=(port,)),
            )
        )


if __name__ == "__main__":
    homing.run(Collector, int(sys.argv[1]) if len(sys.argv) > 1 else 5514)
