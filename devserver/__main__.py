"""`python -m devserver run`, `demo [--exit]` or `clean`; PORT chooses the port."""

from __future__ import annotations

import argparse
import os
import sys

from devserver.orphans import stop_leftovers
from devserver.paths import CannotRun, only_one, remove_all
from devserver.servers import own_database
from devserver.supervisor import PROJECT, WORKER_COMMAND, Application, address, say, serve

VAR = PROJECT / "var"
PYTHON = sys.executable


def main() -> int:
    arguments = parse(sys.argv[1:])
    try:
        if arguments.what == "clean":
            return clean()
        port = chosen_port()
        app = application(port, demo=arguments.what == "demo")
        return serve(VAR, port, app, stop_after_demo=arguments.exit)
    except CannotRun as reason:
        say(str(reason))
        return 1


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devserver", description=__doc__)
    parser.add_argument("what", choices=["run", "demo", "clean"])
    parser.add_argument("--exit", action="store_true", help="stop when the demo is over")
    arguments = parser.parse_args(words)
    if arguments.exit and arguments.what != "demo":
        parser.error("--exit belongs to demo")
    return arguments


def chosen_port() -> int:
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise CannotRun(f"PORT must be a number from 1 to 65535, not {port!r}.")
    return int(port)


def application(port: int, *, demo: bool) -> Application:
    """Ours, on this machine's address only."""
    return Application(
        prepare=[
            PYTHON,
            "-m",
            "devserver.bootstrap",
            *(["--demo-user"] * own_database()),
        ],
        web=[
            *(PYTHON, "-m", "config.server", "-v", "0", "--no-server-name"),
            *("-b", "127.0.0.1", "-p", str(port), "config.asgi:application"),
        ],
        worker=[PYTHON, *WORKER_COMMAND],
        demo=[PYTHON, "-m", "devserver.demo", address(port)] if demo else None,
    )


def clean() -> int:
    """Remove the servers' data and the logs, unless they are in use."""
    if VAR.exists():
        with only_one(VAR, "make clean"):
            stop_leftovers(VAR)
            remove_all(VAR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
