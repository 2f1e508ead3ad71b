"""Builds the extensions: all of them, or none.

Where they cannot be built (no C compiler, no Python headers, not Linux, HOMING_EXTENSIONS=0) the install goes on: the
same package then runs interpreted, on the portable datagram backend. HOMING_SANITIZE=1 builds them with the address
and undefined-behavior sanitizers.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

EXTENSIONS = {
    "homing.datagram.message": "src/homing/datagram/message.py",
    "homing.datagram.networks": "src/homing/datagram/networks.py",
    "homing.datagram.limiter": "src/homing/datagram/limiter.py",
    "homing.datagram.admission": "src/homing/datagram/admission.py",
    "homing.datagram.peers": "src/homing/datagram/peers.pyx",
    "homing.datagram.arena": "src/homing/datagram/arena.pyx",
    "homing.datagram.outbox": "src/homing/datagram/outbox.pyx",
    "homing.datagram.native": "src/homing/datagram/native.pyx",
    "homing.meta.asking": "src/homing/meta/asking.py",
    "homing.meta.incoming": "src/homing/meta/incoming.py",
    "homing.meta.outgoing": "src/homing/meta/outgoing.py",
    "homing.meta.remembering": "src/homing/meta/remembering.py",
    "homing.node.activity": "src/homing/node/activity.py",
    "homing.node.calls": "src/homing/node/calls.py",
    "homing.node.dealing": "src/homing/node/dealing.py",
    "homing.node.delivery": "src/homing/node/delivery.py",
    "homing.node.envelope": "src/homing/node/envelope.py",
    "homing.node.flow": "src/homing/node/flow.py",
    "homing.node.lane": "src/homing/node/lane.py",
    "homing.node.mailbox": "src/homing/node/mailbox.py",
    "homing.node.process": "src/homing/node/process.py",
    "homing.node.registry": "src/homing/node/registry.py",
    "homing.node.scheduler": "src/homing/node/scheduler.py",
    "homing.node.sending": "src/homing/node/sending.py",
    "homing.node.waiter": "src/homing/node/waiter.py",
}

LOST = """
homing: the extensions were not built: {reason}
homing: the install goes on without them. Everything works, on the portable datagram backend: a datagram costs three
homing: times as much, and a message between actors half as much again. To build them, install a C compiler and the
homing: Python headers (Debian, Ubuntu: apt install gcc python3-dev) and install homing again.
"""


class BuildAllOrNothing(build_ext):
    """An extension that lacks one it was built with would not load: where one fails, none is kept."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        in_place = self.inplace  # which `run` resets, and an error leaves so
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
        build_dir="build/cython",
        nthreads=os.cpu_count() or 1,
        compiler_directives={"language_level": 3, "annotation_typing": False},
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildAllOrNothing})
