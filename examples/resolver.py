"""A stub resolver: asks a DNS server for the IPv4 addresses of names.

python examples/resolver.py 9.9.9.9 53 example.com example.org

To forge an answer, an attacker has to guess the id, the port and the question (RFC 5452).
"""

import asyncio
import secrets
import struct
import sys

import homing
from homing import act, gen, meta

A, IN, RECURSION_DESIRED, RESPONSE, TRUNCATED = 1, 1, 0x0100, 0x8000, 0x0200


def query(name):
    """Returns a question for the addresses of `name` (RFC 1035), with an id that nobody can predict."""
    labels = b"".join(bytes([len(label)]) + label for label in name.encode("idna").split(b".")) + b"\0"
    header = struct.pack("!6H", secrets.randbits(16), RECURSION_DESIRED, 1, 0, 0, 0)
    return header + labels + struct.pack("!2H", A, IN)


def skip_name(data, place):
    while data[place] and data[place] < 0xC0:
        place += data[place] + 1
    return place + (2 if data[place] else 1)


def key(data):
    """Returns the id and the question, which an answer repeats."""
    return bytes(data[:2] + data[4:6] + data[12 : skip_name(data, 12) + 4])


def reply_key(data):
    if not data[2] & RESPONSE >> 8:
        raise ValueError("a question")
    return key(data)


def addresses(data):
    """Returns the addresses in an answer. Raises `ValueError` if `data` is not a valid answer."""
    try:
        _, flags, questions, answers, _, _ = struct.unpack_from("!6H", data)
        if flags & TRUNCATED:
            raise ValueError("too long for UDP; ask by TCP")
        if flags & 15:
            return []
        place, found = 12, []
        for _ in range(questions):
            place = skip_name(data, place) + 4
        for _ in range(answers):
            place = skip_name(data, place)
            kind, _, _, length = struct.unpack_from("!HHIH", data, place)
            place += 10 + length
            if kind == A and length == 4 and place <= len(data):
                found.append(".".join(map(str, data[place - 4 : place])))
        return found
    except (struct.error, IndexError) as error:
        raise ValueError(f"malformed: {error}") from None


class Resolver(act.Actor):
    """Owns the client, which any process may send requests to."""

    async def init(self, host, port):
        self.client = await meta.connect_udp(
            self, host=host, port=port, key=key, reply_key=reply_key, stray="drop", ports=16, guess_alarm=100
        )

    def handle_call(self, sender, ref, request):
        return self.client.alias


async def ask(node, client, name):
    while True:
        try:
            return await node.call(client, query(name))
        except gen.RequestKeyTaken:
            pass  # the same question with the same id is open, at each port: draw another id


async def resolve(node, client, name):
    try:
        reply = await ask(node, client, name)
        return " ".join(addresses(reply.data)) or "no address"
    except (gen.RequestTimeout, gen.PeerUnreachable, gen.SpoofingSuspected, ValueError) as error:
        return f"failed: {error}"


async def main(node, host, port, *names):
    client = await node.call(await node.spawn(Resolver, host, int(port)), "client")
    found = await asyncio.gather(*[resolve(node, client, name) for name in names])
    for name, outcome in zip(names, found, strict=True):
        print(name, outcome)
    facts = await node.inspect_meta(client)
    print("asked", facts["requests"], "answered", facts["answered"], "sent again", facts["retransmits"])
    if facts["guesses"]:
        print("wrong guesses", facts["guesses"])


if __name__ == "__main__":
    homing.run(main, *sys.argv[1:])
