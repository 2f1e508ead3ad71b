"""A directory for control sockets that is the test's own."""

from ..cli.conftest import runtime as runtime
