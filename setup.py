"""Builds the extensions: all of them, or none.

Where they cannot be built (no C compiler, no Python headers, not Linux, HOMING_EXTENSIONS=0) the install goes on: the
same package then runs interpreted, on the portable datagram backend. HOMING_SANITIZE=1 builds them with the address
and undefined-behavior sanitizers.

A wheel has no symbols and no paths of the machine that built it; two of one source are the same byte by byte, if they
are built by the same tools with the same SOURCE_DATE_EPOCH.
"""

import os
import re
import sys
import threading
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

EXTENSIONS = {
    "homing.datagram.message": "src/homing/datagram/message.py",
    "homing.datagram.policy.networks": "src/homing/datagram/policy/networks.py",
    "homing.datagram.policy.limiter": "src/homing/datagram/policy/limiter.py",
    "homing.datagram.policy.admission": "src/homing/datagram/policy/admission.py",
    "homing.datagram.backend.peers": "src/homing/datagram/backend/peers.pyx",
    "homing.datagram.backend.arena": "src/homing/datagram/backend/arena.pyx",
    "homing.datagram.backend.outbox": "src/homing/datagram/backend/outbox.pyx",
    "homing.datagram.backend.admitted": "src/homing/datagram/backend/admitted.pyx",
    "homing.datagram.backend.base": "src/homing/datagram/backend/base.py",
    "homing.datagram.backend.sender": "src/homing/datagram/backend/sender.pyx",
    "homing.datagram.backend.native": "src/homing/datagram/backend/native.pyx",
    "homing.datagram.send_queue": "src/homing/datagram/send_queue.py",
    "homing.datagram.endpoint": "src/homing/datagram/endpoint.py",
    "homing.meta.udp_client.request": "src/homing/meta/udp_client/request.py",
    "homing.meta.udp_client.outcomes": "src/homing/meta/udp_client/outcomes.py",
    "homing.meta.udp_client.replies": "src/homing/meta/udp_client/replies.py",
    "homing.meta.udp_client.requests": "src/homing/meta/udp_client/requests.py",
    "homing.meta.udp_client.open_requests": "src/homing/meta/udp_client/open_requests.py",
    "homing.meta.udp.reader": "src/homing/meta/udp/reader.py",
    "homing.meta.udp.sender": "src/homing/meta/udp/sender.py",
    "homing.meta.udp.outgoing": "src/homing/meta/udp/outgoing.py",
    "homing.meta.udp_client.ended_requests": "src/homing/meta/udp_client/ended_requests.py",
    "homing.node.scheduling.owned_mailbox": "src/homing/node/scheduling/owned_mailbox.py",
    "homing.node.scheduling.forwarder": "src/homing/node/scheduling/forwarder.py",
    "homing.node.scheduling.source": "src/homing/node/scheduling/source.py",
    "homing.node.scheduling.activity": "src/homing/node/scheduling/activity.py",
    "homing.node.messaging.calls": "src/homing/node/messaging/calls.py",
    "homing.node.messaging.distribution": "src/homing/node/messaging/distribution.py",
    "homing.node.messaging.delivery": "src/homing/node/messaging/delivery.py",
    "homing.node.mailbox.envelope": "src/homing/node/mailbox/envelope.py",
    "homing.node.messaging.flow": "src/homing/node/messaging/flow.py",
    "homing.node.mailbox.lane": "src/homing/node/mailbox/lane.py",
    "homing.node.mailbox.mailbox": "src/homing/node/mailbox/mailbox.py",
    "homing.node.processes.census": "src/homing/node/processes/census.py",
    "homing.node.processes.process": "src/homing/node/processes/process.py",
    "homing.node.messaging.registry": "src/homing/node/messaging/registry.py",
    "homing.node.scheduling.slices": "src/homing/node/scheduling/slices.py",
    "homing.node.scheduling.scheduler": "src/homing/node/scheduling/scheduler.py",
    "homing.node.messaging.sending": "src/homing/node/messaging/sending.py",
    "homing.node.messaging.waiter": "src/homing/node/messaging/waiter.py",
}

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


class BuildAllOrNothing(build_ext):
    """An extension that lacks one it was built with would not load: where one fails, none is kept."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        self.lock = threading.Lock()
        self.built = 0
        self.in_place = self.inplace
        self.force = self.force or not self.inplace  # what was built in place has symbols

    def build_extensions(self) -> None:
        """The compiler's flags are set here, not in the extensions: what Cython has translated stays the same."""
        places = {sys.base_prefix: "python", sys.prefix: "python", str(Path.cwd()): "."}  # the last one counts
        mapped = [f"-ffile-prefix-map={place}={name}" for place, name in places.items()]
        compiled, linked = [*HARDENED, QUIET, *mapped], LINKED_HARDENED
        if not self.in_place:
            compiled, linked = compiled + STRIPPED, linked + LINKED_STRIPPED
        if os.environ.get("HOMING_SANITIZE") != "1":
            for extension in self.extensions:
                extension.extra_compile_args = extension.extra_compile_args + compiled
                extension.extra_link_args = extension.extra_link_args + linked
        linker = getattr(self.compiler, "linker_so", None)
        if linker:  # nothing of the interpreter's is linked, so its folder is no business of an extension
            self.compiler.linker_so = [part for part in linker if not part.startswith("-Wl,-rpath")]
        super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        path = Path(self.get_ext_fullpath(extension.name))
        before = path.stat().st_mtime_ns if path.exists() else None
        super().build_extension(extension)
        with self.lock:
            self.built += 1
            if path.stat().st_mtime_ns != before:  # else it was up to date
                sys.stderr.write(f"homing: compiled {self.built} of {len(self.extensions)}: {extension.name}\n")
                sys.stderr.flush()

    def run(self) -> None:
        in_place = self.in_place = self.inplace  # which `run` resets, and an error leaves so
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            sys.stderr.write(LOST.format(reason=error))
            for self.inplace in {False, in_place}:
                for extension in self.extensions:
                    Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


def extensions() -> list[Extension]:
    """What is to be built here."""
    if not sys.platform.startswith("linux") or os.environ.get("HOMING_EXTENSIONS") == "0":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        sys.stderr.write(LOST.format(reason="Cython is not installed"))
        return []
    arguments = []
    if os.environ.get("HOMING_SANITIZE") == "1":
        arguments = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"]
    return cythonize(
        [
            Extension(name, [source], extra_compile_args=arguments, extra_link_args=arguments)
            for name, source in EXTENSIONS.items()
        ],
        build_dir=GENERATED,
        force=any(c.stat().st_mtime < Path(__file__).stat().st_mtime for c in Path(GENERATED).rglob("*.c")),
        nthreads=os.cpu_count() or 1,
        compiler_directives=DIRECTIVES,
    )


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
    cmdclass={"build_ext": BuildAllOrNothing},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
