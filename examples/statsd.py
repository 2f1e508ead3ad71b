"""A statsd server: counters, gauges and timers by UDP, published every second as an event for any subscriber.

python examples/statsd.py 8125
echo "page.views:1|c" | nc -u -w1 127.0.0.1 8125

Nothing that was counted is lost when it crashes, nor in an upgrade (SIGUSR2) of `homing run examples.statsd:Service`.
"""

import sys
from math import isfinite
from statistics import median

import homing
from homing import act, gen, meta

MOST_NAMES, LONGEST_NAME, MOST_TIMES = 10_000, 200, 10_000  # a flood of metrics must not fill the memory


class Statsd(act.Actor):
    """Reads `name:value|type`, one metric per line, and publishes those of each interval as the event "metrics"."""

    async def init(self, port, interval=1.0, token=None):
        self.counters, self.gauges, self.timers, self.malformed = {}, {}, {}, 0
        self.token = token or self.register_event("metrics", gen.EventOptions(buffer=1))
        server = await meta.listen_udp(self, host="127.0.0.1", port=port, linger=10.0)
        self.send_every(self.pid, "flush", interval)
        print("listening on port", server.local_address[1], flush=True)

    def dump_state(self):
        return [self.counters, self.gauges, self.timers, self.malformed]

    def load_state(self, state):
        self.counters, self.gauges, self.timers, self.malformed = state

    def handle_message(self, sender, message):
        if message == "flush":
            self.flush()
            return
        for line in message.data.splitlines():
            try:
                self.record(line.decode())
            except (ValueError, KeyError):
                self.malformed += 1

    def record(self, line):
        name, _, rest = line.partition(":")
        value, kind = float(rest.split("|")[0]), rest.split("|")[1:2]
        series = {"c": self.counters, "g": self.gauges, "ms": self.timers}[kind[0] if kind else ""]
        if not isfinite(value) or len(name) > LONGEST_NAME or (name not in series and len(series) >= MOST_NAMES):
            raise ValueError(line)
        if series is self.counters:
            series[name] = series.get(name, 0) + value
        elif series is self.gauges:
            series[name] = value
        elif len(series.setdefault(name, [])) < MOST_TIMES:  # enough values for the median
            series[name].append(value)

    def flush(self):
        timers = {name: {"count": len(values), "median": median(values)} for name, values in self.timers.items()}
        metrics = {
            "counters": self.counters,
            "gauges": dict(self.gauges),
            "timers": timers,
            "malformed": self.malformed,
        }
        self.send_event("metrics", self.token, metrics)
        self.counters, self.timers, self.malformed = {}, {}, 0


class Printer(act.Actor):
    """One subscriber. A writer to a database would be another."""

    def init(self):
        self.link(gen.Event("metrics", self.node))

    def handle_event(self, event):
        if event.message["counters"] or event.message["timers"] or event.message["malformed"]:
            print(event.message, flush=True)


class Service(act.Supervisor):
    """Keeps both alive. The event is its own, so that subscribers notice nothing when the publisher crashes."""

    statsd = Statsd

    def init(self, port=None, interval=1.0):
        token = self.register_event("metrics", gen.EventOptions(buffer=1))
        arguments = int(self.env.get("port", 8125)) if port is None else port, interval, token
        # `record` changes the state in its last step: whatever it raises, the state is whole.
        state = gen.StateOptions(every=1.0, at_crash=True, most=1 << 24)
        options = gen.ProcessOptions(preserve_mailbox=True, state=state)
        printer = act.ChildSpec(name="printer", behavior=Printer)
        statsd = act.ChildSpec(name="statsd", behavior=self.statsd, args=arguments, options=options)
        return act.SupervisorSpec(children=(printer, statsd), intensity=100)


async def main(node, port):
    await node.spawn(Service, port)
    await node.wait()


if __name__ == "__main__":
    homing.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8125)
