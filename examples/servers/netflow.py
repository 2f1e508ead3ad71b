"""A collector of NetFlow 5 and 9 (RFC 3954) and IPFIX (RFC 7011): adds up what each address has sent, with numpy.

homing demo netflow, or: python examples/servers/netflow.py [PORT]
softflowd -d -v 9 -n 127.0.0.1:9995 -r capture.pcap
nfreplay -H 127.0.0.1 -p 9995 -v 9 -r nfcapd.202612011200
"""

import sys
from collections import Counter
from ipaddress import ip_address
from itertools import takewhile
from typing import Any

import numpy as np

import homing
from homing import act, gen, meta

PORT = 9995
TRY = ("softflowd -d -v 9 -n 127.0.0.1:{port} -r capture.pcap", "nfreplay -p {port} -v 9 -r nfcapd.202612011200")
Templates = dict[tuple[bytes, int], np.dtype[Any] | None]  # by domain and number; None: its records are skipped
HEADERS = {5: 24, 9: 20, 10: 16}  # bytes, by version; 10 is IPFIX
NUMBER = {size: f">u{size}" for size in (1, 2, 4, 8)}
FIELDS = {1: ("bytes", NUMBER), 2: ("packets", NUMBER), 8: ("source", {4: "V4"}), 27: ("source", {16: "V16"})}
NAMES = ("source", "bytes", "packets")  # FIELDS: by IANA's number of the element, the name, and numpy's type by length
RECORD_5 = np.dtype({"names": NAMES, "formats": ["V4", ">u4", ">u4"], "offsets": [0, 20, 16], "itemsize": 48})
MOST_EXPORTERS, MOST_TEMPLATES, MOST_ADDRESSES = 256, 64, 10_000  # as sources can be forged: some 10 MB


def parse_untrusted(data: bytes, templates: Templates | None = None) -> tuple[list[np.ndarray], Counter[str]]:
    """Returns flows, and counts of other sets; adds templates. May raise only `ValueError`, whatever the bytes."""
    flows, passed, templates = list[np.ndarray](), Counter[str](), {} if templates is None else templates
    version, count = int.from_bytes(data[:2]), int.from_bytes(data[2:4])
    place = HEADERS.get(version, len(data) + 1)
    if place > len(data) or (version == 10 and count != len(data)):
        raise ValueError("another protocol, or cut")
    if version == 5:
        return [np.frombuffer(data, RECORD_5, count, place)], passed
    domain = data[place - 4 : place]
    while place + 4 <= len(data):
        kind, length = int.from_bytes(data[place : place + 2]), int.from_bytes(data[place + 2 : place + 4])
        body, place = data[place + 4 : place + length], place + length
        if length < 4 or place > len(data):
            raise ValueError("a set is shorter than its head, or longer than the datagram")
        if kind < 4:
            learn_untrusted(body, kind, domain, templates)
        elif dtype := templates.get((domain, kind)):
            flows.append(np.frombuffer(body, dtype, len(body) // dtype.itemsize))
        else:
            passed["skipped" if (domain, kind) in templates else "unknown_template"] += 1
    return flows, passed


def learn_untrusted(body: bytes, kind: int, domain: bytes, templates: Templates) -> None:
    """Adds the templates of a set. Skipped: options (kinds 1 and 3), variable lengths, and flows without the fields."""
    words = iter(np.frombuffer(body, ">u2", len(body) // 2).tolist())
    for number in takewhile(lambda word: word > 255, words):  # then comes padding
        key, count, size, fields = (domain, number), next(words, 0), 0, dict[str, tuple[str, int]]()
        if kind in (0, 2) and 4 * count + 4 > len(body):  # those of options begin otherwise
            raise ValueError("a template is cut")
        templates.pop(key if key in templates or len(templates) < MOST_TEMPLATES else next(iter(templates)), None)
        templates[key] = None
        for _ in range(count if kind in (0, 2) else len(body)):
            element, length = next(words, 0), next(words, 0)
            name, types = FIELDS.get(element, ("", NUMBER))
            fields.setdefault(name, (types.get(length, ""), size))
            size += length
            if kind == 2 and element >> 15:
                next(words, 0), next(words, 0)  # the enterprise whose own element it is
        formats, offsets = zip(*(fields.get(name, ("", 0)) for name in NAMES), strict=True)
        if all(formats) and size < 65535 and kind in (0, 2):
            templates[key] = np.dtype({"names": NAMES, "formats": formats, "offsets": offsets, "itemsize": size})


class Collector(act.Actor):
    """Keeps the templates of each exporter, and the sums of each address: bytes, packets and flows."""

    async def init(self, port: int, host: str) -> None:
        self.exporters, self.totals = dict[str, Templates](), dict[bytes, np.ndarray]()
        self.counts = Counter(flows=0, malformed=0, skipped=0, unknown_template=0)
        server = await meta.listen_udp(self, host=host, port=port, linger=5.0)
        print("listening on port", server.local_address[1], flush=True)

    def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
        flows = list[np.ndarray]()
        for index, data in enumerate(batch.payloads()):
            templates = self.exporters.get(exporter := batch.address(index)[0], {})
            try:
                found, passed = parse_untrusted(data, templates)
            except ValueError:
                found, passed = [], Counter(malformed=1)
            if templates and len(self.exporters) < MOST_EXPORTERS:
                self.exporters[exporter] = templates
            self.counts.update(passed, flows=sum(map(len, found)))
            flows += found
        for layout in {array.dtype for array in flows}:
            self.add(np.concatenate([array for array in flows if array.dtype == layout]))

    def add(self, flows: np.ndarray) -> None:
        addresses, which = np.unique(flows["source"], return_inverse=True)
        sums = [np.bincount(which, weights) for weights in (flows["bytes"], flows["packets"], None)]
        for address, total in zip(addresses.tolist(), np.stack(sums, 1), strict=True):
            known = address if address in self.totals or len(self.totals) < MOST_ADDRESSES else bytes(4)
            self.totals[known] = self.totals.get(known, 0.0) + total

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        top = sorted(self.totals.items(), key=lambda item: -float(item[1][0]))[:10]
        return {**self.counts, "top": {str(ip_address(address)): [*map(int, total)] for address, total in top}}


class Server(act.Supervisor):
    """Restarts the collector if it fails. Exporters send their templates again from time to time."""

    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="netflow", behavior=Collector, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
