"""Runs the service of service.py on this machine: an edge and two workers, each an OS process, joined to a cluster.

python -m examples.cluster 5300                in one terminal (make cluster)
python -m examples.cluster.ask 5300            in another: asks all the time, and says who answers
dig @127.0.0.1 -p 5300 +short who.example TXT

A node that ends is started again a second later: kill any of them. Ctrl-C ends all.
"""

import asyncio
import contextlib
import signal
import socket
import sys

AGAIN_SECONDS = 1.0
STOP_SECONDS = 10.0


def free_ports(count):
    """Returns ports on which the nodes find each other."""
    with contextlib.ExitStack() as opened:
        probes = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def command(name, behavior, own, others, port):
    """Returns the command that starts one node. On machines of their own, only the addresses differ."""
    arguments = ["run", f"examples.cluster.service:{behavior}", "--name", f"{name}@localhost", "--cluster", "example"]
    arguments += ["--listen", f"tcp/127.0.0.1:{own}"]
    for other in others:
        arguments += ["--join", f"tcp/127.0.0.1:{other}"]
    return [sys.executable, "-m", "homing", *arguments, "--env", f"port={port}", "--log-level", "warning"]


async def show(name, stream):
    """Prints what a node says, with its name before it, but not the indented lines of banners and tracebacks."""
    while line := await stream.readline():
        text = line.decode(errors="replace").rstrip()
        if text and not text.startswith(" "):
            print(f"{name}: {text}", flush=True)


async def end(process):
    """Stops a node in order, and at once if that takes too long."""
    with contextlib.suppress(TimeoutError, ProcessLookupError):
        process.terminate()
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    if process.returncode is None:
        process.kill()


async def keep(name, arguments):
    """Runs a node, and starts it again whenever it ends."""
    pipe = asyncio.subprocess.PIPE
    while True:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdout=pipe, stderr=asyncio.subprocess.STDOUT, start_new_session=True
        )
        try:
            print(f"{name}: started, process {process.pid}", flush=True)
            await show(name, process.stdout)
            code = await process.wait()
        except asyncio.CancelledError:
            await end(process)
            raise
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        print(f"{name}: ended by {why}; it is started again in {AGAIN_SECONDS:.0f} s", flush=True)
        await asyncio.sleep(AGAIN_SECONDS)


async def main(port="5300"):
    names = {"edge": "Edge", "worker-1": "Worker", "worker-2": "Worker"}
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    nodes = []
    for name, behavior in names.items():
        others = [ports[other] for other in names if other != name]
        nodes.append(asyncio.ensure_future(keep(name, command(name, behavior, ports[name], others, port))))
    loop, everything = asyncio.get_running_loop(), asyncio.gather(*nodes)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, everything.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await everything
    await asyncio.wait(nodes)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
