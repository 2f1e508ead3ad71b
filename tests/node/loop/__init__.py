"""The event loop and its selector."""
