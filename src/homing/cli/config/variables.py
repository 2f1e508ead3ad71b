"""The environment variables of the configuration. Imported by every `homing run`, so it imports nothing."""

PREFIX = "HOMING_"

_OTHERS = (
    *("HOMING_CONFIG", "HOMING_DATAGRAM", "HOMING_EXTENSIONS", "HOMING_HTTP_TOKEN", "HOMING_REPORT"),
    "HOMING_SHARED_SOCKETS",
)
"""Variables that are read elsewhere."""


def is_ours(variable: str) -> bool:
    """Returns True for an environment variable that may have a value of the configuration."""
    return variable.startswith(PREFIX) and variable not in _OTHERS
