"""The commands, as typer calls them; the modules of `cli` do the work.

new           `homing new`
run           `homing run`
cert          `homing cert`
config        `homing config`; reload: `homing reload`
tree          `homing tree`; top: `homing top`; look: `homing ps` and the other tables, `homing inspect`
change        `homing send`, `exit`, `kill`, `reconfigure`, `drain`
logs          `homing logs` and `homing log-level`
tap           `homing tap` and `homing replay`
trace         `homing trace`; nodes: `homing nodes`
parts         arguments and options that several commands have
demo          `homing demo`; bench: `homing bench`
"""
