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

PORT, UPSTREAM = 5301, ("127.0.0.1", 5300)  # where the example `nameserver` listens
TRY = ("dig -p {port} @127.0.0.1 www.example",)
LIMIT = 1232  # bytes of a datagram that all networks pass whole (DNS Flag Day 2020)
MOST_KEPT = 10_000  # answers, each of a datagram; the names in questions are anybody's choice
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
    asked = parse_untrusted(data).question[0]
    return message.make_query(asked.name.canonicalize(), asked.rdtype, asked.rdclass, 0, payload=LIMIT, id=0).to_wire()


def answers(query: bytes, reply: meta.MessageUDP) -> bool:
    """Returns True if `reply` is an answer and repeats the question, which in `query` 11 bytes of EDNS follow."""
    return reply.data[2:3] >= b"\x80" and reply.data[12:].startswith(query[12:-11])


def keep_untrusted(data: bytes, now: float) -> tuple[bytes, float, float]:
    """Returns the answer to keep: failures for a second (RFC 9520), no answer for less, nor for more than an hour."""
    try:
        answer = parse_untrusted(data)
    except ValueError:
        return NOTHING[0], now, now + 1
    times = [records.ttl for section in answer.sections[1:] for records in section]
    ends = [record.minimum for records in answer.authority for record in records if isinstance(record, SOA)]  # RFC 2308
    is_lasting = (answer.answer or ends) and not answer.flags & flags.TC
    return data, now, now + (max(1, min(*times, *ends, 3600)) if is_lasting else 1)


@lru_cache(MOST_KEPT)
def render(data: bytes, kept: bytes, age: int) -> bytes:
    """Returns the kept answer to a client's query, with its spelling, and with lifetimes shortened by the age."""
    query, answer = parse_untrusted(data), parse_untrusted(kept)
    answer.question = query.question
    answer.flags = answer.flags & ~flags.AA | flags.RA
    answer.use_edns(min(query.edns, 0), payload=LIMIT)
    for records in answer.answer + answer.authority + answer.additional:
        records.ttl = max(0, records.ttl - age)
    return answer.to_wire(max_size=min(LIMIT, max(512, query.payload)), prefer_truncation=True)


class Forwarder(act.Actor):
    async def init(self, port: int, server: tuple[str, int]) -> None:
        self.kept, self.now = dict[bytes, tuple[bytes, float, float]](), asyncio.get_running_loop().time
        self.counts = {"asked": 0, "malformed": 0}
        limit = meta.RateLimit(rate=200, slip=2)  # to another machine: fewer answers than harm a victim
        front = await meta.listen_udp(self, host="127.0.0.1", port=port, reply_limit=limit)
        safe: dict[str, Any] = {"id": meta.RequestId(), "ports": 16, "match": answers, "guess_alarm": 100}
        host, port = server
        self.upstream = await meta.connect_udp(self, host=host, port=port, coalesce=bytes, stray="drop", **safe)
        print("listening on port", front.local_address[1], flush=True)

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        try:
            query = question_untrusted(b"\0\0" + message.data[2:])
        except ValueError:
            self.counts["malformed"] += 1
            return
        if self.now() < self.kept.get(query, NOTHING)[2]:
            self.answer(message, query)
        else:
            self.counts["asked"] += 1
            self.send_request(self.upstream.alias, query, label=(message, query))

    def handle_response(self, label: Any, reply: Any) -> None:
        """The upstream has answered, or an exception is the answer. Those who ask the same share one question."""
        message, query = label
        if self.now() >= self.kept.get(query, NOTHING)[2]:
            self.kept[query] = keep_untrusted(b"" if isinstance(reply, Exception) else reply.data, self.now())
            if len(self.kept) > MOST_KEPT:
                del self.kept[next(iter(self.kept))]
        self.answer(message, query)

    def answer(self, message: meta.MessageUDP, query: bytes) -> None:
        kept, since, _ = self.kept[query]
        self.reply(message, message.data[:2] + render(b"\0\0" + message.data[2:], kept, int(self.now() - since))[2:])

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return {**self.counts, "guesses": self.upstream.statistics().guesses}


class Server(act.Supervisor):
    def init(self, port: int, server: tuple[str, int] = UPSTREAM) -> act.SupervisorSpec:
        child = act.ChildSpec(name="forwarder", behavior=Forwarder, args=(port, server))
        return act.SupervisorSpec(children=(child,))


if __name__ == "__main__":
    argv: list[Any] = [*sys.argv[1:], *(PORT, *UPSTREAM)[len(sys.argv) - 1 :]]
    homing.run(Server, int(argv[0]), (argv[1], int(argv[2])))
