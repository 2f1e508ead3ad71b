"""A statsd server for Prometheus: counters, gauges, timers, histograms and sets by UDP; the page of metrics by HTTP.
homing demo statsd, or: python examples/servers/statsd.py [PORT]     # the page: on the same port, by TCP
echo "views:1|c|#site:shop" | nc -u -w1 127.0.0.1 8125; curl http://127.0.0.1:8125/metrics
"""

import json
import re
import sys
import time
from collections import Counter
from math import isfinite
from typing import Any

import homing
from homing import act, gen, meta

PORT = 8125
TRY = ("echo 'views:1|c|#site:shop' | nc -u -w1 127.0.0.1 {port}", "curl http://127.0.0.1:{port}/metrics")
BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
WINDOW = 60.0  # seconds for which a member of a set counts
MOST, EACH = 4_000_000, 100  # characters of all series and members, and so many more for each
KINDS = {"c": "counter", "g": "gauge", "s": "set", "ms": "histogram", "h": "histogram", "d": "histogram"}
LINE = re.compile(r"([^:|]{1,200}):([^|]{1,200})\|(c|g|s|ms|h|d)(\|.{0,1000}|)")
RESERVED = re.compile(r"(_(total|count|sum|bucket|created|info))+$")  # by which Prometheus tells the series of a metric
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nConnection: close\r\n\r\n"


def parse_untrusted(data: bytes) -> tuple[str, str, bool, dict[str, float]]:
    """Reads `name:value|type|@rate|#tag:value,tag`. May raise only `ValueError`, whatever the bytes.
    Returns metric, kind, True if its series change by the values that follow or False if they get them, and these."""
    found = LINE.fullmatch(data.decode())
    if found is None:
        raise ValueError("not name:value|type")
    name, text, unit, rest = found.groups()
    kind, parts = KINDS[unit], rest.split("|")  # other parts than these two, such as a container's id, are not for us
    rate = next((float(part[1:]) for part in parts if part.startswith("@")), 1.0)
    tags = dict(label(*tag.partition(":")) for part in parts if part[:1] == "#" for tag in part[1:].split(",") if tag)
    value = time.time() if kind == "set" else float(text) / (1000 if unit == "ms" else 1)  # Prometheus wants seconds
    if not (isfinite(value) and 1e-9 <= rate <= 1) or (kind == "counter" and value < 0):
        raise ValueError("a number out of its range")
    name = (RESERVED.sub("", re.sub(r"\W", "_", name, flags=re.ASCII)) or "_") + "_seconds" * (unit == "ms")
    name = f"_{name}" if name[0].isdigit() or name.startswith("statsd_") else name  # those are ours
    labels = ",".join(f"{tag}={tags[tag]}" for tag in sorted(tags))
    suffix, member = "_total" * (kind == "counter"), f"\n{text}" * (kind == "set")
    series = {f"{suffix}{{{labels}}}{member}": value / (rate if kind == "counter" else 1)}
    if kind == "histogram":
        series = {f'_bucket{{le="{most}",{labels}}}': (value <= float(most)) / rate for most in BUCKETS}
        series |= {f"_count{{{labels}}}": 1 / rate, f"_sum{{{labels}}}": value / rate}
    return name, kind, kind in ("counter", "histogram") or (kind == "gauge" and text[0] in "+-"), series


def label(tag: str, _: str, value: str) -> tuple[str, str]:  # a name that Prometheus allows and leaves; a value
    name, value = re.sub(r"\W", "_", tag, flags=re.ASCII), re.sub(r"[\0-\x1f]", "_", value)
    name = name if name[:1].isalpha() and name not in ("le", "quantile") else f"tag_{name}"
    return name, json.dumps(value or "yes", ensure_ascii=False)


class Statsd(act.Actor):  # metrics: of each its kind, and its series with their values
    async def init(self, port: int, host: str) -> None:
        self.metrics, self.size, self.counts = dict[str, list[Any]](), 0, Counter[str]()
        udp = meta.UDPServerOptions(linger=10.0)
        self.server: Any = await meta.listen_tcp(self, host=host, port=port, both=udp, frame=meta.Raw(), announce=False)
        print("listening on port", self.server.local_address[1], flush=True)

    def dump_state(self) -> Any:
        return [self.metrics, self.size, dict(self.counts)]

    def load_state(self, state: Any) -> None:
        self.metrics, self.size, self.counts = state[0], state[1], Counter(state[2])

    def handle_message(self, sender: Any, message: Any) -> None:
        if not isinstance(message, meta.MessageTCP):
            self.counts.update(map(self.outcome_untrusted, message.data.splitlines()))
        elif message.data.endswith(b"\n"):  # a request of HTTP is complete
            self.send(message.id, message.reply(HEAD + self.page().encode()))
            message.close()

    def outcome_untrusted(self, line: bytes) -> str:  # changes the state last, so that it is whole if this raises
        try:
            name, kind, is_change, changes = parse_untrusted(line)
        except ValueError:
            return "malformed"
        known, series = self.metrics.get(name) or [kind, {}]
        if known != kind:
            return "conflicts"
        new = {key: value + (series.get(key, 0.0) if is_change else 0.0) for key, value in changes.items()}
        size = self.size + sum(EACH + len(name + key) for key in new.keys() - series.keys())
        if size > MOST or not all(map(isfinite, new.values())):
            return "dropped"
        series.update(new)
        self.metrics[name], self.size = [kind, series], size
        return "accepted"

    def page(self) -> str:
        lines = ["# HELP statsd_lines_total Lines, by outcome.", "# TYPE statsd_lines_total counter"]
        lines += [f'statsd_lines_total{{outcome="{outcome}"}} {count}' for outcome, count in self.counts.items()]
        for name, (kind, series) in self.metrics.items():
            if kind == "set":  # forgets the members that were not seen lately, and counts the others
                for member in [member for member, seen in series.items() if seen < time.time() - WINDOW]:
                    self.size -= bool(series.pop(member)) * (EACH + len(name + member))
                kind, series = "gauge", Counter(member.partition("\n")[0] for member in series)
            full, values = name + "_total" * (kind == "counter"), (f"{name}{key} {series[key]}" for key in series)
            lines += [f"# HELP {full} A {kind} of statsd.", f"# TYPE {full} {kind}", *values]
        self.metrics = {name: metric for name, metric in self.metrics.items() if metric[1]}
        return "\n".join((*lines, ""))

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return dict(self.counts) | {"size": self.size, "kernel_drops": self.server.udp.statistics().kernel_drops or 0}


class Server(act.Supervisor):  # nothing that came is lost in a crash, nor in an upgrade
    def init(self, port: int = PORT, host: str = "127.0.0.1") -> act.SupervisorSpec:
        kept = gen.ProcessOptions(preserve_mailbox=True, state=gen.StateOptions(every=1.0, at_crash=True, most=1 << 26))
        child = act.ChildSpec(name="statsd", behavior=Statsd, args=(port, host), options=kept)
        return act.SupervisorSpec(children=(child,), intensity=100)


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
