"""A syslog collector (RFC 3164, 5424) by UDP, TCP and TLS: writes messages as lines of JSON to files, which it rotates.
homing demo syslog, or: python examples/servers/syslog.py [PORT [DIRECTORY]]
logger -n 127.0.0.1 -P 5514 -d --rfc5424 -p user.err "disk is full"
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any

import homing
from homing import act, gen, meta

PORT = 5514
SEND = "loggen --inet --dgram --rate 50000 --interval 10 127.0.0.1 {port}"
TRY = ('logger -n 127.0.0.1 -P {port} -d --rfc5424 -p user.err "disk is full"', SEND)
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
LONGEST = 8192  # bytes of a message: four times what a receiver should take (RFC 5424, section 6.1); more is cut
BLOCK = 1 << 18  # characters that are written at a time: some 1000 lines
MOST_BYTES, MOST_FILES = 10_000_000, 5  # of a file; so that a flood fills 50 MB
PRIORITY = re.compile(rb"<(0|[1-9]\d{0,2})>")
FRAME = re.compile(rb"([1-9]\d{0,4}) |([^\n]*+)\n")  # RFC 6587: a length before the message, or a newline behind it
RFC_5424 = re.compile(  # *+ and ++ never step back: the time is in proportion to the bytes, whatever these are
    rb"(?s)1 (?P<time>\S++) (?P<host>\S++) (?P<app>\S++) (?P<process>\S++) (?P<id>\S++) "
    rb'(?P<data>-|(?:\[(?:[^]"]|"(?:[^"\\]|\\.)*+")*+\])++)(?: (?:\xef\xbb\xbf)?(?P<text>.*+))?'
)
TIME = rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S++"
TAG = rb"(?P<app>[^\s:[]++)(?:\[(?P<process>[^]\s]*+)\])?"
RFC_3164 = re.compile(rb"(?s)(?P<time>" + TIME + rb") (?:(?P<host>\S++)(?<!:) )?(?:" + TAG + rb": )?(?P<text>.*+)")


def parse_untrusted(data: bytes) -> dict[str, Any]:
    """Returns the fields of a message. May raise only `ValueError`, whatever the bytes."""
    found = PRIORITY.match(data)
    if found is None or int(found[1]) > 191:
        raise ValueError("no priority")
    rest = data[found.end() :].rstrip(b"\r\n\0")
    form = RFC_5424.fullmatch(rest) or RFC_3164.fullmatch(rest)
    parts = form.groupdict() if form else {"text": rest}  # any text is valid: RFC 3164, section 4.3.2
    fields = {name: value.decode("utf-8", "backslashreplace") for name, value in parts.items() if value is not None}
    return {"facility": int(found[1]) >> 3, "severity": SEVERITIES[int(found[1]) & 7], **fields}


class Frames:  # of a connection: each message may be framed in the one way or the other
    rest, encode = b"", staticmethod(bytes)

    def feed(self, data: bytes) -> Iterator[bytes]:
        data, place = self.rest + data, 0
        while (found := FRAME.match(data, place)) and (end := found.end() + int(found[1] or 0)) <= len(data):
            yield data[found.end() : end] if found[1] else found[2]
            place = end
        self.rest = data[place:]
        if len(self.rest) > LONGEST + 6:
            raise meta.FrameTooLong(LONGEST)


class Parser(act.Actor):  # makes a line of each message; takes no more while 1024 lines wait for the writer
    def handle_message(self, sender: Any, message: meta.MessageUDP | meta.MessageTCP) -> None:
        head = {"arrived": datetime.now(UTC).isoformat(timespec="milliseconds"), "source": message.addr[0]}
        try:
            self.send("syslog", json.dumps(head | parse_untrusted(message.data)) + "\n")
        except ValueError:
            self.send("syslog", "")


class Collector(act.Actor):  # writes all that waits as one block, on another thread; while that is slow, others wait
    async def init(self, port: int, directory: str, host: str, tls: meta.TLS | None) -> None:
        os.makedirs(directory, exist_ok=True)
        self.file = RotatingFileHandler(f"{directory}/messages", backupCount=MOST_FILES - 1, delay=True)
        self.counts = dict.fromkeys(("written", "failed", "malformed", "rotated"), 0)
        self.lines, self.size = list[str](), 0
        udp = meta.UDPServerOptions(buffer_size=LONGEST, receive_buffer=4 << 20, linger=5.0)  # for bursts
        options = dict[str, Any](host=host, port=port, tls=tls, frame=Frames, announce=False, worker=Parser)
        self.server: Any = await meta.listen_tcp(self, both=udp, **options)
        print("listening on port", self.server.local_address[1], flush=True)

    async def handle_message(self, sender: Any, line: str | None) -> None:
        self.counts["malformed"] += line == ""
        if line:
            self.lines.append(line)
            self.size += len(line)
            if len(self.lines) == 1:
                self.send(self.pid, None)  # which comes behind all lines that wait now
        if self.lines and (line is None or self.size > BLOCK):
            lines, self.lines, self.size = self.lines, [], 0
            try:
                await asyncio.to_thread(self.write_blocking, "".join(lines).encode())
                self.counts["written"] += len(lines)
            except OSError:
                self.counts["failed"] += len(lines)

    def write_blocking(self, block: bytes) -> None:
        with open(self.file.baseFilename, "ab", buffering=0) as file:
            start = file.tell()
            if file.write(block) < len(block):
                file.truncate(start)  # no half a line
                raise OSError("the disk is full")
        if start + len(block) > MOST_BYTES:
            self.file.doRollover()
            self.counts["rotated"] += 1

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int | None]:
        tcp, udp = self.server.statistics(), self.server.udp.statistics()
        return self.counts | {"received": udp.packets_in + tcp.received, "kernel_drops": udp.kernel_drops}


class Server(act.Supervisor):  # restarts the collector if it fails; the lines that wait outlive that
    def init(self, port: int, directory: str = "logs", host: str = "127.0.0.1", tls: Any = None) -> act.SupervisorSpec:
        keep, args = gen.ProcessOptions(preserve_mailbox=True), (port, directory, host, tls)
        return act.SupervisorSpec(children=(act.ChildSpec(name="syslog", behavior=Collector, args=args, options=keep),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT, *sys.argv[2:])
