"""A TFTP server (RFC 1350, with the options of RFC 2347 to 2349): a process and a socket for each transfer.
homing demo tftp, or: python examples/servers/tftp.py [PORT]; curl tftp://127.0.0.1:6969/name.txt
"""

import os
import sys
import tempfile
from asyncio import to_thread
from collections import Counter
from contextlib import suppress
from errno import EACCES, EFBIG, ENOENT
from pathlib import Path
from typing import IO, Any

import homing
from homing import act, gen, meta

PORT = 6969
TRY = ("tftp -m binary 127.0.0.1 {port} -c put /etc/hostname name.txt", "curl tftp://127.0.0.1:{port}/name.txt")
READ, WRITE, DATA, ACK, ERROR, OACK = (number.to_bytes(2) for number in range(1, 7))
CODES = {ENOENT: 1, EACCES: 2, EFBIG: 3}  # of ERROR; others: 0, with a text
LARGEST, MOST_STORED, MOST_TRANSFERS, MOST_EACH = 1 << 24, 1 << 28, 64, 8  # bytes of a file, of all; of a source
OPTIONS = {"blksize": (8, 1428), "timeout": (1, 4), "tsize": (0, LARGEST)}  # bytes in a packet of Ethernet; seconds


def parse_untrusted(data: bytes) -> tuple[bool, str, dict[str, int]]:
    """Returns True to read, the name, and the options to accept. May raise only `ValueError`, whatever the bytes."""
    name, mode, *rest = data[2:].decode("ascii").split("\0")
    if data[:2] not in (READ, WRITE) or len(data) > 512 or mode.lower() != "octet":
        raise ValueError("not a request in the mode octet (binary)")
    found = {key.lower(): int(value) for key, value in zip(rest[::2], rest[1::2], strict=False) if value.isdecimal()}
    found["blksize"] = min(found.get("blksize", 0), OPTIONS["blksize"][1])
    return data[:2] == READ, name, {key: found[key] for key, (a, b) in OPTIONS.items() if a <= found.get(key, -1) <= b}


def open_within(root: Path, reads: bool, name: str) -> IO[bytes]:
    """Opens a file of the directory, or a hidden one to write to. Raises `OSError`. It may block."""
    path = Path(os.path.realpath(root / name.lstrip("/")))
    stored = 0 if reads else sum(max(file.lstat().st_size, 4096) for file in root.rglob("*"))
    here = path.is_relative_to(root) and path.parent.is_dir() and path.name[:1] != "." and stored < MOST_STORED
    if not here or reads != path.is_file():  # devices may block, or never end
        raise OSError(ENOENT, "no such file") if reads else OSError(EACCES, "not a new file, or the directory is full")
    return path.open("rb") if reads else tempfile.NamedTemporaryFile(dir=root, prefix=".", buffering=0)


class Transfer(act.Actor):  # its UDP client sends a packet again if no answer comes, and drops duplicates
    async def init(self, root: Path, peer: Any, reads: bool, name: str, options: dict[str, int]) -> None:
        pause = options.get("timeout", 1)
        self.client = await meta.connect_udp(self, host=peer[0], port=peer[1], timeout=pause, retries=3, stray="drop")
        self.send(self.pid, (root, reads, name, options))

    async def handle_message(self, sender: Any, message: tuple[Path, bool, str, dict[str, int]]) -> None:
        try:
            with await to_thread(open_within, *message[:3]) as file:
                last = await self.transfer(file, *message)
        except OSError as error:  # also no answer of the client
            text = (error.strerror or "no answer").encode("ascii", "replace")
            last = ERROR + CODES.get(error.errno or 0, 0).to_bytes(2) + text + b"\0"
        with suppress(OSError):  # the last packet may get lost: again, until the client has closed its port
            await self.ask(last, ERROR) if last else None
        raise gen.TerminateShutdown if last[:2] == ERROR else gen.TerminateNormal

    async def transfer(self, file: IO[bytes], root: Path, reads: bool, name: str, options: dict[str, int]) -> bytes:
        size, packet, number, data = options.get("blksize", 512), ACK + bytes(2), 0, bytes(1428)
        if options:
            options |= {"tsize": os.fstat(file.fileno()).st_size} if reads and "tsize" in options else {}
            packet = OACK + "".join(f"{key}\0{value}\0" for key, value in options.items()).encode()
            await self.ask(packet, ACK + bytes(2)) if reads else None
        while len(data) >= size:  # a shorter block is the last
            block = (number := number + 1 & 0xFFFF).to_bytes(2)
            if reads:
                data, packet = await to_thread(file.read, size), b""
                await self.ask(DATA + block + data, ACK + block)
            else:
                data, packet = await self.ask(packet, DATA + block), ACK + block
                if await to_thread(file.write, data) > size or file.tell() > LARGEST:
                    raise OSError(EFBIG, "too long")
        await to_thread(os.link, file.name, root / name.lstrip("/")) if not reads else None  # it is whole
        return packet

    async def ask(self, packet: bytes, answer: bytes) -> bytes:
        request = meta.UDPRequest(packet, match=lambda _, reply: reply.data.startswith((answer, ERROR)))
        reply: bytes = (await self.call(self.client.alias, request, timeout=120.0)).data
        if reply.startswith(ERROR):
            raise ConnectionAbortedError if answer == ERROR else gen.TerminateShutdown  # an ERROR has no answer
        return reply[4:]


class Listener(act.Actor):
    async def init(self, port: int, host: str) -> None:
        self.counts, self.sources = Counter[str](), dict[gen.PID, str]()  # of the transfers that run
        self.root = await to_thread(Path(tempfile.mkdtemp(prefix="tftp-")).resolve)
        server = await meta.listen_udp(self, host=host, port=port, reply_guard=meta.ReplyGuard())
        print("listening on port", server.local_address[1], flush=True)

    async def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, gen.MessageDownPID) and self.sources.pop(message.pid):
            self.counts["finished"] += isinstance(message.reason, gen.TerminateNormal)
        elif len(self.sources) >= MOST_TRANSFERS or [*self.sources.values()].count(message.addr[0]) >= MOST_EACH:
            self.counts["refused"] += 1
        else:
            try:
                self.monitor(pid := await self.spawn(Transfer, self.root, message.addr, *parse_untrusted(message.data)))
                self.sources[pid], self.counts["begun"] = message.addr[0], self.counts["begun"] + 1
            except (ValueError, gen.HomingError) as error:  # malformed, or of an address that cannot be answered
                self.counts["malformed"] += 1
                self.reply(message, ERROR + b"\0\4" + str(error).encode("ascii", "replace")[:100] + b"\0")

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, int]:
        return dict(self.counts)


class Server(act.Supervisor):
    def init(self, port: int, host: str = "127.0.0.1") -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="tftp", behavior=Listener, args=(port, host)),))


if __name__ == "__main__":
    homing.run(Server, int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
