"""A RADIUS server: checks passwords, by PAP and CHAP (RFC 2865), and takes only signed requests (CVE-2024-3596).

homing demo radius, or: python examples/servers/radius.py [PORT]
radtest -t chap alice wonderland 127.0.0.1:1812 0 testing123      # without -t chap: PAP
"""

import hmac
import io
import sys
import time
from collections import Counter, OrderedDict
from ipaddress import ip_address, ip_network
from typing import Any

from pyrad.dictionary import Dictionary  # type: ignore[import-untyped]
from pyrad.packet import AccessReject, AccessRequest, AuthPacket, StatusServer  # type: ignore[import-untyped]

import homing
from homing import act, gen, meta

PORT = 1812
TRY = (
    "radtest alice wonderland 127.0.0.1:{port} 0 testing123",
    "radtest -t chap alice wonderland 127.0.0.1:{port} 0 testing123",
)
SECRETS = {"127.0.0.0/8": b"testing123", "192.0.2.0/24": b"change me"}  # of the clients: the first network that fits
USERS = {b"alice": b"wonderland", b"bob": b"builder"}

LONGEST = 4096  # bytes: RFC 2865, section 3
MOST_ANSWERS, KEPT = 10_000, 10.0  # 10 s, because clients ask again meanwhile (RFC 5080, section 2.2.2); some 10 MB
USER_NAME, USER_PASSWORD, CHAP_PASSWORD, REPLY_MESSAGE, MESSAGE_AUTHENTICATOR = 1, 2, 3, 18, 80
DICTIONARY = Dictionary(io.StringIO("ATTRIBUTE CHAP-Challenge 60 octets"))  # the one that pyrad looks up by its name


def parse_untrusted(data: bytes) -> Any:
    """Returns the packet, a `pyrad` one. May raise only `ValueError`, whatever the bytes."""
    if len(data) > LONGEST:
        raise ValueError("longer than RADIUS allows")
    try:
        packet = AuthPacket(packet=data, dict=DICTIONARY)
    except Exception as error:  # of the library, which names no complete list
        raise ValueError(f"malformed: {error}") from None
    if packet.code not in (AccessRequest, StatusServer):
        raise ValueError("not a request to this port")
    if [len(value) for value in packet.get(MESSAGE_AUTHENTICATOR, ())] not in ([], [16]):
        raise ValueError("more than one signature, or one of a wrong length")
    return packet


def is_right(request: Any) -> bool:
    """True if the user and the password are right. Takes as long for a user that does not exist."""
    name = request.get(USER_NAME, [b""])[0]
    password = USERS.get(name, b"")
    if CHAP_PASSWORD in request:
        right = request.VerifyChapPasswd(password)
    else:  # what was sent is not decrypted: the right password is encrypted instead, so that none is half decoded
        right = hmac.compare_digest(request.PwCrypt(password), request.get(USER_PASSWORD, [b""])[0])
    return bool(right and name in USERS)


def answer(request: Any) -> tuple[str, bytes]:
    """Returns the outcome, and the answer to a request whose signature is right; the answer is signed too."""
    reply, right = request.CreateReply(), request.code == StatusServer or is_right(request)
    if not right:
        reply.code, reply[REPLY_MESSAGE] = AccessReject, [b"wrong user or password"]
    return "accepted" if right else "rejected", reply.ReplyPacket()


class Radius(act.Actor):
    """Keeps each answer for some seconds, for the client that missed it and asks again."""

    async def init(self, port: int, host: str) -> None:
        self.counts, self.answers = Counter[str](), OrderedDict[Any, bytes]()
        self.dedupe = meta.Dedupe(key=self.key, window=1, idle=KEPT, most_streams=MOST_ANSWERS)
        guard = meta.ReplyGuard(rate=1000, burst=1000)  # one client asks for all of its users
        server = await meta.listen_udp(self, host=host, port=port, allow=tuple(SECRETS), reply_guard=guard, linger=5.0)
        print("listening on port", server.local_address[1], flush=True)

    def key(self, data: bytes, addr: Any) -> tuple[Any, int]:
        """Requests are equal by their source, id and authenticator; a number does not count them."""
        return (addr[0], addr[1], bytes(data[1:2] + data[4:20])), 0

    def handle_message(self, sender: Any, message: meta.MessageUDP) -> None:
        self.counts[self.outcome_untrusted(message)] += 1

    def outcome_untrusted(self, message: meta.MessageUDP) -> str:
        """Answers a request if it is signed by a client. To the rest it is silent: RFC 2865, section 3."""
        try:
            request = parse_untrusted(message.data)
        except ValueError:
            return "malformed"
        if not request.message_authenticator:
            return "unsigned"
        host = ip_address(message.addr[0])  # of which `allow` says that it is in one of the networks
        request.secret = next(secret for network, secret in SECRETS.items() if host in ip_network(network))
        if not request.verify_message_authenticator():
            return "wrong_signature"
        stream, outcome = self.key(message.data, message.addr)[0], "duplicates"
        if self.dedupe.fresh(message.data, message.addr, time.monotonic()):
            outcome, self.answers[stream] = answer(request)
            self.answers.move_to_end(stream)
            if len(self.answers) > MOST_ANSWERS:
                self.answers.popitem(last=False)
        self.reply(message, self.answers[stream])
        return outcome

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return dict(self.counts)


class Server(act.Supervisor):
    """Restarts the server if it fails. Its socket outlives it."""

    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="radius", behavior=Radius, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
