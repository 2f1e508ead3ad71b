"""An authoritative DNS server by UDP and TCP: cookies, an amplification budget, limited answers, workers by source.
homing demo nameserver, or: python examples/servers/nameserver.py [PORT]
dig -p 5300 @127.0.0.1 www.example
"""

import sys
from collections import Counter
from functools import lru_cache
from typing import Any

from dns import edns, flags, message, name, rcode, rdataclass, rdatatype, zone

import homing
from homing import act, gen, meta

PORT, TRY = 5300, ("dig -p {port} @127.0.0.1 TXT text.example", "dig -p {port} @127.0.0.1 many.example +noall +stats")
ORIGIN = name.from_text("example.")
RECORDS = """
@        60 SOA   www admin 1 3600 600 86400 60
@       300 NS    www
@       300 MX    10 www
www     300 A     192.0.2.1
www     300 AAAA  2001:db8::1
text    300 TXT   "a client gets this long answer by UDP once it has returned the cookie that proves its address"
alias   300 CNAME www
*.wild  300 A     192.0.2.2
$GENERATE 1-100 many 300 A 198.51.100.$
"""
ZONE = zone.from_text(RECORDS, ORIGIN, relativize=False)
NAMES = {name.Name(owner.labels[n:]) for owner in ZONE for n in range(len(owner) - 1)}
LONGEST = 1232  # bytes of a datagram that all networks pass whole (DNS Flag Day 2020)


def parse_untrusted(data: bytes) -> message.Message:
    """Returns a query, with the errors that it contains. May raise only ValueError, whatever the bytes."""
    if not 12 <= len(data) <= 512 or data[2] & 0x80:
        raise ValueError("no query, or so long that it takes room from others")
    return message.from_wire(data, continue_on_error=True)


@lru_cache(4096)  # of 2 KB at most, with the questions
def answer_untrusted(data: bytes, tcp: bool = False, code: rcode.Rcode | None = None) -> tuple[bytes, rcode.Rcode, Any]:
    """Returns the answer, its code, and the client's cookie. The last 16 bytes are left for the server's cookie."""
    response = message.make_response(query := parse_untrusted(data))
    cookie = next((option for option in query.options if isinstance(option, edns.CookieOption)), None)
    own: list[edns.Option] = [edns.CookieOption(cookie.client, bytes(16))] if cookie else []
    response.use_edns(min(query.edns, 0), query.ednsflags & flags.DO, LONGEST, options=own)
    if query.opcode() or query.errors or len(query.question) != 1:
        wrong = query.errors or query.question or not cookie  # nothing but a cookie may be asked for: RFC 7873, 5.4
        code = rcode.NOTIMP if query.opcode() else rcode.FORMERR if wrong else rcode.NOERROR
    elif code is None:
        code = rcode.BADVERS if query.edns > 0 else look_up(response)
    response.set_rcode(code)
    size = 65535 if tcp else min(LONGEST, max(512, query.payload))
    return response.to_wire(max_size=size, prefer_truncation=True), code, cookie


def look_up(response: message.Message) -> rcode.Rcode:
    """Adds the records that are asked for, behind the CNAMEs that lead there; for ANY those of one type (RFC 8482)."""
    owner, kind, every = response.question[0].name, response.question[0].rdtype, rdatatype.ANY
    known = owner.is_subdomain(ORIGIN) and response.question[0].rdclass == rdataclass.IN
    if not known or rdatatype.is_metatype(kind) != (kind == every):
        return rcode.REFUSED
    response.flags |= flags.AA
    while owner.is_subdomain(ORIGIN) and all(owner != passed.name for passed in response.answer):  # not in a circle
        encloser = next(above for n in range(len(owner)) if (above := name.Name(owner.labels[n:])) in NAMES)
        source = owner if owner == encloser else name.Name((b"*", *encloser.labels))
        kind = ZONE.nodes[source].rdatasets[0].rdtype if kind == every and source in ZONE.nodes else kind
        if not (found := ZONE.get_rrset(source, kind) or ZONE.get_rrset(source, rdatatype.CNAME)):
            response.authority.append(ZONE.find_rrset(ORIGIN, rdatatype.SOA))
            return rcode.NOERROR if owner == encloser or source in ZONE.nodes else rcode.NXDOMAIN
        found.name = owner
        response.answer.append(found)
        owner = name.root if found.rdtype == kind else found[0].target
    return rcode.NOERROR


class Responder(act.Actor):
    def init(self, cookies: meta.Cookies, counts: Counter[str]) -> None:
        self.cookies, self.counts = cookies, counts

    def handle_message(self, sender: Any, message: Any) -> None:
        question, tcp = b"\0\0" + message.data[2:], isinstance(message, meta.MessageTCP)
        try:
            answer, code, cookie = answer_untrusted(question, tcp)
        except ValueError:
            self.counts["malformed"] += 1
            return
        if cookie:
            if not tcp and self.cookies.check(cookie.server, message.addr, cookie.client):
                message.validated()
            elif not tcp and (cookie.server or len(answer) > 3 * len(question)):
                answer, code, _ = answer_untrusted(question, tcp, rcode.BADCOOKIE)
            answer = answer[:-16] + self.cookies.make(message.addr, cookie.client)
        self.counts[code.name] += 1
        self.reply(message, message.data[:2] + answer[2:])


class Listener(act.Actor):
    async def init(self, port: int, exempt: tuple[str, ...]) -> None:
        self.counts = Counter[str]()
        pool: dict[str, Any] = {"worker": Responder, "worker_args": (meta.Cookies(), self.counts), "announce": False}
        cut: dict[str, Any] = {"shorten": lambda answer: answer[:2] + bytes([answer[2] | 2, answer[3]]) + bytes(8)}
        limit = meta.RateLimit(rate=50, prefix4=24, slip=2, exempt=exempt, **cut)
        udp = meta.UDPServerOptions(reply_limit=limit, amplification=meta.Amplification(exempt=(), **cut))
        server = await meta.listen_tcp(self, host="127.0.0.1", port=port, frame=meta.LengthPrefix(2), both=udp, **pool)
        print("listening on port", server.local_address[1], flush=True)

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return dict(self.counts)


class Server(act.Supervisor):
    def init(self, port: int, exempt: tuple[str, ...] = ("127.0.0.0/8", "::1")) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="nameserver", behavior=Listener, args=(port, exempt)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
