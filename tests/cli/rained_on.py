"""What a test of SIGUSR2 runs: it says when it is imported, and ends in order by itself."""

from homing import act, gen

print("imported", flush=True)


class Done(act.Actor):
    def init(self) -> None:
        self.send_after(self.pid, gen.TerminateNormal(), 0.2)

    def handle_message(self, sender: gen.PID, message: Exception) -> None:
        raise message
