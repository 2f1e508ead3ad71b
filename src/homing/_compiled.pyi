# Generated as C by setup.py: the shared object that holds all compiled modules.

MODULES: str
"""The names of the modules that it holds, with a space between two."""
