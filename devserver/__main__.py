"""Command line: `python -m devserver run`, `demo [--exit]`, `clean` or `manage COMMAND …`.

PORT sets the port. `manage` runs a command of manage.py with the environment of the site that `run`
or `demo` has started.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from devserver.orphans import stop_orphans
from devserver.paths import StartupError, exclusive_lock, find_running_paths, remove_all
from devserver.servers import uses_own_database
from devserver.supervisor import (
    PROJECT,
    WORKER_COMMAND,
    Commands,
    get_url,
    make_environment,
    print_message,
    serve,
)

VAR = PROJECT / "var"
PYTHON = sys.executable


def main() -> int:
    arguments = parse_arguments(sys.argv[1:])
    try:
        if arguments.command == "clean":
            return clean()
        if arguments.command == "manage":
            return manage(arguments.words)
        port = read_port()
        commands = make_commands(port, demo=arguments.command == "demo")
        return serve(VAR, port, commands, stop_after_demo=arguments.exit)
    except StartupError as error:
        print_message(str(error))
        return 1


def parse_arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devserver", description=__doc__)
    parser.add_argument("command", choices=["run", "demo", "clean", "manage"])
    parser.add_argument("--exit", action="store_true", help="stop after the demo")
    if words[:1] == ["manage"]:  # manage.py parses the words that follow.
        return argparse.Namespace(command="manage", words=words[1:])
    arguments = parser.parse_args(words)
    if arguments.exit and arguments.command != "demo":
        parser.error("--exit is only valid with demo")
    return arguments


def read_port() -> int:
    """Return PORT, or 8000 if it is not set. Raises: StartupError."""
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise StartupError(f"PORT must be a number from 1 to 65535, not {port!r}.")
    return int(port)


def make_commands(port: int, *, demo: bool) -> Commands:
    """Return the commands of the site. The web server listens on the loopback address only."""
    return Commands(
        bootstrap=[
            PYTHON,
            "-m",
            "devserver.bootstrap",
            *(["--demo-user"] if uses_own_database() else []),
        ],
        web=[
            PYTHON,
            "-m",
            "imports.server",
            "-v",
            "0",
            "--no-server-name",
            "-b",
            "127.0.0.1",
            "-p",
            str(port),
            "config.asgi:application",
        ],
        worker=[PYTHON, *WORKER_COMMAND],
        demo=[PYTHON, "-m", "devserver.demo", get_url(port)] if demo else None,
    )


def clean() -> int:
    """Remove the servers' data and the logs. Raises: StartupError if they are in use."""
    if VAR.exists():
        with exclusive_lock(VAR, "make clean"):
            stop_orphans(VAR)
            remove_all(VAR)
    return 0


def manage(words: list[str]) -> int:
    """Run a command of manage.py on the running site. Raises: StartupError if it is not running."""
    environment = make_environment(find_running_paths(VAR))
    return subprocess.call([PYTHON, "manage.py", *words], cwd=PROJECT, env=environment)


if __name__ == "__main__":
    sys.exit(main())
