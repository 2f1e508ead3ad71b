"""An SNMP trap receiver: traps of SNMPv1 and v2c, and informs, which it confirms (RFC 1157, 3416, 3584).

homing demo snmptrap, or: python examples/servers/snmptrap.py [PORT]
snmptrap -v 2c -c public 127.0.0.1:1162 '' 1.3.6.1.6.3.1.1.5.3
snmpinform -v 2c -c public 127.0.0.1:1162 '' 1.3.6.1.6.3.1.1.5.4
"""

import hmac
import sys
import time
from collections import Counter
from hashlib import blake2b
from typing import Any

from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]
from pyasn1.type import namedtype, tag, univ  # type: ignore[import-untyped]

import homing
from homing import act, gen, meta

PORT = 1162
TRY = ("snmpinform -v 2c -c public 127.0.0.1:{port} '' 1.3.6.1.6.3.1.1.5.3 1.3.6.1.2.1.2.2.1.1.1 i 1",)
COMMUNITY = b"public"
LONGEST = 8192  # bytes: much more than the 484 that each receiver has to take (RFC 3417, section 3.2)
MOST_KNOWN, KEPT, LATEST = 10_000, 60.0, 100  # digests of datagrams, for 60 s, some 8 MB; traps for late subscribers
TRAP_OID, GENERIC = "1.3.6.1.6.3.1.1.4.1.0", "1.3.6.1.6.3.1.1.5"


def tagged(kind: Any, number: int, of: int = tag.tagClassApplication, form: int = tag.tagFormatSimple) -> Any:
    return kind.subtype(implicitTag=tag.Tag(of, form, number))


def pdu(kind: Any, number: int) -> Any:
    return tagged(kind, number, tag.tagClassContext, tag.tagFormatConstructed)


def fields(base: Any = univ.Sequence, **kinds: Any) -> Any:
    return base(componentType=namedtype.NamedTypes(*(namedtype.NamedType(*field) for field in kinds.items())))


# RFC 1155 and 2578: the values; RFC 1157 and 3416: the messages
INTEGER, STRING, OID = univ.Integer(), univ.OctetString(), univ.ObjectIdentifier()
IP, COUNTER, GAUGE, TICKS = tagged(STRING, 0), tagged(INTEGER, 1), tagged(INTEGER, 2), tagged(INTEGER, 3)
PLAIN = {"integer": INTEGER, "string": STRING, "oid": OID, "null": univ.Null(""), "ip": IP, "counter": COUNTER}
VALUE = fields(univ.Choice, **PLAIN, gauge=GAUGE, ticks=TICKS, opaque=tagged(STRING, 4), large=tagged(INTEGER, 6))
BINDINGS = univ.SequenceOf(componentType=fields(name=OID, value=VALUE))
NEW = fields(id=INTEGER, status=INTEGER, index=INTEGER, bindings=BINDINGS)
OLD = fields(enterprise=OID, agent=IP, generic=INTEGER, specific=INTEGER, time=TICKS, bindings=BINDINGS)
KINDS = fields(univ.Choice, old=pdu(OLD, 4), inform=pdu(NEW, 6), trap=pdu(NEW, 7))
MESSAGE = fields(version=INTEGER, community=STRING, pdu=KINDS)
RESPONSE = b"\xa2"  # the first byte of the answer to an inform, which is the same otherwise


def parse_untrusted(data: bytes) -> tuple[bytes, str, dict[str, str], bytes]:
    """Returns the community, the OID of the event, the values by their OIDs, and the answer, which is b"" to a trap.
    May raise only `ValueError`, whatever the bytes."""
    try:
        message, _ = decoder.decode(data[:LONGEST], asn1Spec=MESSAGE)
        kind, body, answer = message["pdu"].getName(), message["pdu"].getComponent(), b""
        values = {str(pair["name"]): pair["value"].getComponent().prettyPrint() for pair in body["bindings"]}
        if message["version"] != (kind != "old"):
            raise ValueError("not of the version that it says")
        if kind == "old":  # what it would be in v2c: RFC 3584, section 3.1
            generic = int(body["generic"])
            oid = f"{GENERIC}.{generic + 1}" if 0 <= generic < 6 else f"{body['enterprise']}.0.{body['specific']}"
        else:
            oid = values[TRAP_OID]
        if kind == "inform":
            whole, inner = encoder.encode(message), encoder.encode(body)
            answer = whole[: -len(inner)] + RESPONSE + inner[1:]
        return bytes(message["community"]), oid, values, answer
    except Exception as error:  # of the library, which names no complete list
        raise ValueError(f"malformed: {error}") from None


class Receiver(act.Actor):
    """Publishes each notification once, as the event "traps": (host, OID, values)."""

    async def init(self, port: int, host: str, token: gen.Ref) -> None:
        self.counts, self.token = Counter[str](), token
        self.dedupe = meta.Dedupe(key=lambda data, addr: ((*addr[:2], data), 0), idle=KEPT, most_streams=MOST_KNOWN)
        limit = meta.RateLimit(rate=100, burst=1000)  # of each agent; to decode a trap takes half a millisecond
        guard = meta.ReplyGuard(rate=100, burst=1000)
        server = await meta.listen_udp(self, host=host, port=port, rate_limit=limit, reply_guard=guard, linger=5.0)
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        self.counts[self.outcome_untrusted(message)] += 1

    def outcome_untrusted(self, message: meta.MessageUDP) -> str:
        try:
            community, oid, values, answer = parse_untrusted(message.data)
        except ValueError:
            return "malformed"
        if not hmac.compare_digest(community, COMMUNITY):
            return "wrong_community"
        if answer:
            self.reply(message, answer)
        digest = blake2b(message.data, digest_size=16).digest()
        if not self.dedupe.fresh(digest, message.addr, time.monotonic()):
            return "duplicates"
        self.send_event("traps", self.token, (message.addr[0], oid, values))
        self.log.info("from %s: %s %.300r", message.addr[0], oid, values)
        return "informs" if answer else "traps"

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return dict(self.counts)


class Server(act.Supervisor):
    """Restarts the receiver if it fails; the event is its own, so that subscribers notice nothing."""

    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        arguments = port, host, self.register_event("traps", gen.EventOptions(buffer=LATEST))
        return act.SupervisorSpec(children=(act.ChildSpec(name="snmptrap", behavior=Receiver, args=arguments),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
