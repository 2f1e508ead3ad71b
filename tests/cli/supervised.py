"""`homing` with a supervising program that starts a process again at once, and as often as it is killed."""

from homing.cli import main, processes

if __name__ == "__main__":
    processes.RESTART_SECONDS = 0.0
    processes.MOST_RESTARTS = 1000
    main()
