"""TCP servers and clients."""
