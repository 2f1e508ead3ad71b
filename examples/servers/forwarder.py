"""A DNS forwarder: asks another server for its clients, keeps the answers, and believes no forged ones (RFC 5452).
homing demo nameserver & homing demo forwarder, or: python examples/servers/forwarder.py [PORT [HOST PORT]]
dig -p 5301 @127.0.0.1 www.example
"""

import asyncio
import sys
from functools import lru_cache
from typing import Any

from dns import flags, message
from dns.rdtypes.ANY.SOA import SOA

import homing
from homing import act, gen, meta

PORT, TRY = 5301, ("dig -p {port} @127.0.0.1 www.example", "dig -p {port} @127.0.0.1 many.example +noall +stats")
LONGEST = 1232  # bytes of a datagram that all networks pass whole (DNS Flag Day 2020)
FRAME = meta.LengthPrefix(2, most=8192)  # by TCP
MOST_KEPT = 2000  # answers, and as many that are rendered: 32 MB at most, but usually some KB each
NOTHING = (bytes.fromhex("0000 8182 0001 0000 0000 0000 00 0002 0001"), 0.0, 0.0)  # SERVFAIL, since when, until when


def parse_untrusted(data: bytes) -> message.Message:
    """Returns a query or an answer. May raise only ValueError, whatever the bytes."""
    found = message.from_wire(data.ljust(12, b"\0"), continue_on_error=True)
    if found.errors or found.opcode() or len(found.question) != 1 or found.rcode() > 15:
        raise ValueError("not one question, or its answer")
    return found


@lru_cache(MOST_KEPT)
def question_untrusted(data: bytes) -> bytes:
    """Returns the query to ask for a client, equal for all who ask the same. May raise only ValueError."""
    if len(data) > 512 or data[2:3] >= b"\x80":
        raise ValueError("an answer, or so long that it takes room from others")
    ask = parse_untrusted(data).question[0]
    return message.make_query(ask.name.canonicalize(), ask.rdtype, ask.rdclass, 0, payload=LONGEST, id=0).to_wire()


def keep_untrusted(data: bytes, now: float) -> tuple[bytes, float, float]:
    """Returns the answer to keep: failures for a second (RFC 9520), no answer for less, nor for more than an hour."""
    try:
        answer = parse_untrusted(data)
    except ValueError:
        return NOTHING[0], now, now + 1
    times = [records.ttl for section in answer.sections[1:] for records in section]
    ends = [record.minimum for records in answer.authority for record in records if isinstance(record, SOA)]  # RFC 2308
    return data, now, now + (max(1, min(*times, *ends, 3600)) if answer.answer or ends else 1)


@lru_cache(MOST_KEPT)
def render(data: bytes, kept: bytes, age: int, tcp: bool) -> bytes:
    """Returns the kept answer to a client's query, with its spelling, and with lifetimes shortened by the age."""
    query, answer = parse_untrusted(data), parse_untrusted(kept)
    answer.question = query.question
    answer.flags = answer.flags & ~flags.AA | flags.RA
    answer.use_edns(min(query.edns, 0), payload=LONGEST)
    for records in answer.answer + answer.authority + answer.additional:
        records.ttl = max(0, records.ttl - age)
    return answer.to_wire(max_size=8192 if tcp else min(LONGEST, max(512, query.payload)), prefer_truncation=True)


class Forwarder(act.Actor):
    async def init(self, port: int, upstream: str = "127.0.0.1", upstream_port: int = 5300) -> None:
        self.kept, self.now, self.bad = dict[bytes, tuple[bytes, float, float]](), asyncio.get_running_loop().time, 0
        self.server: dict[str, Any] = {"host": upstream, "port": upstream_port}
        udp = meta.UDPServerOptions(reply_limit=meta.RateLimit(rate=200, slip=2))  # to others than this machine
        front = await meta.listen_tcp(self, host="127.0.0.1", port=port, frame=FRAME, both=udp, announce=False)
        safe: dict[str, Any] = {"id": meta.RequestId(), "ports": 16, "guess_alarm": 100, "stray": "drop", **self.server}
        # An answer repeats the question, which in the query is between the header and 11 bytes of EDNS.
        safe["match"] = lambda query, reply: reply.data[2:3] >= b"\x80" and reply.data[12:].startswith(query[12:-11])
        self.client = await meta.connect_udp(self, coalesce=bytes, **safe)
        print("listening on port", front.local_address[1], flush=True)

    def handle_message(self, sender: Any, message: Any) -> None:
        try:
            query = question_untrusted(b"\0\0" + message.data[2:])
        except ValueError:
            self.bad, raw = self.bad + 1, message.data[:12]
            if len(raw) == 12 and raw[2] < 0x80:  # NOTIMP for other operations than queries, or FORMERR
                self.reply(message, raw[:2] + bytes([raw[2] & 0x79 | 0x80, 0x81 + 3 * (raw[2] & 0x78 > 0), *bytes(8)]))
            return
        kept, since, until = self.kept.get(query, NOTHING)
        if (now := self.now()) < until:
            tcp = isinstance(message, meta.MessageTCP)
            self.reply(message, message.data[:2] + render(b"\0\0" + message.data[2:], kept, int(now - since), tcp)[2:])
        else:
            self.send_request(self.client.alias, query, label=(message, query))

    async def handle_response(self, label: Any, reply: Any) -> None:
        """The upstream has answered, or an exception is the answer. Those who ask the same share one question."""
        message, query = label
        if self.now() >= self.kept.get(query, NOTHING)[2]:
            data = b"" if isinstance(reply, Exception) else reply.data
            if isinstance(reply, gen.SpoofingSuspected) or (data and data[2] & 0x02):  # TC: ask again by TCP
                try:
                    client = await meta.connect_tcp(self, **self.server, frame=FRAME, announce=False)
                    data = (await self.call(client.alias, query)).data
                    self.send_exit_meta(client.alias, gen.TerminateNormal())
                except gen.HomingError:
                    data = b""
            self.kept[query] = keep_untrusted(data, self.now())
            self.kept.pop(next(iter(self.kept))) if len(self.kept) > MOST_KEPT else None
        self.handle_message(None, message)  # it is kept now, for a second at least

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return {"malformed": self.bad, "kept": len(self.kept), "guesses": self.client.statistics().guesses}


class Server(act.Supervisor):
    def init(self, port: int, *upstream: Any) -> act.SupervisorSpec:
        options = gen.ProcessOptions(concurrency=100)  # so many questions by TCP at the same time
        child = act.ChildSpec(name="forwarder", behavior=Forwarder, args=(port, *upstream), options=options)
        return act.SupervisorSpec(children=(child,))


if __name__ == "__main__":
    homing.run(Server, *(int(word) if word.isdigit() else word for word in sys.argv[1:] or (str(PORT),)))
