"""A SIP registrar and redirect server (RFC 3261), by UDP and TCP: says where a user's phone is. Anybody may register.
homing demo sip, or: python examples/servers/sip.py [PORT]     # sip:service@... answers calls: sipp -sn uac 127.0.0.1
"""

import re
import sys
import time
from collections import Counter, OrderedDict
from typing import Any

import homing
from homing import act, gen, meta

PORT, TRY = 5060, ("sipsak -U -C sip:a@127.0.0.1:6000 -s sip:a@127.0.0.1:{port}", "sipp -sn uac -m 9 127.0.0.1:{port}")
SHORT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}
START, USER = re.compile(r"([A-Z]{1,32}) (sips?:\S{1,256}) SIP/2\.0"), re.compile(r"(?i)sips?:([^@;:?<>\s]{0,64})")
CONTACT = re.compile(r"(?i)(<)?(sips?:(?(1)[^<>\s]|[^<>,;\s]){1,256})>?([^,]*)")  # without < >: those of the header
EXPIRES = re.compile(r"(?i);\s*expires\s*=\s*([0-9]{1,9})(?![0-9])")
LENGTH = re.compile(rb"(?i)\r\n(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,5})[ \t]*\r\n")
LONGEST, MOST_EXPIRES, MOST_CONTACTS, MOST = 8192, 3600, 5, 10_000  # bytes, s; users and answers, in all some 15 MB


def parse_untrusted(data: bytes) -> tuple[str, str, dict[str, list[str]]]:
    """Returns method, URI and headers of a request, with its body. May raise only `ValueError`, whatever the bytes."""
    head, end, body = data[:LONGEST].partition(b"\r\n\r\n")
    first, *lines = re.sub(r"\r\n[ \t]+|\t", " ", head.decode()).split("\r\n")  # long lines are folded
    start, headers = START.fullmatch(first), dict[str, list[str]]()
    for name, _, value in (line.partition(":") for line in lines):
        headers.setdefault(SHORT.get(name := name.strip().lower(), name), []).append(value.strip())
    found = [headers.get(name, [""])[0] for name in ("via", "from", "to", "call-id", "cseq")]
    if not (start and end and all(found) and "".join(lines).isprintable()):  # an answer repeats parts of it
        raise ValueError("not a whole request")
    if found[-1].split()[1:] != [start[1]] or len(body) < int(headers.get("content-length", ["0"])[0]):
        raise ValueError("CSeq names another method, or the body is shorter than Content-Length")
    tag = f";tag={hash(found[3]) & 0xFFFFFFFF:08x}"
    return start[1], start[2], headers | {"body": [body.decode(errors="replace")], "tag": [tag]}


def response(headers: dict[str, list[str]], host: str, port: int, status: str, *more: str) -> bytes:
    """Returns the answer to a request. It tells the client its address (RFC 3581)."""
    hop, comma, hops = headers["via"][0].partition(",")
    hop = re.sub(r"(?i);\s*rport(?=\s*(;|$))", f";rport={port}", re.sub(r"(?i);\s*received=[^;]*", "", hop), count=1)
    tag = "" if ";tag=" in headers["to"][0] else headers["tag"][0]
    body = headers["body"][0].encode() if "Content-Type: application/sdp" in more else b""
    lines = [f"SIP/2.0 {status}", f"Via: {hop};received={host}{comma}{hops}", *map("Via: ".__add__, headers["via"][1:])]
    lines += [f"From: {headers['from'][0]}", f"To: {headers['to'][0]}{tag}", f"Call-ID: {headers['call-id'][0]}"]
    lines += [f"CSeq: {headers['cseq'][0]}", *more, f"Content-Length: {len(body)}", "\r\n"]
    return "\r\n".join(lines).encode() + body


class Frames:  # the requests in the stream of a TCP connection; empty lines between them keep it open
    rest, encode = b"", staticmethod(bytes)

    def feed(self, data: bytes) -> Any:
        self.rest = (self.rest + data).lstrip(b"\r\n")
        while (head := self.rest.find(b"\r\n\r\n") + 4) > 3:
            if len(self.rest) < (end := head + int((LENGTH.search(self.rest, 0, head) or "00")[1])):
                break
            yield self.rest[:end]
            self.rest = self.rest[end:].lstrip(b"\r\n")
        if len(self.rest) > LONGEST:
            raise meta.FrameTooLong(LONGEST)


class Sip(act.Actor):
    async def init(self, port: int, host: str) -> None:
        self.counts, self.answers, self.users = Counter[str](), OrderedDict[Any, bytes](), OrderedDict[str, Any]()
        udp = meta.UDPServerOptions(reply_guard=meta.ReplyGuard(rate=1000, burst=1000))  # a proxy asks for many
        server = await meta.listen_tcp(self, host=host, port=port, frame=Frames, announce=False, both=udp)
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender: Any, message: Any) -> None:
        try:
            method, uri, headers = parse_untrusted(message.data)
        except ValueError:
            self.counts["malformed"] += 1
            return
        if method != "ACK":
            key = (message.addr[0], *(headers[name][0] for name in ("via", "call-id", "cseq")))
            self.counts["requests" if key not in self.answers else "duplicates"] += 1
            if key not in self.answers:
                self.answers[key] = response(headers, *message.addr[:2], *self.answer(method, uri, headers))
            self.reply(message, self.answers[key])
            for table in (self.answers, self.users):
                table.popitem(last=False) if len(table) > MOST else None

    def answer(self, method: str, uri: str, headers: dict[str, list[str]]) -> list[str]:
        now, name = time.monotonic(), (USER.search(headers["to"][0] if method == "REGISTER" else uri) or ("", ""))[1]
        if "require" in headers:
            return ["420 Bad Extension", f"Unsupported: {headers['require'][0]}"]
        if method == "INVITE" and name == "service" and headers.get("content-type") == ["application/sdp"]:
            return ["200 OK", f"Contact: <{uri}>", "Content-Type: application/sdp"]  # its own: it hears itself
        if method == "INVITE":
            live = [contact for contact, end in self.users.get(name, {}).items() if end > now]
            status = "302 Moved Temporarily" if live else "480 Temporarily Unavailable"
            return [status if name in self.users else "404 Not Found", *(f"Contact: <{contact}>" for contact in live)]
        if method != "REGISTER":
            ended = "200 OK" if headers["to"][0].endswith(headers["tag"][0]) else "481 Call/Transaction Does Not Exist"
            status = {"OPTIONS": "200 OK", "BYE": ended, "CANCEL": ended}.get(method, "405 Method Not Allowed")
            return [status, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER"]
        known = self.users.pop(name, {}) if (headers.get("contact"), headers.get("expires")) != (["*"], ["0"]) else {}
        for _, contact, options in CONTACT.findall(",".join(headers.get("contact", []))):
            seconds = EXPIRES.search(f"{options};expires={headers.get('expires', [''])[0]}") or ("", MOST_EXPIRES)
            known[contact] = now + min(int(seconds[1]), MOST_EXPIRES)
        self.users[name] = known = dict([entry for entry in known.items() if entry[1] > now][-MOST_CONTACTS:])
        status = "400 Bad Request" if known and "*" in headers.get("contact", []) else "200 OK"  # RFC 3261, 10.3
        return [status, *(f"Contact: <{contact}>;expires={end - now:.0f}" for contact, end in known.items())]

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return dict(self.counts)


class Server(act.Supervisor):
    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="sip", behavior=Sip, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
