"""A forwarding DNS resolver with a small cache: asks another server what it does not know.

python examples/proxy.py 5353 9.9.9.9 53
dig -p 5353 @127.0.0.1 example.com

A question whose answer is in the cache does not wait behind those that wait for the other server.
"""

import asyncio
import struct
import sys
from collections import OrderedDict

import homing
from homing import act, gen, meta

RESPONSE, TRUNCATED, RECURSION_DESIRED, FAILED = 0x8000, 0x0200, 0x0100, 0x8182
MOST_ENTRIES = 10_000  # one of some hundred bytes each; the names in questions are anybody's choice
MOST_SECONDS = 3600  # that an answer is kept, whatever it says
HEADER = struct.Struct("!6H")  # id, flags, and the numbers of questions, answers, authorities, additional records
RECORD = struct.Struct("!HHIH")  # type, class, seconds to live, length of the data


def question_of(data):
    """Returns the question, in lower case, of a query or an answer. Raises `ValueError`."""
    if len(data) < HEADER.size or HEADER.unpack_from(data)[2] != 1:
        raise ValueError("not one question")
    end = HEADER.size
    while end < len(data) and 0 < data[end] < 64:
        end += data[end] + 1
    if end + 5 > len(data) or data[end]:
        raise ValueError("malformed")
    return data[HEADER.size : end].lower() + data[end : end + 5]


def answers(query, reply):
    """Returns True if `reply` is an answer to the question of `query` (RFC 5452, section 9.1)."""
    try:
        return is_response(reply.data) and question_of(reply.data) == question_of(query)
    except ValueError:
        return False


def is_response(data):
    return len(data) >= HEADER.size and data[2] & RESPONSE >> 8 != 0


def lifetimes(answer):
    """Returns where the lifetimes of an answer's records are, in bytes from its begin. Raises `IndexError` or
    `struct.error` if it is malformed."""
    place, found = HEADER.size + len(question_of(answer)), []
    for _ in range(sum(HEADER.unpack_from(answer)[3:])):
        while 0 < answer[place] < 64:
            place += answer[place] + 1
        place += 2 if answer[place] else 1
        found.append(place + 4)
        place += RECORD.size + RECORD.unpack_from(answer, place)[3]
    return found


class Cache:
    """The last answers, by their questions. `now` is in seconds, from any zero."""

    def __init__(self):
        self.entries = OrderedDict()

    def get(self, question, now):
        """Returns the answer, its lifetimes shortened by its age; None if there is none."""
        answer, places, since, until = self.entries.get(question, (None, (), 0, 0))
        if answer is None or now >= until:
            return None
        aged = bytearray(answer)
        for place in places:
            (seconds,) = struct.unpack_from("!I", answer, place)
            struct.pack_into("!I", aged, place, max(0, seconds - int(now - since)))
        return bytes(aged)

    def put(self, answer, now):
        _, flags, _, found, _, _ = HEADER.unpack_from(answer)
        try:
            places = lifetimes(answer)
            least = min(struct.unpack_from("!I", answer, place)[0] for place in places)
        except (IndexError, ValueError, struct.error):
            return  # malformed, or without a record that says how long it lives
        if found and not flags & (TRUNCATED | 15):
            self.entries[question_of(answer)] = answer, places, now, now + min(least, MOST_SECONDS)
            if len(self.entries) > MOST_ENTRIES:
                self.entries.popitem(last=False)


class Proxy(act.Actor):
    async def init(self, port, host, server_port):
        self.cache = Cache()
        guard = meta.ReplyGuard(rate=1000, burst=1000, amplification=20)
        front = await meta.listen_udp(self, host="127.0.0.1", port=port, reply_guard=guard)
        server = await meta.connect_udp(
            self,
            host=host,
            port=server_port,
            id=meta.RequestId(at=0, size=2),
            coalesce=bytes,
            match=answers,
            stray="drop",
            ports=16,
            guess_alarm=100,
        )
        self.server = server.alias
        print("listening on port", front.local_address[1], flush=True)

    def handle_message(self, sender, message):
        """A client asks."""
        try:
            question = question_of(message.data)
        except ValueError:
            return
        if is_response(message.data):
            return
        answer = self.cache.get(question, asyncio.get_running_loop().time())
        if answer is not None:
            self.answer(message, answer)
            return
        query = HEADER.pack(0, RECURSION_DESIRED, 1, 0, 0, 0) + question
        try:
            self.send_request(self.server, query, label=message)
        except gen.TooManyRequests as error:
            self.handle_response(message, error)

    def handle_response(self, message, answer):
        """The server has answered the question of `message`, or not."""
        if isinstance(answer, Exception):
            question = question_of(message.data)
            self.answer(message, HEADER.pack(0, FAILED, 1, 0, 0, 0) + question)
        else:
            self.cache.put(answer.data, asyncio.get_running_loop().time())
            self.answer(message, answer.data)

    def answer(self, message, answer):
        """Sends `answer` with the id and the question as the client has written them."""
        end = HEADER.size + len(question_of(answer))
        own = message.data[HEADER.size : end]
        self.reply(message, message.data[:2] + answer[2 : HEADER.size] + own + answer[end:])


if __name__ == "__main__":
    port, host, server_port = sys.argv[1:] if len(sys.argv) > 3 else ("5353", "9.9.9.9", "53")
    homing.run(Proxy, int(port), host, int(server_port))
