"""A DNS service on three nodes: an edge with the UDP socket, and workers that answer through it.

Each worker joins the group "dns". The edge gives each query to the next member. `make cluster` runs it on one machine,
deploy/cluster on several.
"""

import struct

from homing import act, gen, meta

IS_ANSWER, OPCODE, AUTHORITATIVE, RECURSION_DESIRED = 0x8000, 0x7800, 0x0400, 0x0100
NO_ERROR, SERVER_FAILED = 0, 2
TXT, IN = 16, 1


def end_of_name(data, place):
    while length := data[place]:
        if length > 63:
            raise ValueError("a compressed name in a query")
        place += 1 + length
    return place + 1


def question_untrusted(data):
    """Returns the id, the flags, the question and its type. Raises `ValueError` unless `data` is a DNS query."""
    try:
        number, flags, count = struct.unpack_from("!3H", data)
        end = end_of_name(data, 12) + 4
        kind, space = struct.unpack_from("!2H", data, end - 4)
    except (struct.error, IndexError):
        raise ValueError("no DNS message") from None
    if flags & (IS_ANSWER | OPCODE) or count != 1 or space != IN:
        raise ValueError("no DNS query")
    return number, flags, bytes(data[12:end]), kind


def reply_to(data, code, text=""):
    """Returns the answer to a query (RFC 1035): `text` as a TXT record, if these were asked for."""
    number, flags, question, kind = question_untrusted(data)
    line = text.encode()[:255]
    record = struct.pack("!3HIHB", 0xC00C, TXT, IN, 0, len(line) + 1, len(line)) + line if text and kind == TXT else b""
    header = struct.pack(
        "!6H", number, IS_ANSWER | AUTHORITATIVE | flags & RECURSION_DESIRED | code, 1, bool(record), 0, 0
    )
    return header + question + record


class Worker(act.Actor):
    """Says who it is, and how many queries it has answered since it was started."""

    def init(self):
        self.answered = 0
        self.join_group("dns")

    def handle_message(self, sender, message):
        try:
            reply = reply_to(message.data, NO_ERROR, f"{self.node} answers, number {self.answered + 1}")
        except ValueError:
            return  # an answer, or no DNS: it is not answered
        self.answered += 1
        self.reply(message, reply)


class Edge(act.Actor):
    """Has the socket."""

    async def init(self):
        self.workers = list(self.monitor_group("dns"))
        server = await meta.listen_udp(
            self,
            host=self.env.get("host", "127.0.0.1"),
            port=int(self.env["port"]),
            reply_guard=meta.ReplyGuard(rate=100, burst=200),
        )
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        match message:
            case meta.MessageUDP():
                self.pass_on(message)
            case gen.MessageGroupJoined(members=members):
                self.workers += members
                self.tell("came", members)
            case gen.MessageGroupLeft(members=members):
                self.workers = [worker for worker in self.workers if worker not in members]
                self.tell("is gone", members)

    def pass_on(self, message):
        """Gives a query to the next worker that can be reached. Without one, the edge itself says that it failed."""
        for _ in self.workers:
            worker = self.workers.pop(0)
            self.workers.append(worker)
            try:
                self.send(worker, message)
            except gen.DeliveryError:
                continue  # its node went down, or cannot take more
            return
        try:
            self.reply(message, reply_to(message.data, SERVER_FAILED))
        except ValueError:
            pass

    def tell(self, what, members):
        for worker in members:
            print(f"{worker.node} {what}: {len(self.workers)} to choose from", flush=True)
