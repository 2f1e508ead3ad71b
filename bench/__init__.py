"""Benchmarks of Homing beside asyncio, uvloop and pykka. Run by `python -m bench`; README.md says what is measured."""
