"""A CoAP server (RFC 7252): resources that can be observed (RFC 7641), and are read and written in blocks (RFC 7959).
homing demo coap, or: python examples/servers/coap.py [PORT]; coap-client-notls -s 5 coap://127.0.0.1:5683/time
"""

import sys
import time
from collections import Counter
from typing import Any

from aiocoap import ACK, CON, GET, NON, PUT, RST, Code, Message, optiontypes, util  # type: ignore[import-untyped]

import homing
from homing import act, gen, meta

PORT, KEYS, TRY = 5683, {"device": b"secret"}, ("coap-client-notls -s 5 coap://127.0.0.1:{port}/time",)
LINKS, LARGE = b"</time>;obs,</large>;sz=4000,</store>;obs", b"".join(b"line %04d\n" % line for line in range(400))
FIRST = optiontypes.BlockOption.BlockwiseTuple(0, False, 2)  # 64 bytes: answers of 3 times the question, at most
LONGEST, MOST_ANSWERS, MOST_OBSERVED, MOST_PEERS = 4096, 32, 8, 2000  # bytes uploaded, ... of each peer: 30 MB in all
util.ExtensibleIntEnum._missing_ = classmethod(int.__new__)  # or aiocoap keeps each unknown number that comes, forever


def parse_untrusted(data: bytes) -> Any:
    """Returns the `aiocoap.Message`. May raise only `ValueError`, whatever the bytes."""
    try:
        message = Message.decode(data)
    except Exception as error:  # of the library, which names no complete list
        raise ValueError(f"malformed: {error}") from None
    if len(message.token) != data[0] & 15 or len(message.token) > 8 or (message.code == 0 and len(data) > 4):
        raise ValueError("a token of a wrong length, or an empty message that is not empty")
    return message


class Endpoint(meta.PeerActor):  # one peer: its recent answers, the requests by which it observes, its upload
    def init(self, resources: dict[str, bytes], counts: Counter[str]) -> None:
        self.resources, self.counts, self.ids = resources, counts, iter(range(time.time_ns(), 1 << 64))
        self.answers, self.observed, self.upload = dict[bytes, bytes](), dict[bytes, Any](), b""
        self.send_every(self.pid, "notify", 1.0)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.counts[self.notify() if message == "notify" else self.outcome_untrusted(message.data)] += 1

    def outcome_untrusted(self, data: bytes) -> str:
        try:
            request = parse_untrusted(data)
        except ValueError:
            return "malformed"
        if request.mtype in (ACK, RST):
            for seen in [seen for seen in self.observed.values() if seen.mid == request.mid]:
                seen.waits = 0 if request.mtype == ACK else 31
        elif (key := data[: 4 + len(request.token)]) in self.answers or not request.code.is_request():  # a ping: RST
            self.peer.send(self.answers.get(key, b"\x70\0" + data[2:4]))
            return "duplicates" if key in self.answers else "empty"
        else:
            self.observed.pop(request.token, None)
            answer = self.answer(request, *((ACK, request.mid) if request.mtype == CON else (NON, next(self.ids))))
            if answer.opt.observe is not None and len(self.observed) < MOST_OBSERVED:
                request.etag, request.waits, self.observed[request.token] = answer.opt.etag, 0, request
            self.answers = dict([*self.answers.items(), (key, answer.encode())][-MOST_ANSWERS:])
            self.peer.send(self.answers[key])
        return "requests" if request.code else "empty"

    def answer(self, request: Any, kind: int, mid: int) -> Any:
        options, path = request.opt, "/".join(request.opt.uri_path)
        form = 40 if path == ".well-known/core" else None  # application/link-format
        answer = Message(_mtype=kind, _mid=mid & 0xFFFF, _token=request.token, content_format=form)
        known = {3, 7, 11, 15, 23, 27, 17 if options.accept == (form or 0) else 3}  # Uri-*, Block*, Accept
        if critical := {option.number for option in options.option_list() if option.number & 1} - known:
            answer.code = Code.PROXYING_NOT_SUPPORTED if 35 in critical else Code.BAD_OPTION
        elif request.code == PUT and path == "store":
            block = options.block1 or FIRST
            self.upload = (self.upload[: block.start] + request.payload)[: LONGEST + 1]
            answer.opt.block1, fits = options.block1, len(self.upload) == block.start + len(request.payload) <= LONGEST
            answer.code = (Code.CONTINUE if block.more else Code.CHANGED) if fits else Code.REQUEST_ENTITY_INCOMPLETE
            self.resources["store"] = self.upload if fits and not block.more else self.resources["store"]
        elif path not in self.resources or request.code != GET:
            answer.code = Code.METHOD_NOT_ALLOWED if path in self.resources else Code.NOT_FOUND
        else:
            body = self.resources[path] if path != "time" else time.strftime("%H:%M:%S\n").encode()
            place, _, exponent = (options.block2 or FIRST).reduced_to(FIRST.size_exponent)
            start, end = place << exponent + 4, place + 1 << exponent + 4
            answer.code, answer.payload = Code.CONTENT if start <= len(body) else Code.BAD_REQUEST, body[start:end]
            answer.opt.etag, answer.opt.block2 = hash(body).to_bytes(8, signed=True), (place, end < len(body), exponent)
            answer.opt.observe = next(self.ids) & 0xFFFFFF if options.observe == 0 else None
        return answer

    def notify(self) -> str:
        self.observed = {token: seen for token, seen in self.observed.items() if seen.waits < 31}  # s
        for seen in self.observed.values():
            answer = self.answer(seen, CON, next(self.ids))
            seen.waits += bool(seen.waits or answer.opt.etag != seen.etag)
            if seen.waits and not seen.waits & (seen.waits - 1):  # after 1, 2, 4, 8, 16 s: confirm this
                seen.etag, seen.mid = answer.opt.etag, answer.mid
                self.peer.send(answer.encode())
        return "ticks"


class Site(act.Actor):  # owns the socket, and the resources, which all peers share
    async def init(self, port: int, host: str) -> None:
        self.shared = {"time": b"", "large": LARGE, "store": b"", ".well-known/core": LINKS}, Counter[str]()
        peers = meta.PeerOptions(worker=Endpoint, worker_args=self.shared, idle=247, most=MOST_PEERS, unproven_share=1)
        guard = meta.ReplyGuard(rate=1000, burst=1000, amplification=6.0)  # a block, and a change of it to confirm
        servers: list[Any] = [await meta.listen_udp(self, host=host, port=port, peers=peers, reply_guard=guard)]
        try:  # DTLS is on the next port
            servers += [await meta.listen_dtls(self, host=host, port=port and port + 1, peers=peers, psk=KEYS)]
        except gen.NotAllowed as error:
            print("without DTLS:", error)
        print(*(f"listening on port {server.local_address[1]}" for server in servers), sep="\n", flush=True)

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return dict(self.shared[1])


class Server(act.Supervisor):
    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="coap", behavior=Site, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
