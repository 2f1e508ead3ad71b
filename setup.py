"""Builds the extensions, all of them or none, as one shared object: src/homing/finder.py finds them in it.

Where they cannot be built (no C compiler, no Python headers, not Linux, HOMING_EXTENSIONS=0) the install goes on: the
same package then runs interpreted, on the portable datagram backend. HOMING_SANITIZE=1 builds them with the address
and undefined-behavior sanitizers.

A wheel has no symbols and no paths of the machine that built it; two of one source are the same byte by byte, if they
are built by the same tools with the same SOURCE_DATE_EPOCH.
"""

import os
import re
import sys
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import BaseError, CCompilerError

EXTENSIONS = {
    "homing.datagram.message": "src/homing/datagram/message.py",
    "homing.datagram.policy.networks": "src/homing/datagram/policy/networks.py",
    "homing.datagram.policy.limiter": "src/homing/datagram/policy/limiter.py",
    "homing.datagram.policy.guard": "src/homing/datagram/policy/guard.py",
    "homing.datagram.policy.address_table": "src/homing/datagram/policy/address_table.py",
    "homing.datagram.policy.budget": "src/homing/datagram/policy/budget.py",
    "homing.datagram.policy.reply_limit": "src/homing/datagram/policy/reply_limit.py",
    "homing.datagram.policy.admission": "src/homing/datagram/policy/admission.py",
    "homing.datagram.backend.peers": "src/homing/datagram/backend/peers.pyx",
    "homing.datagram.backend.arena": "src/homing/datagram/backend/arena.pyx",
    "homing.datagram.backend.outbox": "src/homing/datagram/backend/outbox.pyx",
    "homing.datagram.backend.verdict": "src/homing/datagram/backend/verdict.pyx",
    "homing.datagram.backend.admitted": "src/homing/datagram/backend/admitted.pyx",
    "homing.datagram.backend.base": "src/homing/datagram/backend/base.py",
    "homing.datagram.backend.native_sender": "src/homing/datagram/backend/native_sender.pyx",
    "homing.datagram.backend.native": "src/homing/datagram/backend/native.pyx",
    "homing.datagram.send_queue": "src/homing/datagram/send_queue.py",
    "homing.datagram.endpoint": "src/homing/datagram/endpoint.py",
    "homing.meta.udp_client.request": "src/homing/meta/udp_client/request.py",
    "homing.meta.udp_client.outcomes": "src/homing/meta/udp_client/outcomes.py",
    "homing.meta.udp_client.replies": "src/homing/meta/udp_client/replies.py",
    "homing.meta.udp_client.requests": "src/homing/meta/udp_client/requests.py",
    "homing.meta.udp_client.open_requests": "src/homing/meta/udp_client/open_requests.py",
    "homing.meta.udp.incoming": "src/homing/meta/udp/incoming.py",
    "homing.meta.udp.reader": "src/homing/meta/udp/reader.py",
    "homing.meta.udp.sender": "src/homing/meta/udp/sender.py",
    "homing.meta.udp.outgoing": "src/homing/meta/udp/outgoing.py",
    "homing.meta.udp_client.ended_requests": "src/homing/meta/udp_client/ended_requests.py",
    "homing.meta.tcp.messages": "src/homing/meta/tcp/messages.py",
    "homing.meta.tcp.counters": "src/homing/meta/tcp/counters.py",
    "homing.meta.tcp.decoding": "src/homing/meta/tcp/decoding.py",
    "homing.meta.tcp.times": "src/homing/meta/tcp/times.py",
    "homing.meta.tcp.connection": "src/homing/meta/tcp/connection.py",
    "homing.meta.tcp.inflow": "src/homing/meta/tcp/inflow.py",
    "homing.meta.tcp.outbound": "src/homing/meta/tcp/outbound.py",
    "homing.meta.tcp.hub": "src/homing/meta/tcp/hub.py",
    "homing.cluster.udp.columns": "src/homing/cluster/udp/columns.py",
    "homing.cluster.udp.outflow": "src/homing/cluster/udp/outflow.py",
    "homing.cluster.udp.forwarding": "src/homing/cluster/udp/forwarding.py",
    "homing.node.scheduling.owned_mailbox": "src/homing/node/scheduling/owned_mailbox.py",
    "homing.node.scheduling.forwarder": "src/homing/node/scheduling/forwarder.py",
    "homing.node.scheduling.source": "src/homing/node/scheduling/source.py",
    "homing.node.scheduling.activity": "src/homing/node/scheduling/activity.py",
    "homing.node.scheduling.callback_tasks": "src/homing/node/scheduling/callback_tasks.py",
    "homing.node.messaging.calls": "src/homing/node/messaging/calls.py",
    "homing.node.messaging.distribution": "src/homing/node/messaging/distribution.py",
    "homing.node.messaging.delivery": "src/homing/node/messaging/delivery.py",
    "homing.node.mailbox.envelope": "src/homing/node/mailbox/envelope.py",
    "homing.node.messaging.flow": "src/homing/node/messaging/flow.py",
    "homing.node.mailbox.lane": "src/homing/node/mailbox/lane.py",
    "homing.node.mailbox.mailbox": "src/homing/node/mailbox/mailbox.py",
    "homing.node.processes.census": "src/homing/node/processes/census.py",
    "homing.node.processes.process": "src/homing/node/processes/process.py",
    "homing.node.processes.shared_mailbox": "src/homing/node/processes/shared_mailbox.py",
    "homing.node.processes.concurrent": "src/homing/node/processes/concurrent.py",
    "homing.node.messaging.pace": "src/homing/node/messaging/pace.py",
    "homing.node.messaging.registry": "src/homing/node/messaging/registry.py",
    "homing.node.scheduling.slices": "src/homing/node/scheduling/slices.py",
    "homing.node.scheduling.scheduler": "src/homing/node/scheduling/scheduler.py",
    "homing.node.messaging.sending": "src/homing/node/messaging/sending.py",
    "homing.node.loop.registration": "src/homing/node/loop/registration.pyx",
    "homing.node.loop.alarm": "src/homing/node/loop/alarm.pyx",
    "homing.node.loop.selector": "src/homing/node/loop/selector.pyx",
    "homing.node.messaging.sent_request": "src/homing/node/messaging/sent_request.py",
    "homing.node.messaging.waiter": "src/homing/node/messaging/waiter.py",
    "homing.cluster.link_outbox": "src/homing/cluster/link_outbox.py",
    "homing.cluster.remote_target": "src/homing/cluster/remote_target.py",
    "homing.cluster.inbound": "src/homing/cluster/inbound.py",
    "homing.cluster.fitting": "src/homing/cluster/fitting.py",
    "homing.cluster.calling": "src/homing/cluster/calling.py",
    "homing.cluster.frames": "src/homing/cluster/frames.py",
    "homing.cluster.link": "src/homing/cluster/link.py",
    "homing.cluster.zenoh_engine.inbox": "src/homing/cluster/zenoh_engine/inbox.py",
    "homing.cluster.zenoh_engine.members": "src/homing/cluster/zenoh_engine/members.py",
}
"""The modules that are compiled, and their sources. The last parts of the names must differ."""

OBJECT = "homing._compiled"
"""The shared object that holds them all."""

NAMES = """#include <Python.h>

static int execute(PyObject *module) { return PyModule_AddStringConstant(module, "MODULES", "%s"); }
static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_compiled", NULL, 0, NULL, slots, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__compiled(void) { return PyModuleDef_Init(&definition); }
"""
"""The module of the shared object itself. It names those that it holds, so that nothing else has to."""

GENERATED = "build/cython"
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "nonecheck": True,  # an object whose `__init__` never ran raises errors, as an interpreted one does; it costs 1 %
    "binding": False,  # else a method taken from its class would take whatever `self` is for an object of that class
    "embedsignature": True,  # what `help` and `inspect.signature` show, which know it of no function that is not bound
    "embedsignature.format": "clinic",
    "auto_pickle": False,  # nobody restores an object of the runtime from bytes
}

LOST = """
homing: the extensions were not built: {reason}
homing: the install goes on without them. Everything works, on the portable datagram backend: a datagram costs three
homing: times as much, and a message between actors half as much again. To build them, install a C compiler and the
homing: Python headers (Debian, Ubuntu: apt install gcc python3-dev) and install homing again.
"""


HARDENED = ["-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
LINKED_HARDENED = ["-Wl,-z,relro", "-Wl,-z,now"]
"""Bytes from strangers go through these extensions: a mistake there is to end the program, not to be of use to them."""

QUIET = "-w"  # the C is generated: what a compiler has to say of its style helps nobody who installs it

STRIPPED = ["-g0"]
LINKED_STRIPPED = ["-Wl,-s"]
"""For wheels. Symbols are six sevenths of an extension; who profiles or debugs builds in place."""

LINES = ["-g1"]
"""In place: the lines for profiles and stacks, without the variables, which take a compiler an eighth of its time."""


class BuildAllOrNothing(build_ext):
    """Compiles what has changed, several sources at a time, and links all. If one fails, nothing is kept."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        self.in_place = self.inplace
        self.force = self.force or not self.inplace  # what was built in place has symbols

    def build_extensions(self) -> None:
        """The compiler's flags are set here, not in the extensions: what Cython has translated stays the same."""
        places = {sys.base_prefix: "python", sys.prefix: "python", str(Path.cwd()): "."}  # the last one counts
        mapped = [f"-ffile-prefix-map={place}={name}" for place, name in places.items()]
        compiled, linked = [*HARDENED, QUIET, *mapped], LINKED_HARDENED
        if self.in_place:
            compiled = compiled + LINES
        else:
            compiled, linked = compiled + STRIPPED, linked + LINKED_STRIPPED
        if os.environ.get("HOMING_SANITIZE") != "1":
            for extension in self.extensions:
                extension.extra_compile_args = extension.extra_compile_args + compiled
                extension.extra_link_args = extension.extra_link_args + linked
        linker = getattr(self.compiler, "linker_so", None)
        if linker:  # nothing of the interpreter's is linked, so its folder is no business of an extension
            self.compiler.linker_so = [part for part in linker if not part.startswith("-Wl,-rpath")]
        self.compile, self.compiler.compile = self.compiler.compile, self.compile_changed
        super().build_extensions()

    def compile_changed(self, sources: list[str], output_dir: str, **options: Any) -> list[str]:
        """Takes the place of the compiler's `compile`, which compiles everything, one source after the other."""
        objects = self.compiler.object_filenames(sources, output_dir=output_dir)
        # The longest first: at the end, no processor waits for one that has just begun.
        tasks = sorted(zip(sources, objects, strict=True), key=lambda task: -Path(task[0]).stat().st_size)
        with ThreadPoolExecutor(self.parallel) as pool:
            running = [pool.submit(self.compile_one, *task, options) for task in tasks]
            try:
                for number, done in enumerate(as_completed(running), 1):
                    if name := done.result():
                        sys.stderr.write(f"homing: compiled {number} of {len(tasks)}: {name}\n")
                        sys.stderr.flush()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return objects

    def compile_one(self, source: str, target: str, options: dict[str, Any]) -> str:
        """Returns the name of the module; "" if it has not changed since it was compiled."""
        if not self.force and Path(target).exists() and Path(target).stat().st_mtime > Path(source).stat().st_mtime:
            return ""
        # Elsewhere first: a compiler that is killed may leave half an object, which would pass for a new one.
        (made,) = self.compile([source], output_dir=f"{self.build_temp}/unfinished", **options)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, target)
        return ".".join(Path(source).relative_to(GENERATED, "src").with_suffix("").parts)

    def run(self) -> None:
        in_place = self.in_place = self.inplace  # which `run` resets, and an error leaves so
        if not self.extensions:
            return
        objects = []
        for self.inplace in {False, in_place}:
            objects.append(Path(self.get_ext_fullpath(OBJECT)))
        self.inplace = in_place
        # Those of a module each, which were built before there was one for all, would be taken instead of the sources.
        for stale in [path for it in objects for path in it.parent.rglob("*.so") if path.parent != it.parent]:
            stale.unlink()
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            sys.stderr.write(LOST.format(reason=error))
            for path in objects:
                path.unlink(missing_ok=True)
            self.extensions = []


SERVERS = "examples/servers"
"""The servers of `homing demo NAME`. A wheel has them in its package `homing.cli.servers`."""


class BuildWithServers(build_py):
    """Also copies the servers. Not for an editable install, which takes them from where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "homing", "cli", "servers")
            for path in sorted(Path(SERVERS).glob("*.py")):
                self.copy_file(str(path), str(folder / path.name), preserve_mode=False)


def extensions() -> list[Extension]:
    """What is to be built here: the shared object, or nothing."""
    last_parts = Counter(name.rpartition(".")[2] for name in [*EXTENSIONS, OBJECT])
    if twice := [name for name in EXTENSIONS if last_parts[name.rpartition(".")[2]] > 1]:
        sys.exit(f"homing: rename a compiled module, since one object can hold one PyInit_<last part> only: {twice}")
    if not sys.platform.startswith("linux") or os.environ.get("HOMING_EXTENSIONS") == "0":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        sys.stderr.write(LOST.format(reason="Cython is not installed"))
        return []
    arguments = []
    if os.environ.get("HOMING_SANITIZE") == "1":
        arguments = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g1", "-O1"]
    before = [Path(GENERATED, source).with_suffix(".c") for source in EXTENSIONS.values()]
    translated = cythonize(
        [Extension(name, [source]) for name, source in EXTENSIONS.items()],
        build_dir=GENERATED,
        force=any(c.exists() and c.stat().st_mtime < Path(__file__).stat().st_mtime for c in before),
        nthreads=os.cpu_count() or 1,
        compiler_directives=DIRECTIVES,
    )
    sources = [named_modules(), *(source for one in translated for source in one.sources)]
    return [Extension(OBJECT, sources, extra_compile_args=arguments, extra_link_args=arguments)]


def named_modules() -> str:
    """The source of the module that names all others. It is written anew with this file, as those are."""
    path, text = Path(GENERATED, "src/homing/_compiled.c"), NAMES % " ".join(EXTENSIONS)
    if not path.exists() or path.read_text() != text or path.stat().st_mtime < Path(__file__).stat().st_mtime:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(path)


def readme() -> str:
    """The README as a package index shows it, where links into this repository lead nowhere unless they are whole."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository, version = project["urls"]["Repository"], project["version"]

    def whole(link: re.Match[str]) -> str:
        kind = "raw" if link[1].startswith("!") else "blob"
        return f"{link[1]}({repository}/{kind}/v{version}/{link[2]})"

    text = Path("README.md").read_text(encoding="utf-8")
    return re.sub(r"(!?\[[^]]*\])\((?!https?:|#|mailto:)([^)]+)\)", whole, text)


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildAllOrNothing, "build_py": BuildWithServers},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
