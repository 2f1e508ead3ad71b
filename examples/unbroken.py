"""A supervised UDP service that is killed while it answers. Each question still gets exactly one reply.

python examples/unbroken.py

Waiting questions are kept: in the kernel and at the socket (`linger`), in the mailbox (`preserve_mailbox`). A question
that is being handled at a kill is answered by the dead-letter process.
"""

import asyncio
import sys

import homing
from homing import act, gen, meta

QUESTIONS, KILLS = 1000, 20


class Answerer(act.Actor):
    async def init(self, port):
        guard = meta.ReplyGuard(burst=QUESTIONS)  # all questions come from one address
        await meta.listen_udp(self, host="127.0.0.1", port=port, linger=10.0, reply_guard=guard)

    async def handle_message(self, sender, message):
        await asyncio.sleep(0.001)  # the process is killed here
        self.reply(message, b"answer " + message.data)


class Undertaker(act.Actor):
    def handle_message(self, sender, letter):
        try:
            self.reply(letter.message, b"sorry " + letter.message.data)
        except gen.MetaTerminated:
            pass  # the program is being stopped: the socket is closed


class Service(act.Supervisor):
    def init(self, port):
        options = gen.ProcessOptions(preserve_mailbox=True, dead_letters="undertaker")
        undertaker = act.ChildSpec(name="undertaker", behavior=Undertaker)
        answerer = act.ChildSpec(name="answerer", behavior=Answerer, args=(port,), options=options)
        return act.SupervisorSpec(children=(undertaker, answerer), intensity=KILLS)


class Client(act.Actor):
    """Keeps a hundred questions open, and collects the replies."""

    async def init(self, port, done):
        self.answers, self.sorry, self.done = [], [], done
        self.server, self.questions = ("127.0.0.1", port), iter(range(QUESTIONS))
        self.udp = (await meta.listen_udp(self, host="127.0.0.1")).alias
        for _ in range(100):
            self.ask()

    def ask(self):
        number = next(self.questions, None)
        if number is not None:
            self.send(self.udp, meta.MessageUDP(addr=self.server, data=b"%d" % number))

    def handle_message(self, sender, message):
        kind, _, number = message.data.partition(b" ")
        if message.addr != self.server or not (number.isdigit() and len(number) < 9):
            return  # not from the server
        (self.answers if kind == b"answer" else self.sorry).append(int(number))
        self.ask()
        if len(self.answers) + len(self.sorry) == QUESTIONS:
            self.done.set_result((self.answers, self.sorry))


async def main(node, port):
    await node.spawn(Service, port)
    alias = node.process_info("answerer").metas[0]
    done = asyncio.get_running_loop().create_future()
    await node.spawn(Client, port, done)
    for _ in range(KILLS):
        await asyncio.sleep(0.05)
        node.kill(node.process_info("answerer").pid)
    answers, sorry = await done
    facts = await node.inspect_meta(alias)
    print(f"killed {KILLS} times, the socket was adopted {facts['adoptions']} times")
    print(f"{QUESTIONS} questions: {len(answers)} answered in order: {answers == sorted(answers)}, {len(sorry)} sorry")
    print(f"none twice: {len({*answers, *sorry}) == QUESTIONS}, dropped by the kernel: {facts['kernel_drops']}")


if __name__ == "__main__":
    homing.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 2345)
