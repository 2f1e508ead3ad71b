"""A DNS-like server, flooded with noise and with questions from forged sources, and a client that loses nothing.

sudo python examples/fortress.py --seconds 10     hping3 in network namespaces of its own (Linux)
python examples/fortress.py --local               without root: a sender at 127.0.0.2

The page of figures is renewed each second. The attack and the client are in attack.py.
"""

import argparse
import asyncio
import contextlib
import logging
import secrets
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import attack

import homing
from homing import act, gen, meta, observe
from homing.testing import Capture

where = meta.where
QUESTION = (where.length >= 17) & (where[2] >> 7 == 0) & (where[4:6] == 1)  # of DNS: a query with one question
RECORD = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, 804) + 4 * (bytes([200]) + 50 * b"safe")  # TXT
LOOKUP = 0.001  # seconds that an answer takes, as if it came from a database
CAUSES = {"kernel": "refused by admit, or no room", "unfair": "too many without proof", "expired": "waited too long"}


def cookies_of(question):
    """Returns the client's cookie of a question, and the server's, which proves its address; empty if there is none."""
    for length in (24, 8):
        if question[-length - 4 : -length] == struct.pack("!2H", 10, length):
            return question[-length:][:8], question[-length:][8:]
    return b"", b""


def truncated(answer):
    """Returns an answer without its long record, and with the bit TC. The cookie stays."""
    head, _, cookie = answer.partition(RECORD)
    return head[:2] + struct.pack("!5H", 0x8600, 1, 0, 0, bool(cookie)) + head[12:] + cookie


class Oracle(act.Actor):
    """Answers questions. Its state, and so the proofs that its clients have, survives a crash."""

    async def init(self, options, capture):
        self.load_state([secrets.token_bytes(16), 0, 0])
        self.server = await meta.listen_udp(
            self,
            admit=QUESTION,  # the kernel refuses the noise
            fair=meta.Fair(by=self.source, ahead=4),  # a queue for each client with a proof, and one for all others
            max_age=1.0,  # nobody waits longer for an answer
            amplification=meta.Amplification(exempt=(), shorten=truncated),
            reply_guard=meta.ReplyGuard(rate=200, burst=200),
            tap=meta.Tap(capture, sample=0.01, most=1 << 20, snap=128),
            linger=10.0,  # a crash does not close the socket
            receive_buffer=1 << 20,
            **options,
        )

    def proven(self, message):
        cookie, proof = cookies_of(message.data)
        return bool(proof) and self.cookies.check(proof, message.addr, cookie)

    def source(self, message):
        return message.addr[0] if self.proven(message) else "unproven"

    async def handle_message(self, sender, message):
        if message == "crash":
            raise RuntimeError("on request")
        end = message.data.find(b"\0", 12) + 5  # of the name, its type and class
        if end < 17:
            return
        await asyncio.sleep(LOOKUP)
        cookie, _ = cookies_of(message.data)
        extra = attack.with_cookie(cookie + self.cookies.make(message.addr, cookie)) if cookie else b""
        header = message.data[:2] + struct.pack("!5H", 0x8400, 1, 1, 0, bool(extra))
        answer = header + message.data[12:end] + RECORD + extra
        if self.proven(message):
            message.validated()
            self.asked, self.answered = self.asked + len(message.data), self.answered + len(answer)
        self.reply(message, answer)

    def handle_call(self, sender, ref, request):
        return self.server.statistics(), self.asked, self.answered

    def dump_state(self):
        return [self.secret, self.asked, self.answered]

    def load_state(self, state):
        self.secret, self.asked, self.answered = state  # the last two: bytes from and to proven addresses
        self.cookies = meta.Cookies(self.secret)


class Fortress(act.Supervisor):
    def init(self, *args):
        options = gen.ProcessOptions(preserve_mailbox=True, state=gen.StateOptions(every=1.0, at_crash=True))
        return act.SupervisorSpec(children=(act.ChildSpec(name="oracle", behavior=Oracle, args=args, options=options),))


def at(part, waits):
    return sorted(wait or 0 for wait in waits)[int(part * len(waits))] if waits else 0


async def page(node, before, waits):
    """Returns the figures as text. before, waits: the client's, before the flood and in it; None: no answer came."""
    counted, asked, answered = await node.call("oracle", "figures")
    ledger = counted.ledger
    ratio = (counted.bytes_out - answered) / max(1, counted.bytes_in - asked)
    return "\n".join(
        [
            f"received          {ledger.received:16,}",
            f"  delivered       {ledger.delivered:16,}",
            f"  waiting         {ledger.waiting:16,}",
            *(f"  dropped: {cause:9}{n:14,}  {CAUSES.get(cause, '')}" for cause, n in ledger.dropped.items() if n),
            f"sent              {counted.packets_out:16,}",
            f"not sent          {counted.reply_limited + counted.amplification_limited:16,}",
            f"sent to unproven addresses for each byte that came from there: {ratio:.2f} bytes",
            f"client before the flood: asked {len(before)}, waited {at(0.5, before):.1f} ms (median)",
            f"client in the flood: asked {len(waits)}, lost {waits.count(None)}, "
            f"waited {at(0.5, waits):.1f} ms (median), {at(0.99, waits):.1f} ms (99 %)",
            f"crashes of the server, after which it has loaded its state: {node.process_info('oracle').kept.loads}",
        ]
    )


async def read(process, waits):
    async for line in process.stdout:
        wait, length = map(float, line.split())
        waits.append(wait if length else None)


async def show(node, attacker, port, seconds, capture):
    await node.spawn(Fortress, attacker.options | {"port": int(port)}, str(capture), name="fortress")
    with contextlib.suppress(gen.NotAllowed):  # homing[http] is not installed
        print("web page:", observe.start_http(node, port=0, kernel_drop_rate=None).url)
    print("attack:", attacker.told, flush=True)
    waits, start = [], asyncio.create_subprocess_exec
    programs = [await start(*attacker.client(port, seconds + 2), stdout=subprocess.PIPE)]
    reading = asyncio.create_task(read(programs[0], waits))
    try:
        while len(waits) < 40 and not reading.done():
            await asyncio.sleep(0.01)
        before, waits[:] = waits[1:], []  # the first has brought the cookie
        for command in attacker.floods(port, seconds):
            programs.append(await start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for second in range(seconds):
            await asyncio.sleep(1)
            if second == seconds // 2:
                node.send("oracle", "crash")
            if sys.stdout.isatty():
                print("\x1b[H\x1b[J" + await page(node, before, waits), flush=True)
        await reading
        print(await page(node, before, waits))
    finally:
        for program in programs:
            with contextlib.suppress(ProcessLookupError):
                program.terminate()
            await program.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="length of the attack (10)")
    parser.add_argument("--port", default="5300", help="of the server (5300)")
    parser.add_argument("--local", action="store_true", help="no namespaces and no hping3")
    given = parser.parse_args()
    if not given.local and attack.missing():
        sys.exit(f"missing: {', '.join(attack.missing())}; without, run it with --local")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        logging.basicConfig(filename=directory / "log")  # the traceback of the crash
        attacker = attack.Local() if given.local else attack.Namespaces(stack, directory, given.seconds)
        capture = directory / "x.pcapng"
        try:
            homing.run(show, attacker, given.port, given.seconds, capture)
        except meta.errors.BindFailed as error:
            sys.exit(str(error))
        recorded = Counter(one.comment.partition(",")[0] for one in Capture(capture))
        print("recorded, one of a hundred:", ", ".join(f"{count} {comment}" for comment, count in recorded.items()))


if __name__ == "__main__":
    main()
