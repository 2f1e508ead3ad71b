"""Metrics for Prometheus and OpenMetrics, made of the facts of one moment.

Labels are addresses of sockets, causes, names of processes, of checks and of the other nodes of a cluster: all bounded,
and none from a packet. With several nodes, each metric has the label `node` besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from ..records import HistogramRecord, MetricsRecord, ProbeRecord

NODE_GAUGES = {
    "processes": ("processes", "Processes that exist now."),
    "meta_processes": ("metas", "Meta-processes, such as UDP servers, that exist now."),
    "zombies": ("zombies", "Processes that are unreachable, but whose callback has not returned."),
    "open_calls": ("open_calls", "Calls and requests without an answer yet."),
    "uptime_seconds": ("uptime", "Time since the start of the node."),
    "longest_stall_seconds": ("longest_stall", "Longest time for which a callback has blocked the event loop."),
    "loop_lag_seconds": ("loop_lag", "Longest delay of a timer of the event loop in the last period."),
    "resident_memory_bytes": ("memory", "Resident memory of the OS process."),
}
NODE_COUNTERS = {
    "spawned_processes": ("spawned", "Processes started."),
    "crashes": ("crashes", "Processes and meta-processes that ended by their own fault."),
    "stalls": ("stalls", "Callbacks that blocked the event loop for too long."),
    "machine_stalls": ("machine_stalls", "Turns that took as long because no processor was free."),
    "discarded_messages": ("discarded", "Messages that waited at a process when it ended."),
    "dead_letters": ("dead_letters", "Messages left unhandled by an abnormal end."),
    "late_responses": ("late_responses", "Answers whose caller had stopped waiting."),
    "timer_failures": ("timer_failures", "Messages of timers that found no receiver."),
    "timer_skips": ("timer_skips", "Ticks of timers dropped because the previous one still waited."),
    "event_failures": ("event_failures", "Publications that found no receiver."),
    "threadsafe_failures": ("threadsafe_failures", "Messages from other threads that found no receiver."),
    "spin_seconds": ("spin_seconds", "Time for which the event loop polled instead of sleeping."),
}
SOCKET_COUNTERS = {
    "received_packets": ("packets_in", "Datagrams taken from the kernel."),
    "received_bytes": ("bytes_in", "Payload of the datagrams that became messages."),
    "delivered_packets": ("delivered", "Datagrams put into the mailbox of a receiver."),
    "sent_packets": ("packets_out", "Datagrams that the kernel accepted for sending."),
    "sent_bytes": ("bytes_out", "Payload of these."),
    "pauses": ("pauses", "Times that reading paused because the receiver was slow."),
    "amplification_limited_bytes": ("amplification_limited_bytes", "Payload that was not sent: above `amplification`."),
    "tapped_packets": ("tapped", "Datagrams recorded by a tap."),
    "tap_missed_packets": ("tap_missed", "Datagrams that a tap was to record and did not."),
}
SOCKET_GAUGES = {
    "receive_buffer_bytes": ("receive_buffer", "Receive buffer that the kernel granted."),
    "send_buffer_bytes": ("send_buffer", "Send buffer that the kernel granted."),
    "receive_waiting_packets": ("receive_waiting", "Datagrams that were read but have no room at the receiver yet."),
    "send_waiting_packets": ("send_waiting", "Datagrams that wait for room in the kernel's send buffer."),
    "open_sockets": ("sockets", "Sockets with this label that are open."),
}

TCP_COUNTERS = {
    "accepted_connections": ("accepted", "Connections that were made."),
    "received_frames": ("received", "Frames received."),
    "received_bytes": ("received_bytes", "Bytes received, also of frames that are not complete."),
    "delivered_frames": ("delivered", "Frames put into the mailbox of a receiver."),
    "dropped_frames": ("dropped", "Frames that could not be delivered, as server or receiver had ended."),
    "limited_frames": ("limited", "Frames that had to wait because of `rate_limit`."),
    "sent_frames": ("sent", "Frames handed to the system."),
    "sent_bytes": ("sent_bytes", "Bytes handed to the system."),
    "late_frames": ("dropped_closed", "Frames for connections that had ended."),
    "send_errors": ("send_errors", "Frames that could not be made."),
    "pauses": ("pauses", "Times that a connection was not read, for its receiver or its peer."),
}
TCP_GAUGES = {
    "open_connections": ("open", "Connections that are open."),
    "waiting_frames": ("waiting", "Frames that wait for room in the receiver's mailbox."),
}

DTLS_COUNTERS = {
    "handshakes": ("handshakes", "Handshakes that began, after the cookie."),
    "completed_handshakes": ("handshakes_completed", "Handshakes that are complete: sessions that were opened."),
    "retransmitted_packets": ("handshake_retransmits", "Datagrams of handshakes that were sent again."),
    "sent_cookies": ("cookies_sent", "Hellos that were answered with a cookie."),
    "refused_cookies": ("cookies_refused", "Hellos whose cookie was wrong or too old."),
    "bad_records": ("records_bad", "Datagrams whose records were forged, cut or damaged."),
    "replayed_records": ("records_replayed", "Datagrams whose records had come before."),
    "unknown_records": ("records_unknown", "Datagrams with records from addresses without a session."),
    "limited_hellos": ("hellos_limited", "Hellos above `hello_limit` or `handshake_rate`."),
    "lost_notifications": ("notify_lost", "Messages that did not reach `notify`."),
}
DTLS_GAUGES = {
    "open_sessions": ("sessions", "Sessions that are open."),
    "open_handshakes": ("handshakes_open", "Handshakes that are not over."),
}
DTLS_CAUSES = {
    "failed_handshakes": ("handshakes_failed", "Handshakes that have failed, each under one cause."),
    "ended_sessions": ("sessions_ended", "Sessions that have ended, each under one cause."),
}

STATE_COUNTERS = {
    "dumps": ("dumps", "Dumps of the state that is kept under this name."),
    "failed_dumps": ("failures", "Dumps that failed; the former dump stays."),
    "loads": ("loads", "Processes that have loaded the state."),
    "discarded": ("discarded", "States that were not loaded: too old, poison or refused."),
}
STATE_GAUGES = {
    "bytes": ("size", "Size of the last dump; 0 if there is none."),
    "age_seconds": ("age", "Time for which the last dump has been behind the state."),
}

PEER_COUNTERS = {
    "received_messages": ("messages_in", "Messages from this node."),
    "sent_messages": ("messages_out", "Messages sent to this node."),
    "received_bytes": ("bytes_in", "Bytes of the batches from this node."),
    "sent_bytes": ("bytes_out", "Bytes of the batches sent to this node."),
    "dropped_messages": ("dropped", "Messages for this node that its outbox had no room for."),
    "resets": ("resets", "Times that a fault of the connection to this node has ended it."),
}
PEER_GAUGES = {
    "up": ("up", "1 if messages can be sent to this node."),
    "rtt_seconds": ("rtt", "Time of the last heartbeat to this node and back."),
    "in_flight_bytes": ("in_flight", "Bytes sent to this node and not acknowledged yet."),
    "waiting_bytes": ("waiting", "Bytes that wait to be sent to this node."),
}


class Measured(NamedTuple):
    """The facts of one node.

    node: its name; "" if it is the only one. metrics: None if it has never answered. probes: by name.
    age: of `metrics`, in seconds; more than 0 if the node does not answer.
    """

    node: str
    metrics: MetricsRecord | None
    probes: Mapping[str, ProbeRecord]
    age: float


class Families:
    """The metric families of some nodes: a collector of prometheus_client.

    registries: of the program; what they collect follows ours. A family whose name is taken already is left out.
    """

    def __init__(self, measured: Sequence[Measured], registries: Iterable[Any] = ()) -> None:
        self._measured = measured
        self._registries = registries
        self._many = any(one.node for one in measured)
        self._answers = [(one, one.metrics) for one in measured if one.metrics is not None]

    def collect(self) -> Iterator[Metric]:
        """Yields all families."""
        taken: set[str] = set()
        failed = 0
        for family in self._own():
            taken.add(family.name)
            yield family
        for registry in self._registries:
            try:
                families = list(registry.collect())
            except Exception:
                failed += 1  # a fault of the program must not hide our own metrics
                continue
            yield from (family for family in families if family.name not in taken)
            taken |= {family.name for family in families}
        yield GaugeMetricFamily(
            "homing_failed_registries", "Registries of the program that raised when they were read.", value=failed
        )

    def _own(self) -> Iterator[Metric]:
        yield from self._nodes()
        yield from self._checks()
        yield from self._sockets()
        yield from self._dtls()
        yield from self._tcp()
        yield from self._names()
        yield from self._states()
        yield from self._cluster()
        for name, text in (
            ("queue_age", "Age of the oldest message that waits, per message handled; sampled."),
            ("handling", "Time that callbacks ran per message; sampled."),
        ):
            yield self._histogram(f"homing_{name}_seconds", text, name)

    def _names_of(self, *labels: str) -> list[str]:
        return ["node", *labels] if self._many else list(labels)

    def _values(self, one: Measured, *values: str) -> list[str]:
        named = (one.node, *values) if self._many else values
        return [_text(value) for value in named]

    def _nodes(self) -> Iterator[Metric]:
        told = ("name", "version", "python", "loop")
        info = GaugeMetricFamily("homing_node_info", "The node; always 1.", labels=self._names_of(*told))
        age = GaugeMetricFamily(
            "homing_node_facts_age_seconds",
            "Age of these facts: above 0 if the node does not answer.",
            labels=self._names_of(),
        )
        for one, metrics in self._answers:
            node = metrics["node"]
            info.add_metric(self._values(one, *(node[name] for name in told)), 1)  # type: ignore[literal-required]
            age.add_metric(self._values(one), one.age)
        yield info
        yield age
        for make, table in ((GaugeMetricFamily, NODE_GAUGES), (CounterMetricFamily, NODE_COUNTERS)):
            for name, (fact, text) in table.items():
                family = make(f"homing_node_{name}", text, labels=self._names_of())
                for one, metrics in self._answers:
                    value = metrics["node"][fact]  # type: ignore[literal-required]
                    if value is not None:
                        family.add_metric(self._values(one), value)
                yield family

    def _checks(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("homing_health_check", "1 if the check passes.", labels=self._names_of("check"))
        for one in self._measured:
            passed: dict[str, bool] = {}
            for probe in one.probes.values():
                for check in probe["checks"]:
                    passed[check["name"]] = passed.get(check["name"], True) and check["ok"]
            for name, ok in passed.items():
                family.add_metric(self._values(one, name), ok)
        yield family

    def _sockets(self) -> Iterator[Metric]:
        for make, table in ((CounterMetricFamily, SOCKET_COUNTERS), (GaugeMetricFamily, SOCKET_GAUGES)):
            for name, (fact, text) in table.items():
                family = make(f"homing_socket_{name}", text, labels=self._names_of("socket"))
                for one, metrics in self._answers:
                    for sums in metrics["sockets"]:
                        family.add_metric(self._values(one, sums["socket"]), sums[fact])  # type: ignore[literal-required]
                yield family
        dropped = CounterMetricFamily(
            "homing_socket_dropped_packets",
            "Datagrams that were lost, each under one cause.",
            labels=self._names_of("socket", "direction", "cause"),
        )
        for one, metrics in self._answers:
            for sums in metrics["sockets"]:
                for drop in sums["drops"]:
                    values = self._values(one, sums["socket"], drop["direction"], drop["cause"])
                    dropped.add_metric(values, drop["count"])
        yield dropped

    def _dtls(self) -> Iterator[Metric]:
        """Yields nothing without DTLS. (A node of an earlier version says nothing of it.)"""
        answers = [
            (self._values(one, sums["socket"]), found)
            for one, metrics in self._answers
            for sums in metrics["sockets"]
            if (found := sums.get("dtls"))
        ]
        if not answers:
            return
        labels = self._names_of("socket")
        for name, (fact, text) in DTLS_COUNTERS.items():
            counter = CounterMetricFamily(f"homing_dtls_{name}", text, labels=labels)
            for values, found in answers:
                counter.add_metric(values, found["counters"][fact])
            yield counter
        for name, (fact, text) in DTLS_GAUGES.items():
            gauge = GaugeMetricFamily(f"homing_dtls_{name}", text, labels=labels)
            for values, found in answers:
                gauge.add_metric(values, found["open"][fact])
            yield gauge
        for name, (fact, text) in DTLS_CAUSES.items():
            counter = CounterMetricFamily(f"homing_dtls_{name}", text, labels=[*labels, "cause"])
            for values, found in answers:
                for cause, count in found[fact].items():  # type: ignore[literal-required]
                    counter.add_metric([*values, cause], count)
            yield counter

    def _tcp(self) -> Iterator[Metric]:
        """Yields nothing without TCP. (A node of an earlier version says nothing of it.)"""
        answers = [(one, found) for one, metrics in self._answers if (found := metrics.get("tcp"))]
        if not answers:
            return
        for make, table in ((CounterMetricFamily, TCP_COUNTERS), (GaugeMetricFamily, TCP_GAUGES)):
            for name, (fact, text) in table.items():
                family = make(f"homing_tcp_{name}", text, labels=self._names_of("socket"))
                for one, found in answers:
                    for sums in found:
                        family.add_metric(self._values(one, sums["socket"]), sums["counters"][fact])
                yield family
        for name, text in (
            ("refused", "Connections that were refused, each under one cause."),
            ("ended", "Connections that have ended, each under one cause."),
        ):
            family = CounterMetricFamily(
                f"homing_tcp_{name}_connections", text, labels=self._names_of("socket", "cause")
            )
            for one, found in answers:
                for sums in found:
                    for cause, count in sums[name].items():  # type: ignore[literal-required]
                        family.add_metric(self._values(one, sums["socket"], cause), count)
            yield family

    def _names(self) -> Iterator[Metric]:
        labels = self._names_of("name")
        waiting = GaugeMetricFamily(
            "homing_process_waiting_messages", "Messages waiting at the process with this name.", labels=labels
        )
        oldest = GaugeMetricFamily(
            "homing_process_oldest_message_seconds", "Age of the oldest of these; 0 if none waits.", labels=labels
        )
        for one, metrics in self._answers:
            other = metrics["other"]
            for row in (*metrics["names"], *([] if other is None else [other])):
                values = self._values(one, row["name"])
                waiting.add_metric(values, row["waiting"])
                oldest.add_metric(values, row["oldest"])
        yield waiting
        yield oldest

    def _states(self) -> Iterator[Metric]:
        """Yields nothing if no state is kept under a name. (A node of an earlier version says nothing of states.)"""
        answers = [(one, states) for one, metrics in self._answers if (states := metrics.get("states"))]
        for make, table in ((CounterMetricFamily, STATE_COUNTERS), (GaugeMetricFamily, STATE_GAUGES)):
            for name, (fact, text) in table.items() if answers else ():
                family = make(f"homing_state_{name}", text, labels=self._names_of("name"))
                for one, states in answers:
                    for state in states:
                        family.add_metric(self._values(one, state["name"]), state[fact])  # type: ignore[literal-required]
                yield family

    def _cluster(self) -> Iterator[Metric]:
        """Yields nothing if no node is in a cluster."""
        answers = [(one, metrics["cluster"]) for one, metrics in self._answers if metrics["cluster"] is not None]
        if not answers:
            return
        total = GaugeMetricFamily(
            "homing_cluster_nodes", "Nodes of the cluster that are up, with this one.", labels=self._names_of("cluster")
        )
        for one, sums in answers:
            total.add_metric(self._values(one, sums["cluster"]), sums["nodes"])
        yield total
        for make, table in ((CounterMetricFamily, PEER_COUNTERS), (GaugeMetricFamily, PEER_GAUGES)):
            for name, (fact, text) in table.items():
                family = make(f"homing_cluster_{name}", text, labels=self._names_of("peer"))
                for one, sums in answers:
                    for peer in sums["peers"]:
                        value = peer[fact]  # type: ignore[literal-required]
                        if value is not None:
                            family.add_metric(self._values(one, peer["peer"]), value)
                yield family
        undelivered = CounterMetricFamily(
            "homing_cluster_undelivered_messages",
            "Messages from this node that reached nobody, each under one cause.",
            labels=self._names_of("peer", "cause"),
        )
        for one, sums in answers:
            for peer in sums["peers"]:
                for cause, count in peer["undelivered"].items():
                    undelivered.add_metric(self._values(one, peer["peer"], cause), count)
        yield undelivered

    def _histogram(self, name: str, text: str, fact: str) -> Metric:
        family = HistogramMetricFamily(name, text, labels=self._names_of())
        for one, metrics in self._answers:
            record: HistogramRecord = metrics[fact]  # type: ignore[literal-required]
            family.add_metric(self._values(one), _buckets(record), record["sum"])
        return family


def _buckets(record: HistogramRecord) -> list[tuple[str, float]]:
    found, so_far = [], 0
    for bound, count in zip([*record["bounds"], float("inf")], record["counts"], strict=True):
        so_far += count
        found.append(("+Inf" if bound == float("inf") else str(float(bound)), float(so_far)))
    return found


def _text(value: Any) -> str:
    """Returns a label's value, without characters that UTF-8 cannot express."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def expose(measured: Sequence[Measured], registries: Iterable[Any], accept: str) -> tuple[bytes, str]:
    """Returns the metrics, and their content type, in the format that the header `Accept` prefers."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(Families(measured, registries)), content_type
